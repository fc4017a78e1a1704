"""Each finding of bandit is answered in docs/scanners.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

FOLDERS = ("lunaroute_site", "proxy", "sessions", "routing", "pii", "team")


def test_every_finding_is_answered():
    bandit = Path(sys.executable).parent / "bandit"
    done = subprocess.run([bandit, "-q", "-r", *FOLDERS, "-f", "json"], cwd=ROOT, capture_output=True, text=True)
    found = {(r["test_id"], r["filename"].removeprefix("./")) for r in json.loads(done.stdout)["results"]}
    rows = re.findall(
        r"^\| ([B0-9, ]+)[^|]*\| ([^|]+) \| [^|]+ \|$", (ROOT / "docs/scanners.md").read_text(), re.MULTILINE
    )
    answered = {
        (name, place)
        for names, places in rows
        for name in re.findall(r"B\d+", names)
        for place in re.findall(r"`([^`]+)`", places)
    }
    assert len(answered) > 10
    unanswered = {
        (name, path)
        for name, path in found
        if not any((name, place) in answered for place in (path, f"{path.partition('/')[0]}/"))
    }
    assert not unanswered, unanswered

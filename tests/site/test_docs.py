"""The documentation's commands, run as they stand."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.sessions.test_recording import converse
from tests.support.server import ROOT, environment, eventually, free_port

JQ = """#!{python}
import sys, json, jq
arguments = [a for a in sys.argv[1:] if a != "-s"]
values = [json.loads(line) for line in sys.stdin]
for value in jq.compile(arguments[0] if arguments else ".").input_value(values if "-s" in sys.argv else values[0]):
    print(json.dumps(value))
"""


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, provider):
    from tests.support.server import start_server

    provider.reset()
    server = start_server(tmp_path_factory.mktemp("docs"), provider.url)
    converse(server)
    server.wait_recorded(6)
    yield server
    server.stop()


@pytest.fixture
def shell(recorded, tmp_path):
    """Run a command of the documentation against the server under test."""
    jq = tmp_path / "jq"
    jq.write_text(JQ.format(python=sys.executable))
    jq.chmod(jq.stat().st_mode | stat.S_IXUSR)
    # This tree's command, whatever is installed.
    command = tmp_path / "lunaroute-server"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m lunaroute_site.cli "$@"\n')
    command.chmod(0o755)
    environ = environment(recorded.home.parent, PATH=f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}")

    def run(command: str) -> str:
        command = command.replace("localhost:8081", f"localhost:{recorded.port}")
        done = subprocess.run(
            ["bash", "-euc", command], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    return run


def test_the_jq_line_of_the_record(shell):
    (block,) = [b for b in blocks("docs/recording.md", "bash") if "jq -s" in b]
    assert shell(block).strip() == "7332"


def test_the_curl_lines_of_the_record(shell):
    lists, searches, *_ = [b for b in blocks("docs/recording.md", "bash") if "curl" in b]
    for line in [*lists.splitlines(), *searches.splitlines()]:
        assert isinstance(json.loads(shell(line.replace("curl", "curl -sf"))), list)


def test_the_import_of_the_record(shell):
    (block,) = [b for b in blocks("docs/recording.md", "bash") if "import" in b]
    assert "0 exchanges imported, 6 were there already, 0 skipped" in shell(block)


def test_the_export_and_deletion_of_the_record(shell, tmp_path):
    _, _, export, deletion = [b for b in blocks("docs/recording.md", "bash") if "curl" in b]
    # jq of the tests gives values, no raw text.
    export = export.replace("jq -r '.[0].session_id'", "jq '.[0].session_id' | tr -d '\"'")
    shell(f"cd {tmp_path}\n{export}")
    (page,) = tmp_path.glob("lunaroute_*.html")
    assert "</html>" in page.read_text()
    assert "ui.delete_enabled" in shell(f"id=x\n{deletion}")


def test_the_commands_of_the_statistics(shell):
    stats, api, reprice = blocks("docs/statistics.md", "bash")
    assert "Session Statistics Summary" in shell(stats)
    assert "0 exchanges of 0 sessions" in shell(reprice)
    for line in api.splitlines():
        assert json.loads(shell(line.replace("curl", "curl -sf")))


def test_the_guides_tail_shows_whole_lines(shell):
    output = shell("tail -n 3 ~/.lunaroute/sessions/$(date +%Y-%m-%d)/session_*.jsonl | head -n 1 | jq")
    assert json.loads(output)["session_id"]


def test_the_sql_of_the_record(recorded):
    (block,) = blocks("docs/recording.md", "sql")
    recorded.rows(block)


def test_every_key_and_table_that_the_pages_name_exists(recorded):
    tables = {row[0] for row in recorded.rows("select name from sqlite_master where type = 'table'")}
    assert {"sessions", "exchanges", "tool_calls", "blobs", "nodes"} <= tables


def test_the_clients_settings_are_valid():
    (codex,) = blocks("docs/clients.md", "toml")
    assert tomllib.loads(codex)["model_providers"]["lunaroute"]["wire_api"] == "responses"
    (opencode,) = blocks("docs/clients.md", "json")
    assert set(json.loads(opencode)["provider"]) == {"anthropic", "openai"}


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_serve_on_a_clean_clone(tmp_path, upstream):
    """The README's two commands: install, start, and the first request through it."""
    clone = tmp_path / "lunaroute"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    port = free_port()
    home = tmp_path / "home"
    home.mkdir()
    installs = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    environ = environment(
        home, LUNAROUTE_PORT=str(port), LUNAROUTE_ANTHROPIC_BASE_URL=upstream.url, PYTHON=sys.executable, **installs
    )
    environ.pop("VIRTUAL_ENV", None)
    assert "make serve" in (ROOT / "README.md").read_text()
    log = open(tmp_path / "serve.log", "w+")
    process = subprocess.Popen(
        ["make", "serve"], cwd=clone, env=environ, stdout=log, stderr=log, start_new_session=True
    )
    try:
        from tests.support.raw import RawClient

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            try:
                with RawClient(port) as client:
                    return client.request(b"GET", b"/healthz", b"").status == 200
            except OSError:
                return False

        eventually(answers, "an answer", 170)
        with RawClient(port) as client:
            assert client.request().status == 200
        command = [str(clone / ".venv" / "bin" / "lunaroute-server"), "stop"]
        subprocess.run(command, env=environ, check=True, capture_output=True)
        assert process.wait(30) == 0, (tmp_path / "serve.log").read_text()
    finally:
        log.close()
        if process.poll() is None:
            os.killpg(process.pid, 9)

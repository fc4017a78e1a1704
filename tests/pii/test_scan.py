"""`lunaroute-server pii scan`."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.scan import Scanner
from tests.pii.test_redactor import EMAIL, SSN, redactor
from tests.pii.test_redactor import pieces as texts
from tests.support.server import ROOT, environment


def run(home, *arguments, given: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lunaroute_site.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home), input=given, capture_output=True, timeout=60, check=False
    )


def test_it_says_where_what_and_by_whom(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text(f"first\nmail {EMAIL},\n\nnumber: {SSN}")
    done = run(tmp_path, "pii", "scan", str(path))
    assert done.returncode == 1, done.stderr
    first, second = done.stdout.decode().splitlines()
    assert first.split()[:3] == [f"{path}:2:6", "EMAIL", "email"]
    assert first.endswith("jo…om")
    assert second.split()[:2] == [f"{path}:4:9", "SSN"]
    assert EMAIL.encode() not in done.stdout
    assert SSN.encode() not in done.stdout


def test_the_sample_of_the_documentation(tmp_path):
    page = (ROOT / "docs" / "pii.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("-:1:13 ")]
    assert f"echo 'My email is {EMAIL}' | lunaroute-server pii scan -" in page
    done = run(tmp_path, "pii", "scan", "-", given=f"My email is {EMAIL}\n".encode())
    assert done.stdout.decode() == line + "\n"


def test_it_reads_the_standard_input_and_speaks_json(tmp_path):
    done = run(tmp_path, "pii", "scan", "-", "--json", given=f"\ufeff{EMAIL}".encode("utf-16-le"))
    assert done.returncode == 1
    (line,) = done.stdout.decode().splitlines()
    found = json.loads(line)
    assert (found["file"], found["line"], found["column"], found["type"]) == ("-", 1, 1, "EMAIL")
    assert 0.7 <= found["confidence"] <= 1


def test_nothing_found_is_0_and_binary_is_read_too(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(256)) * 100)
    assert run(tmp_path, "pii", "scan", str(tmp_path / "x")).returncode == 0
    (tmp_path / "y").write_bytes(b"\x00\xff\xfe" + EMAIL.encode() + b"\x00" * 10)
    assert run(tmp_path, "pii", "scan", str(tmp_path / "y")).returncode == 1


def test_what_cannot_be_read_is_said_and_the_rest_is_scanned(tmp_path):
    (tmp_path / "x").write_text(EMAIL)
    done = run(tmp_path, "pii", "scan", str(tmp_path / "none"), str(tmp_path), str(tmp_path / "x"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert b"none: cannot be read (No such file" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_the_help_names_the_exit_codes(tmp_path):
    done = run(tmp_path, "pii", "scan", "--help")
    assert done.returncode == 0
    assert b"Exit code: 0 nothing was found" in done.stdout
    assert run(tmp_path, "pii").returncode == 2
    assert run(tmp_path, "pii", "scan").returncode == 2


def test_the_configuration_counts(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("session_recording: {pii: {detect_email: false}}")
    assert run(tmp_path, "--config", str(path), "pii", "scan", "-", given=EMAIL.encode()).returncode == 0


@given(texts, st.integers(1, 30))
def test_pieces_of_any_size_give_the_same_places(text, size):
    whole, parts = Scanner(redactor()), Scanner(redactor())
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found = [place for piece in pieces for place in parts.feed(piece)] + list(parts.end())
    assert found == list(whole.feed(text)) + list(whole.end())


@pytest.mark.parametrize("filler", ["x", "1", "x y.z@", "-----BEGIN PRIVATE KEY-----\n"])
def test_a_huge_file_takes_bounded_memory(filler, monkeypatch):
    monkeypatch.setattr("pii.scan.LONGEST", 50_000)
    scanner = Scanner(redactor())
    for _ in range(40):
        list(scanner.feed(filler * (10_000 // len(filler))))
        assert len(scanner._held) <= 60_000

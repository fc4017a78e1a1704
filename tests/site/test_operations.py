"""The files under deploy/ that start a server, and the commands of the pages about running it."""

import configparser
import json
import os
import plistlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.site.test_commands import run
from tests.site.test_docs import blocks
from tests.support.server import ROOT, environment, eventually, start_server

DEPLOY = ROOT / "deploy"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(DEPLOY / "lunaroute.service")
    return parser


def command_of(words: list[str]) -> list[str]:
    """The arguments of `lunaroute-server` in a unit's command."""
    assert Path(words[0]).name == "lunaroute-server"
    return words[1:]


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text())
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_unit_of_systemd_starts_a_server_and_gives_it_time_to_end():
    service = unit()["Service"]
    assert command_of(shlex.split(service["ExecStart"])) == ["serve"]
    assert int(service["TimeoutStopSec"]) > 30 + 10  # streams, then the recorder
    assert service["KillMode"] == "mixed"  # the supervisor alone gets SIGTERM
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "%h/.lunaroute"
    assert "mkdir -p -m 700 ~/.lunaroute" in (ROOT / "docs/operations.md").read_text()
    assert service["RestartPreventExitStatus"] == "2"
    assert unit()["Install"]["WantedBy"]


def test_the_property_list_of_launchd_starts_a_server():
    plist = plistlib.loads((DEPLOY / "com.lunaroute.server.plist").read_bytes())
    assert command_of(plist["ProgramArguments"]) == ["serve"]
    assert plist["ExitTimeOut"] > 40
    assert plist["Umask"] == 0o077
    assert plist["Label"] == "com.lunaroute.server"


def test_the_container_has_all_that_the_server_needs():
    copied = {name.strip("/") for kind, rest in instructions() if kind == "COPY" for name in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert packages | {"templates", "static", "manage.py", "requirements.txt", "pyproject.toml"} <= copied
    last = dict(instructions())
    assert json.loads(last["CMD"]) == ["lunaroute-server", "serve"]
    assert last["USER"] == "lunaroute"
    assert "LUNAROUTE_AUTH_TOKEN" not in last["ENV"]  # one's own, each


def test_what_the_container_copies_is_not_ignored():
    taken = [line[1:].rstrip("*") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    for kind, rest in instructions():
        for name in rest.split()[:-1] if kind == "COPY" else ():
            assert name.startswith(tuple(taken)), name


def test_the_containers_health_check_tells_whether_it_answers(tmp_path, provider):
    check = next(rest for kind, rest in instructions() if kind == "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    server = start_server(tmp_path, provider.url)
    command = [sys.executable, *(word.replace(":8081", f":{server.port}") for word in command[1:])]
    assert subprocess.run(command, check=False).returncode == 0
    assert server.stop() == 0
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_the_containers_environment_starts_with_a_token_and_not_without(tmp_path, provider):
    given = dict(part.split("=", 1) for part in dict(instructions())["ENV"].split())
    assert "LUNAROUTE_AUTH_TOKEN" in run(tmp_path, "serve", LUNAROUTE_HOST=given["LUNAROUTE_HOST"]).stderr
    token = "x" * 32
    server = start_server(tmp_path, provider.url, LUNAROUTE_HOST=given["LUNAROUTE_HOST"], LUNAROUTE_AUTH_TOKEN=token)
    assert server.get("/sessions")[0] == 401
    assert server.stop() == 0


def test_the_pages_commands_work(tmp_path, provider):
    """Those that need no systemd, in the order in which they stand there."""
    server = start_server(tmp_path, provider.url, worker=True)
    (tmp_path / "lunaroute-server").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m lunaroute_site.cli "$@"\n'
    )
    (tmp_path / "lunaroute-server").chmod(0o755)
    environ = environment(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}", LUNAROUTE_PORT=str(server.port))
    shell_ = [
        block
        for page in ("operations", "retention", "upkeep")
        for block in blocks(f"docs/{page}.md", "bash")
        if not re.search(r"systemctl|git pull|zstdcat", block)
    ]
    assert len(shell_) > 7
    try:
        for block in shell_:
            if "db rebuild" in block or "restore" in block:
                continue  # test_upgrade.py, test_backup.py
            block = block.replace("localhost:8081", f"localhost:{server.port}")
            done = subprocess.run(
                ["bash", "-euc", block], env={**environ, "ANTHROPIC_BASE_URL": "x"}, cwd=tmp_path, capture_output=True, text=True,
                check=False, timeout=60,
            )  # fmt: skip
            reached = "doctor" in block and "--offline" not in block
            assert done.returncode == 0 or reached, (block, done.stdout, done.stderr)
        assert len(list(tmp_path.glob("lunaroute-2*.tar.zst"))) == 1
        eventually(lambda: "worker: process" in run(tmp_path, "status").stdout, "a worker")
    finally:
        assert server.stop() == 0


def test_a_worker_may_run_apart(tmp_path, provider):
    config = tmp_path / "often.yaml"
    config.write_text("session_recording: {cleanup: {retention: {cleanup_interval_minutes: 0.02}}}\n")
    server = start_server(tmp_path, provider.url, "--config", str(config))
    celery = Path(sys.executable).parent / "celery"
    environ = environment(tmp_path, LUNAROUTE_CONFIG=str(config))
    with open(tmp_path / "celery.log", "wb") as log:
        worker = subprocess.Popen(
            [celery, "-A", "lunaroute_site", "worker", "-B"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        eventually(lambda: (server.home / "tasks.json").exists(), "a run of the worker", 30)
    finally:
        worker.terminate()
        worker.wait(20)
        assert server.stop() == 0

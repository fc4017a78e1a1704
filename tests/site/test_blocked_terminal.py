"""A terminal on which somebody pressed Ctrl-S: who logs does not wait for it."""

import os
import signal
from collections.abc import Iterator

import pytest

from lunaroute_site import states
from lunaroute_site.logs import AtOnce, Queued
from tests.support.raw import RawClient
from tests.support.server import eventually


@pytest.fixture
def blocked(tmp_path) -> Iterator[int]:
    """A terminal that takes nothing more; servers of the test print to it."""
    ours, theirs = os.openpty()
    (tmp_path / "output.log").symlink_to(os.ttyname(theirs))
    os.set_blocking(theirs, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(theirs, b"x" * 64)
    os.set_blocking(theirs, True)
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_a_process_without_threads_drops_what_is_not_taken_at_once(blocked):
    AtOnce(blocked).write("a message\n" * 1000)


def test_what_is_taken_comes_whole():
    ours, theirs = os.pipe()
    AtOnce(theirs).write("a message, longer than one piece\n" * 20)
    queued = Queued(theirs)
    queued.write("and another\n")
    queued.close(5)
    assert os.read(ours, 1 << 16).decode() == "a message, longer than one piece\n" * 20 + "and another\n"


def test_a_thread_waits_in_the_place_of_who_logs(blocked):
    stream = Queued(blocked)
    stream.write("a message\n" * 1000)
    stream.close(0.01)


def test_a_server_starts_again_who_died_serves_and_stops(start, upstream, tmp_path):
    ours, theirs = os.openpty()
    (tmp_path / "output.log").symlink_to(os.ttyname(theirs))
    server = start(LUNAROUTE_LOG_REQUESTS="true", LUNAROUTE_LOG_LEVEL="debug")
    with RawClient(server.port) as client:
        for _ in range(30):  # their boxes fill it
            assert (
                client.request(body=b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"x" * 5000)).status
                == 200
            )
        first = server.children()["recorder"].pid
        os.kill(first, signal.SIGKILL)

        def again() -> bool:
            found = states.read(server.home, states.PROCESSES)["recorder"]
            return found["restarts"] == 1 and found["pid"] not in (0, first)

        eventually(again, "another recorder")
        assert client.request().status == 200
    assert server.stop(30) == 0
    os.close(ours)
    os.close(theirs)

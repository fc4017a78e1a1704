"""From the recorder to those who follow: what is passed on, what is dropped, what the recorder hears."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from proxy.capture import CHANGE, PARTIAL
from sessions import live_hub, news
from sessions.live_hub import Hub
from sessions.news import Change, Partial, Piece


class Listener:
    """A follower that notes what it hears."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.texts: list[str] = []

    def changed(self, session_ids: list[str]) -> None:
        self.sessions += session_ids

    def partial(self, partial: Partial) -> None:
        self.texts += [piece.text for piece in partial.pieces]


def change(session_id: str) -> bytes:
    return news.encode(Change(session_id, 1, 1, "r", "opened"))


def text(session_id: str, value: str) -> bytes:
    return news.encode(Partial(session_id, "r", [Piece(0, "text", "", 0, value)]))


def play(scene: Callable[[Hub, list[dict]], Awaitable[None]]) -> None:
    """Run `scene` with a hub and with what it tells its recorder."""

    async def run() -> None:
        hub, told = Hub(), []
        hub.connect(lambda payload: told.append(json.loads(payload)))
        await scene(hub, told)
        for task in hub._tasks:
            task.cancel()

    asyncio.run(run())


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0.005)


def test_each_hears_of_its_session_and_the_list_of_all():
    async def scene(hub: Hub, told: list[dict]) -> None:
        one, everything = Listener(), Listener()
        hub.follow(one, "a")
        hub.follow(everything)
        await until(lambda: told)
        hub.news(CHANGE, change("a"))
        hub.news(CHANGE, change("b"))
        hub.news(PARTIAL, text("a", "x"))
        hub.news(PARTIAL, text("b", "y"))
        await until(lambda: everything.sessions == ["a", "b"] and one.texts)
        assert (one.sessions, one.texts, everything.texts) == (["a"], ["x"], [])

    play(scene)


def test_the_recorder_hears_who_comes_and_that_nobody_is_left():
    async def scene(hub: Hub, told: list[dict]) -> None:
        first, second = Listener(), Listener()
        hub.follow(first, "a")
        await until(lambda: told and "a" in told[-1])
        before = told[-1]["a"]
        hub.follow(second, "a")
        await until(lambda: told[-1]["a"] != before)
        hub.unfollow(first, "a")
        hub.unfollow(second, "a")
        await until(lambda: told[-1] == {})

    play(scene)


def test_what_nobody_takes_is_dropped(monkeypatch):
    monkeypatch.setattr(live_hub, "MAX_CHANGED", 3)
    monkeypatch.setattr(live_hub, "MAX_TEXT", 100)

    async def scene(hub: Hub, told: list[dict]) -> None:
        listener = Listener()
        hub.follow(listener)
        hub.follow(listener, "s0")
        await until(lambda: told)
        for number in range(10):  # the loop has no turn between these
            hub.news(CHANGE, change(f"s{number}"))
            hub.news(PARTIAL, text("s0", "x" * 60))
        await until(lambda: "s2" in listener.sessions and listener.texts)
        assert set(listener.sessions) == {"s0", "s1", "s2"}
        assert len(listener.texts) < 3

    play(scene)


def test_metrics_hear_every_change_at_once():
    async def scene(hub: Hub, told: list[dict]) -> None:
        heard: list[str] = []
        hub.listeners.append(lambda change: heard.append(change.session_id))
        hub.news(CHANGE, change("a"))
        assert heard == ["a"]

    play(scene)


@pytest.mark.parametrize("kind", [CHANGE, PARTIAL, 199])
def test_news_that_make_no_sense_do_no_harm(kind):
    async def scene(hub: Hub, told: list[dict]) -> None:
        listener = Listener()
        hub.follow(listener, "a")
        await until(lambda: told)
        hub.news(kind, b"junk")
        hub.news(CHANGE, change("a"))
        await until(lambda: listener.sessions)

    play(scene)

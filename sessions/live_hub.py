"""Brings what recorders tell to the sockets that follow it, in this process and, over the channel layer, in the others.

One channel for each process: a socket costs the layer nothing. What is lost on the way (a full layer, a Redis that is
gone) costs a page time, not truth: each socket looks at the database by itself now and then.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from uuid import uuid4

import msgspec
from channels.layers import get_channel_layer

from proxy.capture import CHANGE, ECHO, PARTIAL
from sessions.news import Change, Partial, encode

logger = logging.getLogger("lunaroute.live")

GROUP = "lunaroute.live"
# Seconds: between two messages to the layer, between two words about what is watched here, and how long those hold.
PUBLISH_EVERY, ANNOUNCE_EVERY, ANNOUNCED_FOR = 0.05, 10, 30
# Seconds that the layer may take for a message.
LAYER_TIMEOUT = 2
# What waits to be published: sessions that changed, and bytes of text. More is dropped.
MAX_CHANGED, MAX_TEXT = 5000, 4 << 20

_decode_change = msgspec.json.Decoder(Change).decode
_decode_partial = msgspec.json.Decoder(Partial).decode


class Follower(Protocol):
    """Who wants to hear. Both are called in the event loop and return at once."""

    def changed(self, session_ids: list[str]) -> None:
        """Sessions have changed in the database."""

    def partial(self, partial: Partial) -> None:
        """An answer under way has more text."""


class Hub:
    """What one process knows of followers, here and elsewhere."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Change], None]] = []  # hear every change that this server's recorder tells
        self.own_listeners: list[Callable[[Change], None]] = []  # hear those of this process's exchanges
        self.other_listeners: list[Callable[[Change], None]] = []  # hear those of the other web processes
        self.has_layer = False  # whether the other web processes of this server hear what is published
        self.has_record = True  # False: what changes is in memory only, and no page can show it
        self._name = uuid4().hex[:12]
        self._tell_recorder: Callable[[bytes], None] = lambda payload: None
        self._followers: dict[str, set[Follower]] = {}  # by session id; "": of all
        self._watched: dict[str, int] = {}  # session id → how often somebody began to watch
        self._begun = 0
        self._announced: dict[str, tuple[float, dict[str, int]]] = {}  # by process: until when, what it watches
        self._told = b"{}"
        self._changed: dict[str, None] = {}
        self._texts: list[bytes] = []
        self._text_size = 0
        self._wake = asyncio.Event()
        self._announce_at = 0.0
        self._tasks: list[asyncio.Task] = []
        self._failing = False

    def connect(self, tell_recorder: Callable[[bytes], None]) -> None:
        """Name who tells this process's recorder what is watched."""
        self._tell_recorder = tell_recorder

    # -- followers -------------------------------------------------------------------------------------------

    def follow(self, follower: Follower, session_id: str = "") -> None:
        """Let `follower` hear of a session, its text from the beginning; without an id, which sessions change."""
        self._start()
        self._followers.setdefault(session_id, set()).add(follower)
        if session_id:
            self.restart(session_id)

    def unfollow(self, follower: Follower, session_id: str = "") -> None:
        """Let `follower` hear no more."""
        followers = self._followers.get(session_id, set())
        followers.discard(follower)
        if not followers:
            self._followers.pop(session_id, None)
            if self._watched.pop(session_id, None) is not None:
                self._announce()

    def restart(self, session_id: str) -> None:
        """Have what is under way in a session told from the beginning again."""
        self._begun += 1
        self._watched[session_id] = self._begun
        self._announce()

    def look_soon(self) -> None:
        """Let every page look at the database: something has changed that is no session. From any thread."""
        if self._tasks:
            self._tasks[0].get_loop().call_soon_threadsafe(self._look)

    def _look(self) -> None:
        for followers in list(self._followers.values()):
            for follower in list(followers):
                follower.changed([])

    def _announce(self) -> None:
        self._announce_at = 0.0
        self._wake.set()

    # -- from the recorder -----------------------------------------------------------------------------------

    def news(self, kind: int, payload: bytes) -> None:
        """Take a frame of this process's recorder. Never raises: the recorder's line carries more than this."""
        try:
            self._take(kind, payload)
        except Exception:
            logger.exception("news of the recorder could not be read: they are left out")

    def _take(self, kind: int, payload: bytes) -> None:
        self._start()
        if kind in (CHANGE, ECHO):
            change = _decode_change(payload)
            for listener in (*self.listeners, *(self.own_listeners if kind == CHANGE else self.other_listeners)):
                listener(change)
            is_mine = kind == CHANGE or not self.has_layer
            if self.has_record and is_mine and len(self._changed) < MAX_CHANGED:
                self._changed[change.session_id] = None
        elif kind == PARTIAL and self._text_size < MAX_TEXT:
            self._texts.append(payload)
            self._text_size += len(payload)
        self._wake.set()

    # -- the layer -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._tasks:
            # What is wrong with the layer is said here, once.
            logging.getLogger("channels_redis").setLevel(logging.CRITICAL)
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._publish()), loop.create_task(self._receive())]

    async def _publish(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), ANNOUNCE_EVERY)
            except TimeoutError:
                pass
            self._wake.clear()
            if monotonic() >= self._announce_at and (self._watched or self._name in self._announced):
                self._announce_at = monotonic() + ANNOUNCE_EVERY
                await self._send({"type": "live.watch", "process": self._name, "sessions": dict(self._watched)})
            self._update_watched()
            if self._changed or self._texts:
                changed, texts = list(self._changed), self._texts
                self._changed, self._texts, self._text_size = {}, [], 0
                await self._send({"type": "live.news", "changed": changed, "texts": texts})
            await asyncio.sleep(PUBLISH_EVERY)

    async def _send(self, message: dict) -> None:
        try:
            await asyncio.wait_for(get_channel_layer().group_send(GROUP, message), LAYER_TIMEOUT)
            self._works()
        except Exception as error:
            self._fails(error)
            self._deliver(message)  # here at least

    async def _receive(self) -> None:
        while True:
            task = None
            try:
                layer = get_channel_layer()
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                task = asyncio.get_running_loop().create_task(self._stay(layer, channel))
                self._announce()
                while True:
                    self._deliver(await layer.receive(channel))
            except Exception as error:
                self._fails(error)
                await asyncio.sleep(1)
            finally:
                if task is not None:
                    task.cancel()

    async def _stay(self, layer, channel: str) -> None:
        """Layers forget who has long been in a group."""
        while True:
            await asyncio.sleep(3600)
            await layer.group_add(GROUP, channel)

    def _fails(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            reason = " ".join(str(error).split()) or type(error).__name__
            logger.warning("the channel layer does not work: pages follow only what this process records: %s", reason)

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            logger.warning("the channel layer works again")

    def _deliver(self, message: dict) -> None:
        if message["type"] == "live.watch":
            self._announced[message["process"]] = (monotonic() + ANNOUNCED_FOR, message["sessions"])
            self._update_watched()
            return
        if message["changed"]:
            for session_id in message["changed"]:
                for follower in self._followers.get(session_id, ()):
                    follower.changed([session_id])
            for follower in self._followers.get("", ()):
                follower.changed(message["changed"])
        for payload in message["texts"]:
            try:
                partial = _decode_partial(payload)
            except msgspec.DecodeError:
                continue  # of another version's process
            for follower in self._followers.get(partial.session_id, ()):
                follower.partial(partial)

    def _update_watched(self) -> None:
        """Tell the recorder what is watched in any process, where that has changed."""
        now = monotonic()
        self._announced = {name: entry for name, entry in self._announced.items() if entry[0] > now}
        watchers: dict[str, list[str]] = {}
        for process, (_, sessions) in sorted(self._announced.items()):
            for session_id, begun in sessions.items():
                watchers.setdefault(session_id, []).append(f"{process}:{begun}")
        payload = encode({session_id: " ".join(names) for session_id, names in sorted(watchers.items())})
        if payload != self._told:
            self._told = payload
            self._tell_recorder(payload)


# The hub of this process.
hub = Hub()

"""Pages that follow the record while it grows: WebSockets at `/ui/live` (which sessions change) and `/ui/live/sessions/<id>`.

A client's one message says what it has. The server answers with what is newer, says ``ready``, and goes on with what
changes. What a socket is told comes from the database at that moment, and only where its version differs from what
the client has; what the recorder tells is but the reason to look. So nothing is missed and nothing comes twice, whatever
was lost on the way.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.urls import path

from sessions import live_view, viewing
from sessions.live_hub import hub
from sessions.news import Partial, Piece

logger = logging.getLogger("lunaroute.live")

# Sockets in one process.
MAX_SOCKETS = 200
# Articles that are rendered and sent at once.
AT_ONCE = 20
# Seconds between two looks at the database without a reason, at most: it begins with `ui.refresh_interval`.
MAX_PAUSE = 60
# Pieces of text and sessions that wait for a slow client; beyond that it is told anew.
MAX_PIECES, MAX_SESSIONS = 200, 1000
# Close codes: of RFC 6455, and our own for what trying again does not help.
TRY_LATER, FAILED, BAD_MESSAGE, SIGNED_OUT, UNKNOWN = 1013, 1011, 4400, 4401, 4404
# Seconds for which a socket's user is not asked for again, unless something of users has changed.
TRUSTED_FOR = 5


class SignedOut(Exception):
    """Who opened the socket may see nothing any more."""


_sockets: set["LiveSocket"] = set()


class Have(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The client's message: versions that it has by request id (or session id), and which exchanges it shows, by number."""

    have: dict[str, str] = {}
    first: int = 1
    last: int | None = None  # None: the newest ones too


class LiveSocket(AsyncWebsocketConsumer):
    """What both kinds of sockets share. `follow` runs while the client is there."""

    channel_layer_alias = ""  # none of its own: the hub has one for all

    def __init__(self) -> None:
        super().__init__()
        self._task: asyncio.Task | None = None
        self._wake = asyncio.Event()
        self._dirty = True
        self._known_at = monotonic()  # when it was known who follows
        self.session_id = ""

    async def connect(self) -> None:
        self.session_id = self.scope["url_route"]["kwargs"].get("session_id", "")
        await self.accept()
        if len(_sockets) >= MAX_SOCKETS:
            await self.close(TRY_LATER, f"more than {MAX_SOCKETS} pages follow already")
            return
        _sockets.add(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self not in _sockets:
            return
        try:
            if self._task is not None:
                raise msgspec.ValidationError("one message says what the client has; another is not expected")
            have = msgspec.json.decode(text_data or bytes_data or b"", type=Have)
        except (msgspec.DecodeError, UnicodeError) as error:
            await self.close(BAD_MESSAGE, str(error)[:120])
            return
        self._task = asyncio.get_running_loop().create_task(self._run(have))

    async def disconnect(self, code: int) -> None:
        _sockets.discard(self)
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, have: Have) -> None:
        # First the ear, then the look: what changes in between is heard.
        hub.follow(self, self.session_id)
        try:
            await self.follow(have)
        except SignedOut:
            await self.close(SIGNED_OUT, "signed out")
        except Exception:
            logger.exception("a live page could not be told: it is closed, and may ask again")
            await self.close(FAILED, "LunaRoute could not read the record")
        finally:
            hub.unfollow(self, self.session_id)

    async def follow(self, have: Have) -> None:
        """Tell the client what it lacks, until it is gone."""
        raise NotImplementedError

    async def wait(self, pause: float) -> bool:
        """Wait until there is something to tell; after `pause` seconds look all the same. False if nothing was heard.

        Raises SignedOut where there is nobody to tell.
        """
        was_heard = True
        try:
            await asyncio.wait_for(self._wake.wait(), pause)
        except TimeoutError:
            self._dirty = True
            was_heard = False
        finally:
            self._wake.clear()
        await self._look_again_who_follows()
        return was_heard

    async def _look_again_who_follows(self) -> None:
        """In a team: a socket may outlive its user's token or membership."""
        viewer_now = self.scope.get("viewer")
        if viewer_now is None:
            return
        access = self.scope["access_now"]()  # differs where users, tokens or projects have changed
        if access == self.scope["access"] and monotonic() < self._known_at + TRUSTED_FOR:
            return
        viewer = await database_sync_to_async(viewer_now)()
        if viewer is None:
            raise SignedOut
        self._known_at, self.scope["access"] = monotonic(), access
        if viewer != viewing.current():
            viewing.look_as(viewer)
            self._dirty = True

    async def tell(self, message: dict[str, Any]) -> None:
        """Send; waits while the client does not read (lunaroute_site/server.py ends that some time)."""
        await self.send(text_data=orjson.dumps(message).decode())


class SessionSocket(LiveSocket):
    """Follows one session: articles and figures as the page has them, and text under way."""

    def __init__(self) -> None:
        super().__init__()
        self._partials: list[Partial] = []
        self._running: dict[str, int] = {}  # request id → number, of what the client has as running
        self._told: dict[str, dict[int, int]] = {}  # request id → block → characters of it that the client has
        self._figures = ""

    def changed(self, session_ids: list[str]) -> None:
        self._dirty = True
        self._wake.set()

    def partial(self, partial: Partial) -> None:
        if len(self._partials) < MAX_PIECES:
            self._partials.append(partial)
        self._wake.set()

    async def follow(self, have: Have) -> None:
        versions, pause, is_ready = dict(have.have), settings.LUNAROUTE.ui.refresh_interval, False
        while True:
            began = monotonic()
            if self._dirty:
                self._dirty = False
                if not await self._catch_up(have, versions):
                    await self.close(UNKNOWN, "no such session")
                    return
            if not is_ready:
                is_ready = True
                await self.tell({"ready": True})
            await self._tell_text()
            # A long session that changes all the time is looked at a quarter of the time, not without end.
            await asyncio.sleep(min(3 * (monotonic() - began), 1))
            heard = await self.wait(pause)
            pause = settings.LUNAROUTE.ui.refresh_interval if heard else min(pause * 2, MAX_PAUSE)

    async def _catch_up(self, have: Have, versions: dict[str, str]) -> bool:
        """Tell what differs from `versions`. False where there is no such session."""
        states = await database_sync_to_async(live_view.states)(self.session_id)
        if states is None:
            return False
        shown = [s for s in states if s.number >= have.first and (have.last is None or s.number <= have.last)]
        self._running = {state.request_id: state.number for state in shown if state.is_running}
        self._told = {request_id: told for request_id, told in self._told.items() if request_id in self._running}
        wanted = [state for state in shown if versions.get(state.request_id) != state.version]
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            found = await database_sync_to_async(live_view.articles)(self.session_id, part)
            turns = [
                {"request_id": s.request_id, "number": s.number, "version": s.version, "running": s.is_running, "html": found[s.pk]}
                for s in part
                if s.pk in found
            ]  # fmt: skip
            await self.tell({"turns": turns})
            versions.update({state.request_id: state.version for state in part})
        if wanted or not self._figures:
            figures = await database_sync_to_async(live_view.figures)(self.session_id)
            if figures != self._figures:
                self._figures = figures
                await self.tell({"figures": figures})
        return True

    async def _tell_text(self) -> None:
        partials, self._partials = self._partials, []
        has_gap = False
        for partial in partials:
            number = self._running.get(partial.request_id)
            if number is None:
                continue  # it has ended, or stands on another page
            told, pieces = self._told.setdefault(partial.request_id, {}), []
            for piece in partial.pieces:
                had = told.get(piece.index)
                if piece.offset > (had or 0):
                    has_gap = True
                    continue
                text = piece.text[(had or 0) - piece.offset :]
                if text or had is None:
                    pieces.append(_piece(piece, had is None, text))
                    told[piece.index] = (had or 0) + len(text)
            if pieces:
                await self.tell({"partial": {"request_id": partial.request_id, "number": number, "pieces": pieces}})
        if has_gap:
            hub.restart(self.session_id)


def _piece(piece: Piece, starts: bool, text: str) -> dict[str, Any]:
    """A piece as pages get it: `start` begins its block (anew), else the text is appended."""
    return {"index": piece.index, "kind": piece.kind, "name": piece.name, "start": starts, "text": text}


class ListSocket(LiveSocket):
    """Follows all sessions: the figures of each that changes, for the list and the dashboard."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[str, None] = {}

    def changed(self, session_ids: list[str]) -> None:
        if len(self._changed) < MAX_SESSIONS:
            self._changed.update(dict.fromkeys(session_ids))
        self._wake.set()

    def partial(self, partial: Partial) -> None:
        """A list shows no text."""

    async def follow(self, have: Have) -> None:
        versions, pause, is_ready = dict(have.have), settings.LUNAROUTE.ui.refresh_interval, False
        running: set[str] = set()
        while True:
            # Without a reason: what the client has (at first), what runs, and the latest.
            known = [*running, *(() if is_ready else list(have.have)[:MAX_SESSIONS])] if self._dirty else []
            latest = live_view.LISTED if self._dirty else 0
            asked = [*self._changed, *known]
            self._changed, self._dirty = {}, False
            for row in await database_sync_to_async(live_view.rows)(asked, latest):
                (running.add if row["running"] else running.discard)(row["session_id"])
                if versions.get(row["session_id"]) != row["version"]:
                    versions[row["session_id"]] = row["version"]
                    await self.tell({"session": row})
            if not is_ready:
                is_ready = True
                await self.tell({"ready": True})
            heard = await self.wait(pause)
            pause = settings.LUNAROUTE.ui.refresh_interval if heard else min(pause * 2, MAX_PAUSE)


routes = [
    path("ui/live", ListSocket.as_asgi()),
    path("ui/live/sessions/<str:session_id>", SessionSocket.as_asgi()),
]

"""What the web process routes by: loaded before the first request, and again by the request that finds it changed."""

import asyncio
import logging
import os
from time import perf_counter

from django.db import Error, connections

from proxy import state
from proxy.link import RecorderLink
from routing import live, metrics, revision, sources
from routing.board import Board, Rest, Settings
from routing.definitions import FROM_ADMIN
from routing.models import Rest as KeptRest
from routing.router import Router
from routing.rules import RuleSet
from routing.snapshot import snapshot_of

logger = logging.getLogger("lunaroute.routing")

# Seconds until a database that could not be read is asked again, and for which changes of rests are collected.
RETRY_AFTER, KEEP_AFTER = 5.0, 0.2


class Serving:
    """Providers, rules and their state in this process. `settings` is the configuration."""

    def __init__(self, settings, link: RecorderLink | None) -> None:
        self._settings = settings
        self._file = sources.from_configuration()
        self._watch = revision.Watch(revision.counter())
        self._lock = asyncio.Lock()
        self._is_keeping = False
        routing = settings.routing
        self.board = Board(
            Settings(**routing.circuit_breaker.model_dump(), **routing.health.model_dump()),
            clock=perf_counter,  # by which exchanges are timed
            tell=metrics.Counting(),
            on_rest_changed=self._rest_changed,
        )
        self._definitions: sources.Definitions | None = None
        mark = self._watch.mark()
        self.state = state.State(
            snapshot_of({}, settings.api_dialect, False, None),
            settings.http_server.max_request_body_bytes,
            self.board,
            Router(RuleSet(()), {}, self.board),
            os.environ,
            link,
            changed=self._watch.changed,
            refresh=self._refresh,
        )
        self._use(self._load(), mark)
        self.board.restore_rests(_kept_rests())
        connections.close_all()

    def begin(self) -> None:
        """Let requests be served by this."""
        state.configure(self.state)
        metrics.watch(lambda: self.board)
        revision.listen()

    def _load(self) -> sources.Definitions:
        return sources.load(*self._file, before=self._definitions)

    def _use(self, definitions: sources.Definitions, mark: bytes) -> None:
        known = self._definitions.warnings if self._definitions is not None else ()
        for warning in definitions.warnings:
            if warning not in known:
                logger.warning("%s", warning)
        self._definitions = definitions
        bypass, providers = self._settings.bypass, definitions.providers
        snapshot = snapshot_of(providers, self._settings.api_dialect, bypass.enabled, bypass.provider)
        are_named = self._settings.names_providers or any(p.source == FROM_ADMIN for p in providers.values())
        self.state.swap(snapshot, providers, RuleSet(definitions.rules), are_named)
        live.serve(self.board, self.state.router, definitions)
        self._watch.take(mark)
        if not definitions.is_complete:
            self._watch.again_in(RETRY_AFTER)

    async def _refresh(self) -> None:
        """Load what has changed; requests that come meanwhile wait for it."""
        async with self._lock:
            if self._watch.changed():
                mark = self._watch.mark()
                self._use(await asyncio.to_thread(self._load), mark)

    def _rest_changed(self, name: str) -> None:
        """Write down who rests, in a moment; a page's thread may say so as well as the event loop."""
        if not self._is_keeping:
            self._is_keeping = True
            try:
                asyncio.get_running_loop().call_later(KEEP_AFTER, self._keep)
            except RuntimeError:
                self._keep_rests()

    def _keep(self) -> None:
        asyncio.get_running_loop().run_in_executor(None, self._keep_rests)

    def _keep_rests(self) -> None:
        self._is_keeping = False
        rests = self.board.rests()
        try:
            KeptRest.objects.exclude(provider__in=list(rests)).delete()
            for name, rest in rests.items():
                values = {"until": rest.until, "why": rest.why, "limits": rest.limits}
                KeptRest.objects.update_or_create(provider=name, defaults=values)
        except Error as error:
            logger.warning("who rests cannot be written down, so a restart will not know: %s", error)


def _kept_rests() -> dict[str, Rest]:
    try:
        return {rest.provider: Rest(rest.until, rest.why, rest.limits) for rest in KeptRest.objects.all()}
    except Error:
        return {}

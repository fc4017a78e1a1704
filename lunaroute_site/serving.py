"""What the web process routes by: loaded before the first request, and again by the request that finds it changed."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from django.conf import settings as django_settings
from django.db import Error, connection, connections

from lunaroute_site.access import token_of_configuration
from proxy import state
from proxy.forwarded import Trusted
from proxy.guard import Guard
from proxy.identity import Identities
from proxy.link import RecorderLink
from routing import live, metrics, revision, shared, sources
from routing.board import Board, Rest, Settings
from routing.definitions import FROM_ADMIN
from routing.destinations import Destinations
from routing.router import Router
from routing.rules import RuleSet
from routing.snapshot import snapshot_of
from team import tokens

logger = logging.getLogger("lunaroute.routing")

# What is routed by, whose tokens let in, and what other processes have found out (rests, open breakers).
Loaded = tuple[sources.Definitions, Identities | None, tuple[dict[str, Rest], dict[str, float]] | None]

# Seconds until a database that could not be read is asked again.
RETRY_AFTER = 5.0


class Serving:
    """Providers, rules and their state in this process. `settings` is the configuration, `own` are the addresses at which
    this server listens."""

    def __init__(self, settings, link: RecorderLink | None, own: frozenset[tuple[str, int]] = frozenset()) -> None:
        self._settings = settings
        self._file = sources.from_configuration()
        self._watch = revision.Watch(revision.counter())
        self._lock = asyncio.Lock()
        # Whether other processes ask the same providers, and should hear what is found out about them.
        self._is_shared = settings.http_server.web_processes > 1 or connection.vendor != "sqlite"
        routing = settings.routing
        self.board = Board(
            Settings(**routing.circuit_breaker.model_dump(), **routing.health.model_dump()),
            clock=perf_counter,  # by which exchanges are timed
            tell=metrics.Counting(),
        )
        self.load_more: Callable[[], None] = lambda: None  # what else is loaded from the database; requests wait for it
        self._definitions: sources.Definitions | None = None
        mark = self._watch.mark()
        http_server = settings.http_server
        self.state = state.State(
            snapshot_of({}, settings.api_dialect, False, None),
            http_server.max_request_body_bytes,
            self.board,
            Router(RuleSet(()), {}, self.board),
            os.environ,
            link,
            # In a team who has a token of their own needs no other.
            guard=Guard(
                tuple(django_settings.ALLOWED_HOSTS), "" if settings.team.enabled else token_of_configuration()
            ),
            own_token=token_of_configuration().encode(),
            destinations=Destinations(tuple(settings.allowed_addresses), own),
            trusted=Trusted(settings.trusted_proxies) if settings.trusted_proxies else None,
            sse_keepalive=http_server.sse_keepalive_secs if http_server.sse_keepalive_enabled else 0,
            changed=self._watch.changed,
            refresh=self._refresh,
        )
        self._use(self._load(), mark)
        shared.restore(self.board)
        keeper = shared.Keeper(self.board, self._is_shared)
        self.board.on_rest_changed = keeper.rest_changed
        if self._is_shared:
            self.board.on_trip_changed = keeper.trip_changed
        connections.close_all()

    def begin(self) -> None:
        """Let requests be served by this."""
        state.configure(self.state)
        metrics.watch(lambda: self.board)
        revision.listen()

    def _load(self) -> Loaded:
        self.load_more()
        definitions = sources.load(*self._file, before=self._definitions)
        found = None
        if self._is_shared:
            try:
                found = shared.read()
            except Error as error:
                logger.debug("what others have found out about providers is not known: %s", error)
        if not self._settings.team.enabled:
            return definitions, None, found
        try:
            return definitions, tokens.identities(), found
        except Error as error:
            logger.warning("tokens of users cannot be read at the moment: %s", " ".join(str(error).split()))
            known = self.state.identities or Identities({})
            return replace(definitions, is_complete=False), known, found

    def _use(self, loaded: Loaded, mark: bytes) -> None:
        definitions, self.state.identities, found = loaded
        known = self._definitions.warnings if self._definitions is not None else ()
        for warning in definitions.warnings:
            if warning not in known:
                logger.warning("%s", warning)
        self._definitions = definitions
        bypass, providers = self._settings.bypass, definitions.providers
        snapshot = snapshot_of(providers, self._settings.api_dialect, bypass.enabled, bypass.provider)
        are_named = self._settings.names_providers or any(p.source == FROM_ADMIN for p in providers.values())
        self.state.swap(snapshot, providers, RuleSet(definitions.rules), are_named)
        if found is not None:
            self.board.follow(*found)
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

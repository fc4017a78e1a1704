"""What the web process routes by: loaded before the first request, and again by the request that finds it changed."""

import os

from asgiref.sync import sync_to_async

from proxy import state
from proxy.link import RecorderLink
from routing import metrics
from routing.board import Board, Settings
from routing.definitions import CodexAuth, HttpClient, Provider, Rule
from routing.router import Router
from routing.rules import RuleSet
from routing.snapshot import snapshot_of


def begin(settings, link: RecorderLink | None) -> None:
    """Let requests be served by `settings`, the configuration."""
    routing = settings.routing
    board = Board(
        Settings(**routing.circuit_breaker.model_dump(), **routing.health.model_dump()), tell=metrics.Counting()
    )
    providers = {name: definition(p) for name, p in settings.providers.items()}
    rules = RuleSet([rule_definition(r) for r in routing.rules])
    snapshot = snapshot_of(providers, settings.api_dialect, settings.bypass.enabled, settings.bypass.provider)
    current = state.State(
        snapshot, settings.http_server.max_request_body_bytes, board, Router(rules, providers, board), os.environ, link
    )
    current.swap(snapshot, providers, rules, settings.names_providers)
    state.configure(current)
    metrics.watch(lambda: board)


def definition(p) -> Provider:
    return Provider(
        p.name,
        p.provider_type,
        p.base_url,
        p.enabled,
        p.api_key.get_secret_value() if p.api_key else "",
        p.model or "",
        tuple(p.model_map.items()),
        p.openai_api or "",
        http_client=HttpClient(**p.http_client.model_dump()),
        request_headers=tuple(p.request_headers.headers.items()),
        body_defaults=p.request_body.defaults,
        body_overrides=p.request_body.overrides,
        prepend_messages=tuple(m.model_dump() for m in p.request_body.prepend_messages),
        switch_notification=p.switch_notification_message or "",
        codex_auth=CodexAuth(p.codex_auth.auth_file, p.codex_auth.token_field, p.codex_auth.account_id or "")
        if p.codex_auth.enabled
        else None,
    )


def rule_definition(r) -> Rule:
    return Rule(
        r.name,
        ((r.primary,) if r.primary else ()) + r.providers + tuple(r.weights) + r.primary_providers,
        r.strategy or "primary",
        r.fallbacks,
        tuple(r.weights.values()),
        r.alternative_providers,
        r.exponential_backoff_base_secs,
        r.priority,
        True,
        r.model_pattern or "",
        r.path_pattern or "",
        tuple((k.lower(), v) for k, v in r.headers.items()),
        r.client or "",
    )


_ = sync_to_async

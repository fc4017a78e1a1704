"""Dashboard, analytics and settings: figures over a span of time, and the configuration in force."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from pydantic import BaseModel, SecretStr

from routing.masking import masked
from sessions import queries, stats, viewing
from sessions.browser.charts import Bar, bars
from sessions.budgets import quotas, statuses
from sessions.models import Exchange
from sessions.pages import page

SPANS = {"1": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days", "365": "A year"}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHOWN = 8
_CHANGES = re.compile(r"\.request_(?:headers\.headers|body)\.")


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars with the words at its edges."""

    top: float
    bars: tuple[Bar, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Cell:
    """An hour of the week: place in the grid, how strong (0 to 1), and the words that say it."""

    x: int
    y: int
    strength: float
    title: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the configuration with its value, as the file would have it."""

    key: str
    value: str
    is_default: bool


def _span(request: HttpRequest) -> tuple[str, stats.Span]:
    """The span that `days` names, with the filters of the address."""
    days = request.GET.get("days", "7")
    days = days if days in SPANS else "7"
    until = datetime.now(UTC)
    filters = {name: request.GET.get(name) or None for name in ("project", "client", "model")}
    return days, stats.Span(until - timedelta(days=int(days)), until, **filters)


def _spending(buckets: Sequence[stats.Bucket], by_hour: bool) -> tuple[Chart, Chart]:
    """Charts of cost and of tokens over the buckets."""
    names = [b.start.strftime("%a %H:%M" if by_hour else "%d %b") for b in buckets]
    edges = (names[0], names[-1]) if names else ("", "")
    costs = [
        (f"{n}: ${b.cost_usd or 0:,.2f}, {b.requests} requests", b.cost_usd or 0.0)
        for n, b in zip(names, buckets, strict=True)
    ]
    tokens = [(f"{n}: {b.tokens:,} tokens", float(b.tokens)) for n, b in zip(names, buckets, strict=True)]
    return Chart(*bars(costs), *edges), Chart(*bars(tokens), *edges)


@page
def dashboard(request: HttpRequest) -> HttpResponse:
    """What was spent, what runs, what was used."""
    days, span = _span(request)
    context = _frame(request, "dashboard", days)
    if context["has_sessions"]:
        found = stats.figures(span)
        cost, tokens = _spending(stats.spending(span), span.is_by_hour)
        running = Exchange.objects.filter(success=None).values("session_id")
        context |= {
            "overview": found.overview,
            "budgets": statuses.read(datetime.now(UTC)),
            "quotas": quotas.shown(datetime.now(UTC)),
            "cost": cost,
            "tokens": tokens,
            "models": found.models[:SHOWN],
            "tools": stats.tools(span)[:SHOWN],
            "projects": [p for p in found.projects if p.project][:SHOWN],
            "running": viewing.with_own_stars(list(viewing.sessions().filter(pk__in=running).order_by("-pk")[:10])),
            "sessions": viewing.with_own_stars(list(queries.find(queries.SessionFilter(page_size=SHOWN))[:SHOWN])),
        }
    return render(request, "figures/dashboard.html", context)


@page
def analytics(request: HttpRequest) -> HttpResponse:
    """Who and what used how much, when, and how long it took."""
    days, span = _span(request)
    context = _frame(request, "analytics", days)
    if context["has_sessions"]:
        context |= _analysis(request, span)
    return render(request, "figures/analytics.html", context)


@page
def redactions(request: HttpRequest) -> HttpResponse:
    """For htmx: what redaction replaced, by type."""
    _, span = _span(request)
    return render(request, "figures/_redactions.html", {"redactions": stats.redactions(span)})


def _frame(request: HttpRequest, place: str, days: str) -> dict[str, Any]:
    """What a page of figures shows though there is no session yet."""
    return {
        "place": place,
        "days": days,
        "spans": SPANS,
        "has_sessions": viewing.sessions().exists(),
        "address": f"{request.scheme}://{request.get_host()}",
    }


def _analysis(request: HttpRequest, span: stats.Span) -> dict[str, Any]:
    cost, tokens = _spending(stats.costs(span), False)
    found = stats.figures(span)
    sums = found.overview.sums
    hours = stats.hours(span)
    most = max((hour.requests for hour in hours), default=0) or 1
    return {
        "span": span,
        "query": request.GET.urlencode(),
        "overview": found.overview,
        "share": sums.proxy_overhead_ms / sums.provider_time_ms * 100 if sums.provider_time_ms else None,
        "cost": cost,
        "tokens": tokens,
        "models": found.models,
        "tools": stats.tools(span),
        "projects": found.projects,
        "clients": found.clients,
        "cells": [
            Cell(
                h.hour * 24,
                h.weekday * 20,
                round(h.requests / most, 3),
                f"{WEEKDAYS[h.weekday]} {h.hour}:00: {h.requests} requests",
            )
            for h in hours
        ],
        "weekdays": [(name, at * 20 + 14) for at, name in enumerate(WEEKDAYS)],
    }


@page
def configuration(request: HttpRequest) -> HttpResponse:
    """The configuration in force, secrets masked."""
    config = settings.LUNAROUTE
    found = list(_settings(config, ""))
    context = {
        "place": "settings",
        "settings": found,
        "config": config,
        "database": settings.DATABASES["default"]["ENGINE"].rsplit(".", 1)[-1],
    }
    return render(request, "figures/settings.html", context)


def _settings(value: Any, key: str, default: Any = None) -> Iterator[Setting]:
    """Each key below `value` with what it is set to."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _settings(
                getattr(value, name), f"{key}.{name}" if key else name, field.get_default(call_default_factory=True)
            )
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _settings(item, f"{key}.{name}")
    elif isinstance(value, tuple | list) and value and isinstance(value[0], BaseModel):
        for at, item in enumerate(value):
            yield from _settings(item, f"{key}.{at}")
    else:
        yield Setting(key, _shown(value, key), value == default)


def _shown(value: Any, key: str) -> str:
    if isinstance(value, SecretStr):
        return "set (hidden)" if value.get_secret_value() else "not set"
    if value is None or value == {} or value == () or value == []:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    below = _CHANGES.split(key, maxsplit=1)  # below these keys stands whatever a provider may want
    value = masked(value, below[-1] if len(below) > 1 else key.rpartition(".")[2])
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

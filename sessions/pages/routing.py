"""The page of routing: providers and how they fare, rules, and what would become of a request."""

from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from routing import live, models, overview, sources
from routing.clients import client_of
from routing.definitions import FROM_FILE, RequestFacts
from routing.paths import dialect_of_path
from routing.snapshot import snapshot_of
from routing.validation import CLIENTS, DIALECTS
from sessions.pages import page

DEFAULT_PATH = "/v1/messages"
# Characters of one field that are looked at.
LONGEST = 4_000


@page
@never_cache
def overall(request: HttpRequest) -> HttpResponse:
    """Show providers and rules, and for the request of the form what would become of it."""
    shown = live.shown()
    context: dict[str, object] = {
        "place": "routing",
        "serves": live.current is not None,
        "warnings": _beside_rules(shown.definitions),
        "providers": _linked(overview.providers_of(shown), models.Provider, "provider"),
        "rules": _linked(overview.rules_of(shown), models.Rule, "rule"),
        "window": settings.LUNAROUTE.routing.health.window_secs,
        "clients": CLIENTS,
        "dialects": DIALECTS,
        "asked": request.GET,
        "path": request.GET.get("path", DEFAULT_PATH),
    }
    if request.GET:
        context["preview"] = preview_of(shown, request.GET)
    return render(request, "routing/routing.html", context)


@page
@require_POST
def reset(request: HttpRequest) -> HttpResponse:
    """Close a provider's breaker and end its rest, here at once and elsewhere at the next request."""
    shown, name = live.shown(), request.POST.get("provider", "")
    if name not in shown.definitions.providers:
        return HttpResponseNotFound("There is no such provider.\n", content_type="text/plain; charset=utf-8")
    sources.reset(name)
    shown.board.reset(name)
    return HttpResponseRedirect(reverse("routing"))


def preview_of(shown: live.Live, asked) -> overview.Preview:
    """Give what would become of the request that the parameters `asked` describe."""
    config = settings.LUNAROUTE
    providers = shown.definitions.providers
    snapshot = snapshot_of(providers, config.api_dialect, config.bypass.enabled, config.bypass.provider)
    return overview.preview(shown, snapshot, facts_of(asked), asked.get("marker", "").strip())


def facts_of(asked) -> RequestFacts:
    """Read a request from parameters: path, model, client, dialect, and headers one a line."""
    path = asked.get("path", "").strip()[:LONGEST] or DEFAULT_PATH
    path = path if path.startswith("/") else f"/{path}"
    headers = [_header(line) for line in asked.get("headers", "")[:LONGEST].splitlines() if line.strip()]
    has_version = any(name == "anthropic-version" for name, _ in headers)
    dialect = asked.get("dialect") or dialect_of_path(path.encode(errors="replace"), has_version) or ""
    client = asked.get("client") or client_of(headers)
    return RequestFacts(asked.get("model", "").strip()[:LONGEST], path, tuple(headers), client, dialect)


def _beside_rules(definitions: sources.Definitions) -> list[str]:
    """Give the warnings that do not stand at a rule."""
    at_rules = {f"Rule {name}: {why}" for name, why in definitions.rule_warnings.items()}
    return [warning for warning in definitions.warnings if warning not in at_rules]


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _linked(views: Iterable, model, kind: str) -> list[dict[str, object]]:
    """Put beside each view where the admin has it."""
    changelist = reverse(f"admin:routing_{kind}_changelist")
    known = dict(model.objects.values_list("name", "pk"))
    linked = []
    for view in views:
        is_file = view.definition.source == FROM_FILE
        pk = None if is_file else known.get(view.definition.name)
        edit = changelist if pk is None else reverse(f"admin:routing_{kind}_change", args=(pk,))
        linked.append({"view": view, "edit": edit, "is_file": is_file})
    return linked

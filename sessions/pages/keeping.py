"""A page of the store: what it takes, what is due to be compressed and deleted, and what was."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from sessions import keeping, viewing
from sessions.models import RetentionRun
from sessions.pages import page

# Sessions and runs that are shown.
SHOWN, RUNS = 50, 20


@page
@never_cache
def store(request: HttpRequest) -> HttpResponse:
    """Show how the store is kept in its bounds."""
    policy = keeping.Policy.of(settings.LUNAROUTE)
    plan = keeping.plan(policy, timezone.now())
    context = {
        "place": "settings",
        "policy": policy,
        "plan": plan,
        "due": viewing.without_titles(plan.delete[:SHOWN]),
        "more": max(len(plan.delete) - SHOWN, 0),
        "interval": settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes,
        "share": round(plan.sizes.used / policy.max_total_bytes * 100) if policy.max_total_bytes else None,
        "runs": viewing.without_deleted(RetentionRun.objects.all()[:RUNS]),
    }
    return render(request, "figures/store.html", context)

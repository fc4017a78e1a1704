"""What the page of routing writes in its own way."""

from datetime import UTC, datetime

from django import template

from routing.limits import Quota

register = template.Library()


@register.filter
def moment(seconds: float | None) -> datetime | None:
    """A reading of the wall clock, in seconds since the epoch, as a time."""
    if seconds is None:
        return None
    try:
        found = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a provider may send any number
        return None
    return found if 1970 <= found.year <= 9998 else None  # the ends of the calendar have no equivalent in other zones


@register.filter
def percent(share: float | None) -> str:
    """97.5 %; nothing known gives a dash."""
    return "–" if share is None else f"{share * 100:.1f}".removesuffix(".0") + " %"


@register.filter
def left(quota: Quota) -> str:
    """12 of 50 left; 40 % left; nothing left."""
    if quota.remaining is None:
        return "" if quota.limit is None else f"of {quota.limit:,.0f}"
    if quota.limit == 1 and quota.name.startswith("unified"):
        return f"{percent(quota.remaining)} left"
    return (
        f"{quota.remaining:,.0f} left" if quota.limit is None else f"{quota.remaining:,.0f} of {quota.limit:,.0f} left"
    )

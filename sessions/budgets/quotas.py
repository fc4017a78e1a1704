"""The quotas that providers report with their answers, as they last did: for pages and for the next process."""

import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from routing.limits import quotas_of
from sessions.budgets.models import QuotaWindow
from sessions.models import Exchange

# Seconds between two times that they are written.
EVERY = 5.0
# Windows are shown, and kept, so long after somebody told of them.
KEPT = timedelta(days=8)
# The most windows that are remembered: names come from providers.
MAX_WINDOWS = 500
_FIRST = ("anthropic-ratelimit-", "x-ratelimit-", "x-codex-")
_ACCOUNTS = ("anthropic-organization-id", "openai-organization")


class Book:
    """What one recorder has heard and not yet written."""

    def __init__(self) -> None:
        self._news: dict[tuple[str, str, str], QuotaWindow] = {}
        self._written_at = float("-inf")

    def take(self, rows: Iterable[Exchange]) -> None:
        """Read the answers of exchanges that have ended."""
        for row in rows:
            told = [(name, value) for name, value in row.response_headers if name.lower().startswith(_FIRST)]
            if row.status is None or not told:
                continue
            seen_at = row.completed_at or datetime.now(UTC)
            headers = [(n.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for n, v in told]
            account = account_of(row.response_headers)
            for quota in quotas_of(headers, seen_at.timestamp()):
                key = row.provider[:64], account, quota.name[:64]
                if key in self._news or len(self._news) < MAX_WINDOWS:
                    self._news[key] = QuotaWindow(
                        provider=key[0], account=account, window=key[2], limit=quota.limit, remaining=quota.remaining,
                        reset_at=quota.reset_at, seen_at=seen_at,
                    )  # fmt: skip

    def write(self, at_once: bool = False) -> None:
        """Write what is new, now and then. Raises what the database says; what was to be written is kept then."""
        now = time.monotonic()
        if not self._news or (now < self._written_at + EVERY and not at_once):
            return
        self._written_at = now
        QuotaWindow.objects.bulk_create(
            self._news.values(), update_conflicts=True, unique_fields=["provider", "account", "window"],
            update_fields=["limit", "remaining", "reset_at", "seen_at"],
        )  # fmt: skip
        self._news.clear()


def account_of(headers: Iterable[tuple[str, str]]) -> str:
    """Give what tells accounts apart, by the organization that an answer names: no part of a key, and not its name."""
    for name, value in headers:
        if name.lower() in _ACCOUNTS and value:
            return hashlib.blake2b(value.encode(), digest_size=4).hexdigest()
    return ""


def shown(now: datetime) -> list[QuotaWindow]:
    """Give the windows that were told of lately, by provider."""
    return list(QuotaWindow.objects.filter(seen_at__gt=now - KEPT).order_by("provider", "account", "window"))

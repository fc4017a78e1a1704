"""Prices exchanges anew, and corrects the sums of their sessions."""

from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from sessions import bulk, prices
from sessions.dialects.facts import Usage
from sessions.models import Exchange, Session

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Repriced:
    """What came of it: exchanges whose cost changed, their sessions, exchanges that still have no known price."""

    exchanges: int = 0
    sessions: int = 0
    unknown: int = 0


def reprice(models: Collection[str] | None = None) -> Repriced:
    """Price exchanges without a cost, or all of `models`. A cost that was known is kept where no price is known now.

    JSONL files keep what they say.
    """
    prices.refresh(at_once=True)
    wanted = Exchange.objects.filter(total_tokens__gt=0, success__isnull=False)
    wanted = wanted.filter(cost_usd=None) if models is None else wanted.filter(model_used__in=models)
    keys = list(wanted.order_by("session_id", "pk").values_list("pk", flat=True))
    changed = unknown = 0
    sessions: set[int] = set()
    for start in range(0, len(keys), AT_ONCE):
        with transaction.atomic():
            rows = list(Exchange.objects.filter(pk__in=keys[start : start + AT_ONCE]))
            # The recorder adds to these sums: it waits.
            touched = list(
                Session.objects.select_for_update().filter(pk__in={row.session_id for row in rows}).order_by("pk")
            )
            priced = [row for row in rows if _price(row)]
            unknown += sum(row.cost_usd is None for row in rows)
            bulk.update(Exchange, priced, ("cost_usd",))
            changed += len(priced)
            ids = {row.session_id for row in priced}
            sums = Exchange.objects.filter(session__in=ids).values_list("session_id").annotate(Sum("cost_usd"))
            costs = dict(sums)
            for session in touched:
                session.cost_usd = costs.get(session.pk, session.cost_usd)
            bulk.update(Session, [s for s in touched if s.pk in ids], ("cost_usd",))
            sessions |= ids
    return Repriced(changed, len(sessions), unknown)


def models_of(rows: Collection[prices.ModelPrice]) -> list[str]:
    """Give the recorded models that own prices are for."""
    own = [prices.OwnPrice.of(row) for row in rows]
    names = Exchange.objects.filter(total_tokens__gt=0).values_list("model_used", flat=True).distinct().order_by()
    return [name for name in names if any(price.pattern.fullmatch(name) for price in own)]


def _price(row: Exchange) -> bool:
    """Note what an exchange costs; tells whether that is new."""
    usage = Usage(
        row.input_tokens, row.output_tokens, row.thinking_tokens, row.cache_read_tokens, row.cache_creation_5m_tokens,
        row.cache_creation_1h_tokens, row.audio_input_tokens, row.audio_output_tokens,
    )  # fmt: skip
    provider = settings.LUNAROUTE.providers.get(row.provider)
    kind = row.routing.get("provider_type") or (provider.provider_type if provider else row.listener)
    cost = prices.cost_usd(kind, row.model_used, usage, row.started_at)
    if cost is None or cost == row.cost_usd:
        return False
    row.cost_usd = cost
    return True

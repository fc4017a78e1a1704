"""What prompt caches saved, or cost."""

from collections.abc import Iterable

from django.conf import settings

from routing import live
from sessions import prices
from sessions.dialects.facts import Usage
from sessions.models import Session
from sessions.stats.span import Span, rows

# Prompts of about one size are priced together: where a model has a dearer price for long prompts, it begins at whole
# thousands of tokens.
_STEP = 1000
_PROMPT = (
    "e.input_tokens + e.cache_read_tokens + e.cache_creation_5m_tokens + e.cache_creation_1h_tokens"
    " + e.audio_input_tokens"
)
_COLUMNS = (
    f"e.provider, e.model_used, ({_PROMPT} - 1) / {_STEP}, SUM(e.cache_read_tokens),"
    " SUM(e.cache_creation_5m_tokens), SUM(e.cache_creation_1h_tokens)"
)
_USED = "e.cache_read_tokens + e.cache_creation_5m_tokens + e.cache_creation_1h_tokens > 0"


def cache_saving(span: Span) -> float | None:
    """Give what caches saved in a span, USD: see `prices.cache_saving_usd`.

    0 where none was used; what has no known price is left out, and None if that is all.
    """
    joins, condition, parameters = span.where()
    return _saving(rows(_query(f"{joins} WHERE {condition}"), parameters))


def cache_saving_of(session: Session) -> float | None:
    """Give what caches saved in a session, USD, likewise."""
    return _saving(rows(_query(" WHERE e.session_id = %s AND e.kind = 'model'"), [session.pk]))


def _query(where: str) -> str:
    return f"SELECT {_COLUMNS} FROM exchanges e{where} AND {_USED} GROUP BY 1, 2, 3"


def _saving(found: Iterable[tuple]) -> float | None:
    prices.refresh()
    providers = live.current.definitions.providers if live.current else settings.LUNAROUTE.providers
    savings = [
        prices.cache_saving_usd(
            # The exchange's own type is not in the index that statistics live on; one that has gone needs no type.
            providers[provider].provider_type if provider in providers else "",
            model,
            Usage(cache_read=int(read), cache_creation_5m=int(short), cache_creation_1h=int(long)),
            prompt=thousands * _STEP + 1,
        )
        for provider, model, thousands, read, short, long in found
    ]
    known = [saving for saving in savings if saving is not None]
    return sum(known) if known or not savings else None

"""What the formats share: a session's exchanges, some at a time."""

from collections.abc import Iterator
from itertools import islice

from sessions.models import Exchange, Session

# Exchanges in memory at once, with their contents.
AT_ONCE = 50


def parts(session: Session) -> Iterator[list[Exchange]]:
    """Give a session's exchanges in order, AT_ONCE at a time."""
    # Keys first: the session may go on meanwhile, and what is being written must not shift.
    keys = iter(session.exchanges.order_by("started_at", "pk").values_list("pk", flat=True))
    while part := list(islice(keys, AT_ONCE)):
        rows = Exchange.objects.select_related("parent", "session").in_bulk(part)
        yield [rows[key] for key in part if key in rows]

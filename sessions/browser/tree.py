"""A session's exchanges as a whole: their numbers, threads and use of the cache, and any of them to be read."""

from collections.abc import Collection
from dataclasses import dataclass

from sessions import timeline
from sessions.browser.charts import Use, broken_caches
from sessions.browser.threads import Place, Thread, threads_of
from sessions.models import Session

COLUMNS = ("pk", "request_id", "parent_id", "kind", "tool_count", "system", "cache_read_tokens",
           "cache_creation_5m_tokens", "cache_creation_1h_tokens", "input_tokens", "output_tokens", "success")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """A session's exchanges without their content: numbers from 1 in the order of their start, and their threads."""

    numbers: dict[int, int]  # by primary key
    by_request: dict[str, int]  # number by request id
    threads: tuple[Thread, ...]
    thread_of: dict[int, Thread]  # by primary key
    uses: tuple[Use, ...]
    failed: frozenset[int]  # primary keys

    @property
    def branches(self) -> list[Thread]:
        """The threads that are told apart on the page."""
        return [thread for thread in self.threads if thread.name] if len(self.threads) > 1 else []


def tree_of(session: Session) -> Tree:
    """Read the tree of a session: one narrow query."""
    rows = list(session.exchanges.order_by("started_at", "pk").values_list(*COLUMNS))
    places = [Place(pk, parent, kind, tools, bytes(system)) for pk, _, parent, kind, tools, system, *_ in rows]
    threads = threads_of(places)
    thread_of = {pk: thread for thread in threads for pk in thread.exchanges}
    uses = [
        Use(number, threads.index(thread_of[pk]), read, five + hour, fresh, output)
        for number, (pk, _, _, kind, _, _, read, five, hour, fresh, output, _) in enumerate(rows, 1)
        if kind == "model"
    ]
    return Tree(
        {row[0]: number for number, row in enumerate(rows, 1)},
        {row[1]: number for number, row in enumerate(rows, 1)},
        tuple(threads),
        thread_of,
        tuple(uses),
        frozenset(row[0] for row in rows if row[-1] is False),
    )


def turns_of(session: Session, tree: Tree, keys: Collection[int]) -> list[timeline.Turn]:
    """Read exchanges of a session by primary key, in order, with their places in its tree."""
    exchanges = list(session.exchanges.filter(pk__in=keys).select_related("parent").order_by("started_at", "pk"))
    turns = timeline.turns(session, exchanges, 1)
    broken = broken_caches(tree.uses)
    for turn in turns:
        turn.number = tree.numbers[turn.row.pk]
        turn.thread = tree.thread_of[turn.row.pk]
        turn.cache_lost = broken.get(turn.number, 0)
    return turns

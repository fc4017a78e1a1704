"""Documents into the index and out of it, in the transactions of what is recorded and deleted."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from sessions import bulk
from sessions.bounds import keep
from sessions.models import Exchange, SearchDocument, SearchSession, Session
from sessions.search.documents import MAX_DOCUMENTS, SESSION_BITS, Kind, id_of
from sessions.search.engines import Document, engine
from sessions.search.sources import Said, said_in, texts_of_documents
from sessions.search.tokens import chunks_of

# Sessions of which it is at hand what is indexed.
MAX_KNOWN = 128
# Texts of a session of which it is known that they are indexed: one that is said again after so many others is indexed again.
MAX_TEXTS = 20_000
_STATE = ("title", "documents", "upto")
# Exchanges that one step of the backfill takes: some 20 ms in which nothing is recorded.
STEP = 40
# Sessions that are taken out of the index at once.
TOGETHER = 50


class Indexer:
    """Indexes what a recorder writes. Remembers what is there already, until it is told to forget."""

    def __init__(self) -> None:
        # By session: blobs that are indexed, and hashes of the texts (those of this process).
        self._known: OrderedDict[int, dict[bytes | int, None]] = OrderedDict()

    def forget(self) -> None:
        """A transaction was rolled back: the database has the last word."""
        self._known.clear()

    def write(self, said: Iterable[Said], sessions: Iterable[Session], first: int) -> None:
        """Index what was `said` in `sessions`, whose rows are written and locked. A session that was recorded before
        there was an index is left to the backfill: it has exchanges before `first`, the first new one (0: none is)."""
        rows = {session.pk: session for session in sessions}
        found = bulk.read(SearchSession, _STATE, rows)
        states = {
            key: bulk.make(SearchSession, session_id=key, **dict(zip(_STATE, values, strict=True)))
            for key, *values in found
        }
        created = [SearchSession(session_id=key) for key in self._new(rows.keys() - states.keys(), first)]
        for state in created:
            self._known[state.session_id] = {}
        states |= {state.session_id: state for state in created}
        before = {key: (state.title, state.documents) for key, state in states.items()}
        documents: list[Document] = []
        for key, state in states.items():
            documents += _retitled(state, rows[key].title)
        for one in said:
            state = states.get(one.exchange.session_id)
            # What the backfill has not come to, it will.
            if state is not None and (state.upto is None or one.exchange.pk <= state.upto):
                documents += self.documents(state, one)
        engine().insert(documents)
        SearchSession.objects.bulk_create(created)
        fresh = {state.session_id for state in created}
        changed = [s for key, s in states.items() if key not in fresh and before[key] != (s.title, s.documents)]
        _update(changed)

    def _new(self, keys: set[int], first: int) -> list[int]:
        """Give those of sessions without a state that have no exchange from before."""
        if not keys:
            return []
        old = Exchange.objects.filter(session__in=keys)
        old = old.filter(pk__lt=first) if first else old
        return sorted(keys - set(old.values_list("session_id", flat=True)))

    def documents(self, state: SearchSession, said: Said) -> list[Document]:
        """Make the documents of what was said; none of what the session has already said in the same words."""
        known = self._of(state.session_id)
        if said.blob:
            if said.blob in known:
                return []
            known[said.blob] = None
        found = []
        for kind, text in said.texts.items():
            mark = hash((kind, text))
            if mark in known:
                continue
            known[mark] = None
            for chunk, (words, compounds) in enumerate(chunks_of(text)):
                if state.documents >= MAX_DOCUMENTS:
                    return found
                key = id_of(state.session_id, kind, state.documents)
                found.append(Document(key, said.exchange.pk, said.blob, chunk, words, compounds))
                state.documents += 1
        return found

    def _of(self, session: int) -> dict[bytes | int, None]:
        known = self._known.get(session)
        if known is None:
            there = SearchDocument.objects.filter(_range_of(session)).values_list("blob", flat=True)
            known = self._known[session] = dict.fromkeys(map(bytes, there))
        keep(known, MAX_TEXTS)
        self._known.move_to_end(session)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known


class Backfill:
    """Indexes sessions that were recorded before there was an index: the newest first, some exchanges at a time.

    How far it is stands in the database, so that it goes on where a recorder before it was ended.
    """

    def __init__(self) -> None:
        self._indexer = Indexer()
        self._begun: list[int] | None = None  # sessions that are indexed in part
        self._below: int | None = None

    def step(self) -> bool:
        """Index some exchanges, in one transaction. False when all is done."""
        left = STEP
        try:
            with transaction.atomic():
                while left > 0:
                    key = self._next()
                    if key is None:
                        return False
                    left -= self._index(key, left)
        except BaseException:
            self._begun = self._below = None
            self._indexer.forget()
            raise
        return True

    def _next(self) -> int | None:
        if self._begun is None:
            self._begun = list(SearchSession.objects.exclude(upto=None).order_by("pk").values_list("pk", flat=True))
        if self._begun:
            return self._begun[-1]
        rest = Session.objects.all() if self._below is None else Session.objects.filter(pk__lt=self._below)
        indexed = SearchSession.objects.filter(session_id=OuterRef("pk"))
        key = rest.filter(~Exists(indexed)).order_by("-pk").values_list("pk", flat=True).first()
        if key is not None:
            self._begun.append(key)
            self._below = key
        return key

    def _index(self, key: int, count: int) -> int:
        """Index up to `count` exchanges of a session. Gives what that costs, as exchanges."""
        session = Session.objects.select_for_update().filter(pk=key).first()
        state = None
        if session is None:  # deleted meanwhile
            SearchSession.objects.filter(pk=key).delete()
        else:
            state, _ = SearchSession.objects.get_or_create(session_id=key, defaults={"upto": 0})
        if state is None or state.upto is None:
            self._begun.remove(key)
            return 1
        exchanges = list(session.exchanges.filter(pk__gt=state.upto).order_by("pk")[:count])
        documents = list(_retitled(state, session.title))
        for said in said_in(exchanges):
            documents += self._indexer.documents(state, said)
        engine().insert(documents)
        state.upto = exchanges[-1].pk if len(exchanges) == count else None
        _update([state])
        if state.upto is None:
            self._begun.remove(key)
        return len(exchanges) + 1


def remove(session_pks: Iterable[int]) -> None:
    """Take sessions out of the index. To be called before their rows and contents go, in the same transaction."""
    keys = list(session_pks)
    for start in range(0, len(keys), TOGETHER):
        part = keys[start : start + TOGETHER]
        documents = SearchDocument.objects.filter(reduce(or_, map(_range_of, part)))
        engine().delete(_documents_again(list(documents)))
        documents.delete()  # those whose text is gone as well
        SearchSession.objects.filter(pk__in=part).delete()


def add(session: Session) -> None:
    """Put a session that is not in the index into it, all at once, in the transaction of its rows."""
    state = SearchSession.objects.create(session_id=session.pk)
    indexer, documents = Indexer(), list(_retitled(state, session.title))
    exchanges = session.exchanges.order_by("pk")
    while some := list(exchanges[:STEP]):
        for said in said_in(some):
            documents += indexer.documents(state, said)
        exchanges = session.exchanges.filter(pk__gt=some[-1].pk).order_by("pk")
    engine().insert(documents)
    _update([state])


def _documents_again(rows: Sequence[SearchDocument]) -> list[Document]:
    """Make the documents once more that rows stand for. Those whose text is gone are left out."""
    texts = texts_of_documents(rows)
    chunks: dict[str, list[tuple[str, str]]] = {}
    found = []
    for row in rows:
        if row.id not in texts:
            continue
        text, _ = texts[row.id]
        if text not in chunks:
            chunks[text] = list(chunks_of(text))
        if row.chunk < len(chunks[text]):
            words, compounds = chunks[text][row.chunk]
            found.append(Document(row.id, row.exchange_id, bytes(row.blob), row.chunk, words, compounds))
    return found


def _retitled(state: SearchSession, title: str) -> Iterable[Document]:
    """Index a session's title, in place of the one before."""
    if state.title == title:
        return
    key = id_of(state.session_id, Kind.TITLE, 0)
    for chunk, (words, compounds) in enumerate(chunks_of(state.title)):
        engine().delete([Document(key + chunk, None, b"", chunk, words, compounds)])
    state.title = title
    for chunk, (words, compounds) in enumerate(chunks_of(title)):
        yield Document(key + chunk, None, b"", chunk, words, compounds)


def _range_of(session: int) -> Q:
    """Give the documents of a session."""
    return Q(id__gte=session << SESSION_BITS, id__lt=session + 1 << SESSION_BITS)


def _update(states: Sequence[SearchSession]) -> None:
    bulk.update(SearchSession, states, _STATE, by=("session_id",))

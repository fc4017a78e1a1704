"""The index in either database: SQLite's FTS5, or PostgreSQL's tsvector with GIN. Both hold the same tokens.

An engine finds and counts documents; what a document is, and which session comes first, is decided elsewhere.
"""

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from django.db import connection
from django.db.models import BinaryField
from django.db.models.expressions import RawSQL

from sessions import binary
from sessions.search.documents import NUMBER_BITS, SESSION_BITS
from sessions.search.language import Term
from sessions.search.tokens import CHUNK

# More than a document has tokens.
_PLACES = tuple(map(str, range(1, 3 * CHUNK)))
# Pages that one step of a merge writes.
PAGES_AT_ONCE = 16
# Reading the ids of so many documents takes less time than searching some fifty sessions one by one.
AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """A row of the index, and where its text stands (see SearchDocument)."""

    id: int
    exchange: int | None
    blob: bytes
    chunk: int
    words: str
    compounds: str


class Fts5:
    """SQLite. The table has no content: a document leaves it by the tokens with which it came."""

    def expression(self, terms: Iterable[Term], any_of: bool = False) -> str:
        """Give the search for documents with all (or `any_of`) `terms`."""
        return (" OR " if any_of else " AND ").join(map(self._term, terms))

    def _term(self, term: Term) -> str:
        star = " *" if term.is_prefix else ""
        if len(term.tokens) == 1:
            return f'"{term.tokens[0]}"{star}'
        phrase = f'words : "{" ".join(term.tokens)}"{star}'
        return f'({phrase} OR "{term.compound}"{star})' if term.compound else f"({phrase})"

    def counts(self, expression: str) -> dict[int, int]:
        """Give how many documents were found by session and kind (as in a document's id)."""
        # All in one value: rows, and a GROUP BY that sorts them, take three times as long.
        return Counter(self._list(f"rowid >> {NUMBER_BITS}", expression))

    def scores(self, expression: str) -> list[tuple[int, float]]:
        """Give (document, how well it matches)."""
        return _ask("SELECT rowid, -bm25(search_index) FROM search_index WHERE search_index MATCH %s", [expression])

    def first_in(self, terms: Sequence[Term], sessions: Iterable[int], limit: int) -> list[int]:
        """Give the first `limit` documents with all `terms` in each of `sessions`."""
        expression = self.expression(terms)
        # A prefix is put together from all of its words anew by each search.
        if any(term.is_prefix for term in terms) or not self._more_than(AT_ONCE, expression):
            ids = sorted(self._list("rowid", expression))
            starts = [(bisect_left(ids, key << SESSION_BITS), key + 1 << SESSION_BITS) for key in sessions]
            return [key for start, end in starts for key in ids[start : start + limit] if key < end]
        found: list[int] = []
        for session in sessions:
            rows = _ask(
                "SELECT rowid FROM search_index WHERE search_index MATCH %s AND rowid BETWEEN %s AND %s ORDER BY rowid LIMIT %s",
                [expression, session << SESSION_BITS, (session + 1 << SESSION_BITS) - 1, limit],
            )
            found += [row[0] for row in rows]
        return found

    def _more_than(self, count: int, expression: str) -> bool:
        matches = "SELECT 1 FROM search_index WHERE search_index MATCH %s LIMIT 1 OFFSET %s"
        return bool(_ask(matches, [expression, count]))

    def _list(self, column: str, expression: str) -> list[int]:
        """Give `column` of the documents found, in no certain order."""
        matches = "FROM search_index WHERE search_index MATCH %s"
        ((listed,),) = _ask(f"SELECT json_group_array({column}) {matches}", [expression])
        return orjson.loads(listed)

    def insert(self, documents: Sequence[Document]) -> None:
        """Put documents into the index. Quickest in the order of their ids."""
        rows = sorted(documents, key=lambda d: d.id)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO search_documents (id, exchange_id, blob, chunk) VALUES (%s, %s, %s, %s)",
                [(d.id, d.exchange, d.blob, d.chunk) for d in rows],
            )
            cursor.executemany(
                "INSERT INTO search_index (rowid, words, compounds) VALUES (%s, %s, %s)",
                [(d.id, d.words, d.compounds) for d in rows],
            )

    def delete(self, documents: Sequence[Document]) -> None:
        """Take documents out of the index."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO search_index (search_index, rowid, words, compounds) VALUES ('delete', %s, %s, %s)",
                [(d.id, d.words, d.compounds) for d in documents],
            )
            cursor.executemany("DELETE FROM search_documents WHERE id = %s", [(d.id,) for d in documents])

    def merge(self) -> bool:
        """Merge some of what transactions have added, each as a tree of its own: terms that they share are then held
        once. Takes some milliseconds; False when all is merged."""
        connection.ensure_connection()
        before = connection.connection.total_changes
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO search_index (search_index, rank) VALUES ('merge', %s)", [PAGES_AT_ONCE])
        return connection.connection.total_changes - before > 1  # FTS5 says so by counting more than its own row

    def among(self, sessions: Sequence[int]) -> RawSQL:
        """Give the keys `sessions` as a subquery."""
        return RawSQL("SELECT value FROM json_each(%s)", (orjson.dumps(list(sessions)).decode(),))


class Tsvector:
    """PostgreSQL."""

    def expression(self, terms: Iterable[Term], any_of: bool = False) -> str:
        """Give the search for documents with all (or `any_of`) `terms`."""
        return (" | " if any_of else " & ").join(map(self._term, terms))

    def _term(self, term: Term) -> str:
        star = ":*" if term.is_prefix else ""
        phrase = " <-> ".join(f"'{token}'" for token in term.tokens) + star
        return f"(({phrase}) | '{term.compound}'{star})" if term.compound else f"({phrase})"

    def counts(self, expression: str) -> dict[int, int]:
        """Give how many documents were found by session and kind (as in a document's id)."""
        rows = _ask(
            f"SELECT id >> {NUMBER_BITS}, count(*) FROM search_documents WHERE vector @@ %s::tsquery GROUP BY 1",
            [expression],
        )
        return dict(rows)

    def scores(self, expression: str) -> list[tuple[int, float]]:
        """Give (document, how well it matches)."""
        return _ask(
            "SELECT id, ts_rank(vector, q.q, 1) FROM search_documents, (SELECT %s::tsquery AS q) q WHERE vector @@ q.q",
            [expression],
        )

    def first_in(self, terms: Sequence[Term], sessions: Iterable[int], limit: int) -> list[int]:
        """Give the first `limit` documents with all `terms` in each of `sessions`."""
        rows = _ask(
            "SELECT d.id FROM unnest(%s::bigint[]) AS s(key) CROSS JOIN LATERAL (SELECT id FROM search_documents"
            f" WHERE id >= s.key << {SESSION_BITS} AND id < (s.key + 1) << {SESSION_BITS}"
            " AND vector @@ %s::tsquery ORDER BY id LIMIT %s) d",
            [list(sessions), self.expression(terms), limit],
        )
        return [row[0] for row in rows]

    def insert(self, documents: Sequence[Document]) -> None:
        """Put documents into the index."""
        if not documents:
            return
        rows = [(d.id, d.exchange, d.blob, d.chunk, _vector(d.words, d.compounds)) for d in documents]
        source, arrays = binary.unnest(("bigint", "bigint", "bytea", "integer", "text"), rows)
        binary.execute(
            connection,
            "INSERT INTO search_documents (id, exchange_id, blob, chunk, vector)"
            f" SELECT id, exchange, blob, chunk, vector::tsvector FROM {source} v(id, exchange, blob, chunk, vector)",
            arrays,
            gives_rows=False,
        )

    def delete(self, documents: Sequence[Document]) -> None:
        """Take documents out of the index."""
        _do("DELETE FROM search_documents WHERE id = ANY(%s)", [[d.id for d in documents]])

    def among(self, sessions: Sequence[int]) -> RawSQL:
        """Give the keys `sessions` as a subquery."""
        return RawSQL("SELECT unnest(%s::bigint[])", (list(sessions),))


def _vector(words: str, compounds: str) -> str:
    """Give tokens as the text of a tsvector. Compounds stand at the first place: no phrase asks for theirs."""
    places: dict[str, str] = {}
    for token, place in zip(words.split(" "), _PLACES, strict=False):
        if token in places:
            places[token] += "," + place
        else:
            places[token] = place
    for token in compounds.split():
        places.setdefault(token, "1")
    return " ".join(map(":".join, places.items()))  # tokens are letters and digits: they need no quotes


def _ask(query: str, values: list) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def _do(query: str, values: list) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)


def place_in(places: Mapping[int, int]) -> RawSQL:
    """Give a session's place (of those by primary key, at least one) as something to sort by, at no cost for each row.

    The places stand in one string of bytes, four for each primary key from the least to the greatest.
    """
    least = min(places)
    found = array("I", bytes(4 * (max(places) - least + 1)))
    for session, place in places.items():
        found[session - least] = place
    if sys.byteorder == "little":
        found.byteswap()  # bytes compare as numbers do
    column = 'substr(%s, CAST(("sessions"."id" - %s) * 4 + 1 AS integer), 4)'
    return RawSQL(column, (found.tobytes(), least), output_field=BinaryField())


_ENGINES = {"sqlite": Fts5(), "postgresql": Tsvector()}


def engine() -> Fts5 | Tsvector:
    """The engine of the default database."""
    return _ENGINES[connection.vendor]

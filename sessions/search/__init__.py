"""Full-text search over what was recorded, the same on SQLite and PostgreSQL (docs/decisions/006-search.md)."""

from sessions.search.engines import engine, place_in
from sessions.search.indexing import Backfill, Indexer, add, remove
from sessions.search.ranking import narrow
from sessions.search.snippets import Snippet, snippets
from sessions.search.sources import Said, said_in_answer, said_in_request

__all__ = [
    "Backfill", "Indexer", "Said", "Snippet", "add", "engine", "narrow", "place_in", "remove", "said_in_answer",
    "said_in_request", "snippets",
]  # fmt: skip

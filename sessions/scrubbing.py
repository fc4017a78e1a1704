"""Leaves nothing in the database's files of what was replaced in its rows: databases keep deleted bytes for a while."""

from django.db import connection

from sessions.models import Blob, Exchange, JsonlFile, Node, SearchDocument, SearchSession, Session, ToolCall

TABLES = tuple(
    m._meta.db_table for m in (Session, Exchange, ToolCall, Blob, Node, JsonlFile, SearchDocument, SearchSession)
)


def begin() -> None:
    """To be called on the connection on which contents are replaced: from here on, deleted bytes become zeros at once."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")
            cursor.execute("PRAGMA temp_store = MEMORY")  # what is sorted or set aside meanwhile is on no disk


def scrub() -> bool:
    """Write the database anew without what nothing names any more. To be called outside of a transaction.

    SQLite's index keeps the words of deleted texts until its trees are merged, its file the bytes of free pages, its log
    those of earlier pages. PostgreSQL keeps dead rows, and samples of values for its planner. False where somebody else
    still reads from SQLite's log, which then stays. Raises DatabaseError; takes up to the database's size on the disk.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in TABLES:
                cursor.execute(f'VACUUM (FULL, ANALYZE) "{table}"')
            return True
        cursor.execute("INSERT INTO search_index (search_index) VALUES ('optimize')")
        cursor.execute("PRAGMA temp_store = DEFAULT")  # what is copied from here on is redacted
        cursor.execute("VACUUM")
        return cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0

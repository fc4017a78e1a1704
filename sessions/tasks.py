"""What Celery does for the store, away from proxy and recorder."""

from celery import shared_task
from django.db import connection


@shared_task
def optimize_database() -> None:
    """Let the database refresh what its query planner knows; SQLite also takes back its write-ahead log."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA optimize")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        elif connection.vendor == "postgresql":
            cursor.execute("ANALYZE")

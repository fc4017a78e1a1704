"""What Celery does for the store, away from proxy and recorder."""

import logging

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError, connection

from sessions import keeping

logger = logging.getLogger("lunaroute.retention")


@shared_task
def optimize_database() -> None:
    """Let the database refresh what its query planner knows; SQLite also takes back its write-ahead log."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA optimize")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        elif connection.vendor == "postgresql":
            cursor.execute("ANALYZE")


@shared_task
def retention() -> None:
    """Compress and delete what is due by the configuration."""
    config = settings.LUNAROUTE
    try:
        done = keeping.run(keeping.Policy.of(config), config.home, "schedule")
    except keeping.AnotherRuns:
        return
    except (DatabaseError, OSError) as error:
        logger.warning("retention could not be completed: %s; the next run goes on", " ".join(str(error).split()))
        return
    if done.deleted_sessions or done.compressed_files:
        message = "retention: %d sessions deleted, %d files compressed, %.1f MB freed"
        logger.info(message, done.deleted_sessions, done.compressed_files, done.freed_bytes / 1e6)

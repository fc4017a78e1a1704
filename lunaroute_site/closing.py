"""What the server says when it has stopped: the statistics of the sessions of this run."""

import logging
import os
import sys
import threading
from datetime import datetime

logger = logging.getLogger("lunaroute.server")

# Seconds that statistics may take: a database that does not answer and a reader that does not read delay no end.
LIMIT = 0.8


def say_statistics(settings, recorder: str, since: datetime) -> None:
    """Print the statistics of the last sessions that `recorder` has recorded `since` then; nothing where there are none."""
    if not settings.session_stats_max_sessions:
        return
    thread = threading.Thread(target=_say, args=(settings, recorder, since), daemon=True)
    thread.start()
    thread.join(LIMIT)
    if thread.is_alive():
        logger.warning("the statistics took too long: `lunaroute-server stats` prints them")


def _say(settings, recorder: str, since: datetime) -> None:
    from django.db import Error, connections

    from sessions.summary import sessions_since, summary

    try:
        sessions = sessions_since(since, recorder, settings.session_stats_max_sessions)
        if sessions:
            text = "\n" + "".join(summary(sessions, settings.logging.is_detailed))
            _write(sys.stdout.fileno(), text.encode("utf-8", "replace"))
    except Error as error:
        logger.warning("there are no statistics: %s", " ".join(str(error).split()))
    except OSError:
        pass  # nobody reads any more
    finally:
        connections.close_all()


def _write(fd: int, data: bytes) -> None:
    # Not by sys.stdout: what it holds back would be written once more at the end, without a limit.
    while data:
        data = data[os.write(fd, data) :]

"""Celery: maintenance of the store, away from proxy and recorder. Tasks: sessions/tasks.py."""

import logging
import os
import socket
import threading
import time
import warnings
from contextlib import suppress

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")

from billiard import current_process
from celery import Celery, signals
from celery.beat import Service
from celery.platforms import SecurityWarning
from django.conf import settings

from lunaroute_site import broker
from lunaroute_site.schedule import RUNS, SCHEDULE, Runs, Schedule

logger = logging.getLogger("lunaroute.worker")

HOME = settings.LUNAROUTE.home
# Seconds between two signs of life, and before a beat that failed is started again.
HEARTBEAT, BEAT_AGAIN = 300.0, 30.0

app = Celery("lunaroute")
app.conf.update(
    broker.options(HOME, settings.LUNAROUTE.redis_url),
    timezone="UTC",
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_concurrency=1,
    worker_prefetch_multiplier=1,
    worker_pool="solo",
    worker_cancel_long_running_tasks_on_connection_loss=True,  # none here; unset, it is warned about
    beat_scheduler="lunaroute_site.schedule:Schedule",
    beat_schedule_filename=str(HOME / "broker" / SCHEDULE),
    beat_schedule={
        "heartbeat": {"task": "lunaroute_site.celery.heartbeat", "schedule": HEARTBEAT},
        "optimize-database": {"task": "sessions.tasks.optimize_database", "schedule": 24 * 3600.0},
        "retention": {
            "task": "sessions.tasks.retention",
            "schedule": settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes * 60.0,
        },
    },
)
app.autodiscover_tasks(["sessions"])

# The supervisor's socket, in the worker that it started.
_supervisor: socket.socket | None = None


@signals.celeryd_init.connect
def _prepare(**_: object) -> None:
    """Make ready what a worker needs, be it the server's own or one that was started apart."""
    os.umask(0o077)
    broker.prepare(HOME)
    Runs(app, HOME / "broker" / RUNS)


@app.task
def heartbeat() -> None:
    """Show that beat, broker and worker work, by having come through all of them; and clear away old messages."""
    if _supervisor is not None:
        with suppress(OSError):
            _supervisor.send(b".", socket.MSG_DONTWAIT)
    broker.sweep(HOME, time.time())


def run_worker(supervisor: socket.socket) -> None:
    """Run a worker with its beat in this process until SIGTERM. `supervisor` gets a byte with each heartbeat."""
    global _supervisor
    _supervisor = supervisor
    # Celery greets, warns root and says goodbye on the terminal; here it is one process of a server that has its own words.
    warnings.simplefilter("ignore", SecurityWarning)
    # Of a broker that is away the schedule tells once; Celery would each time it tries.
    for name in ("kombu.connection", "celery.worker.consumer.consumer", "celery.beat"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    current_process()._name = "worker"
    worker = app.Worker(
        pool="solo", quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True, loglevel="WARNING"
    )
    # In a thread: an own process for a clock would cost its memory.
    threading.Thread(target=_beat, daemon=True).start()
    worker.start()


def _beat() -> None:
    """Run the beat, whatever becomes of its broker."""
    while True:
        try:
            Service(app, scheduler_cls=Schedule).start()
        except Exception as error:
            logger.warning("the schedule stopped (%s): it goes on in %d s", error, BEAT_AGAIN)
        time.sleep(BEAT_AGAIN)

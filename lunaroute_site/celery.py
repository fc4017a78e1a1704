"""Celery: maintenance of the store, away from proxy and recorder. Tasks and their times: sessions/tasks.py."""

import logging
import os
import signal
import socket
import threading
import time
import warnings
from contextlib import suppress
from hashlib import blake2b
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")

from billiard import current_process
from celery import Celery
from celery.beat import Service
from celery.platforms import SecurityWarning
from celery.signals import celeryd_init, task_postrun, task_prerun
from django.conf import settings

from lunaroute_site import broker, states
from lunaroute_site.schedule import SCHEDULE, Schedule
from lunaroute_site.signals import STRAY, ignore

logger = logging.getLogger("lunaroute.worker")


# Seconds between two signs of life.
HEARTBEAT = 300.0

app = Celery("lunaroute")
app.conf.update(
    broker.options(settings.LUNAROUTE.home, settings.LUNAROUTE.redis_url),
    timezone="UTC",
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_concurrency=1,
    worker_prefetch_multiplier=1,
    worker_pool="solo",
    worker_cancel_long_running_tasks_on_connection_loss=True,  # none here; unset, it is warned about
    beat_scheduler="lunaroute_site.schedule:Schedule",
    beat_schedule_filename=str(settings.LUNAROUTE.home / "broker" / SCHEDULE),
    beat_schedule={
        "heartbeat": {"task": "lunaroute_site.celery.heartbeat", "schedule": HEARTBEAT},
        "optimize-database": {"task": "sessions.tasks.optimize_database", "schedule": 24 * 3600.0},
        "retention": {
            "task": "sessions.tasks.retention",
            "schedule": settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes * 60.0,
        },
    },
)
if settings.LUNAROUTE.team.enabled:
    app.conf.beat_schedule["forget-audit"] = {"task": "team.tasks.forget_audit", "schedule": 24 * 3600.0}
app.autodiscover_tasks(["sessions", "team"])

# Seconds after which a task hangs: the process ends, and the supervisor starts another.
LONGEST = 3600.0
# The supervisor's socket, in the worker that it started.
_supervisor: socket.socket | None = None
_watching: dict[str, tuple[threading.Timer, float]] = {}


@task_prerun.connect
def _begin(task_id: str, **about: object) -> None:
    timer = threading.Timer(LONGEST, _give_up, (task_id,))
    timer.daemon = True
    timer.start()
    _watching[task_id] = timer, time.monotonic()


def _give_up(task_id: str) -> None:
    logger.error("task %s has taken %d s: the worker is started again", task_id, LONGEST)
    logging.shutdown()
    os._exit(1)


@task_postrun.connect
def _ended(task_id: str, task: Any, retval: object, state: str | None = None, **about: object) -> None:
    timer, began = _watching.pop(task_id)
    timer.cancel()
    if task is heartbeat:
        return
    error = "" if state == "SUCCESS" else f"{type(retval).__name__}: {retval}"[:500]
    states.note_task(settings.LUNAROUTE.home, task.name, time.monotonic() - began, error)


@app.task
def heartbeat() -> None:
    """Show that beat, broker and worker work, by having come through all of them; and clear away old messages."""
    if _supervisor is not None:
        with suppress(OSError):
            _supervisor.send(b".", socket.MSG_DONTWAIT)
    broker.sweep(settings.LUNAROUTE.home, time.time())


@celeryd_init.connect
def _prepare(**about: object) -> None:
    """Make ready what a worker needs, be it the server's own or one that was started apart."""
    os.umask(0o077)
    with suppress(OSError):
        broker.prepare(settings.LUNAROUTE.home, settings.LUNAROUTE.redis_url)


def _run_beat() -> None:
    try:
        Service(app, scheduler_cls=Schedule).start(embedded_process=False)
    except Exception:
        logger.exception("the schedule has stopped: the worker is started again")
    logging.shutdown()
    os._exit(1)  # a worker without its beat does nothing


def queue_of_home() -> str:
    """Name the queue of the server's own worker: its tasks see to this home's files, and other hosts may use the same Redis."""
    return f"lunaroute-{blake2b(settings.LUNAROUTE.identity.encode(), digest_size=8).hexdigest()}"


def without_traceback(record: logging.LogRecord) -> bool:
    """Let an entry on a message that no broker was there to acknowledge be a line, as a filter: the message comes again."""
    if record.exc_info and str(record.msg).startswith("Couldn't "):  # kombu's words, of errors of its connection alone
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def run_worker(supervisor: socket.socket) -> None:
    """Run a worker with its beat in this process until SIGTERM. `supervisor` gets a byte with each heartbeat."""
    global _supervisor
    _supervisor = supervisor
    # Celery greets, warns root and says goodbye on the terminal; here it is one process of a server that has its own words.
    warnings.simplefilter("ignore", SecurityWarning)
    # Of a broker that is away the schedule tells once; Celery would each time it tries.
    for name in ("kombu.connection", "celery.worker.consumer.consumer", "celery.beat"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("celery.worker.request").addFilter(without_traceback)
    current_process()._name = "worker"
    app.conf.task_default_queue = queue_of_home()
    worker = app.Worker(
        pool="solo", quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True, loglevel="WARNING"
    )
    heed = worker.install_platform_tweaks
    # Celery would run the whole command anew at SIGHUP, and print its stacks at SIGUSR1.
    worker.install_platform_tweaks = lambda itself: (heed(itself), ignore((signal.SIGHUP, *STRAY)))
    # In a thread: an own process for a clock would cost its memory.
    threading.Thread(target=_run_beat, daemon=True).start()
    worker.start()

"""Celery: maintenance of the store, away from proxy and recorder. Tasks and their times: sessions/tasks.py."""

import logging
import os
import shelve
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")

from billiard import current_process
from celery import Celery
from celery.beat import Service
from celery.platforms import SecurityWarning
from celery.signals import celeryd_init, task_postrun, task_prerun
from django.conf import settings

from lunaroute_site import states

logger = logging.getLogger("lunaroute.worker")


def _broker(home: Path, redis_url: str | None) -> dict:
    if redis_url:
        return {"broker_url": redis_url, "broker_connection_retry_on_startup": True}
    folder = str(home / "broker")
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": str(home / "broker" / "control"),
        },
    }


app = Celery("lunaroute")
app.conf.update(
    _broker(settings.LUNAROUTE.home, settings.LUNAROUTE.redis_url),
    timezone="UTC",
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_concurrency=1,
    worker_pool="solo",
    beat_schedule_filename=str(settings.LUNAROUTE.home / "broker" / "beat-schedule"),
    beat_schedule={
        "optimize-database": {"task": "sessions.tasks.optimize_database", "schedule": 24 * 3600.0},
        "retention": {
            "task": "sessions.tasks.retention",
            "schedule": settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes * 60.0,
        },
    },
)
app.autodiscover_tasks(["sessions"])

# Seconds after which a task hangs: the process ends, and the supervisor starts another.
LONGEST = 3600.0
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
    error = "" if state == "SUCCESS" else f"{type(retval).__name__}: {retval}"[:500]
    states.note_task(settings.LUNAROUTE.home, task.name, time.monotonic() - began, error)


def _check_schedule(path: Path) -> None:
    """Throw away a schedule that cannot be read: Celery would do so, too, with a page of complaint."""
    try:
        if any(path.parent.glob(f"{path.name}*")):
            with shelve.open(str(path), "r") as schedule:
                list(schedule)
                schedule.get("entries")
    except Exception:
        logger.warning("%s is damaged: it is thrown away, and tasks run once more than they had to", path)
        for file in path.parent.glob(f"{path.name}*"):
            with suppress(OSError):
                file.unlink()


@celeryd_init.connect
def _make_folders(**about: object) -> None:
    """Make what the schedule and, without Redis, the messages lie in."""
    for folder in ("broker", *([] if settings.LUNAROUTE.redis_url else ["broker/control"])):
        with suppress(OSError):
            (settings.LUNAROUTE.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)


def _run_beat() -> None:
    try:
        Service(app).start(embedded_process=False)
    except Exception:
        logger.exception("the schedule has stopped: the worker is started again")
    logging.shutdown()
    os._exit(1)  # a worker without its beat does nothing


def run_worker() -> None:
    """Run a worker with its beat in this process until SIGTERM."""
    _make_folders()
    _check_schedule(Path(app.conf.beat_schedule_filename))
    # In a thread: an own process for a clock would cost its memory.
    threading.Thread(target=_run_beat, daemon=True).start()
    # Celery greets, warns root and says goodbye on the terminal; here it is one process of a server that has its own words.
    warnings.simplefilter("ignore", SecurityWarning)
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)
    current_process()._name = "worker"
    worker = app.Worker(
        pool="solo", quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True, loglevel="WARNING"
    )
    worker.start()

"""What a running server's processes, recorder and tasks are doing, for people and for programs."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from lunaroute_site import states
from lunaroute_site.listening import trust
from lunaroute_site.pidfile import RunningServer

# What is taken from /metrics, of each web process.
_FIGURES = re.compile(r"^lunaroute_recorder_(queue_bytes|dropped_total|lag_seconds)(?:{[^}]*})? (\S+)$", re.MULTILINE)
TASKS = {"sessions.tasks.retention": "retention", "sessions.tasks.optimize_database": "optimize"}


def collect(settings: Any, server: RunningServer | None) -> dict[str, Any]:
    """Give all of it. Times are seconds since the epoch, sizes bytes; what cannot be found out is left out."""
    home = settings.home
    files = [path.stat().st_size for path in home.rglob("*") if path.is_file()] if home.is_dir() else []
    intervals = {
        "retention": settings.session_recording.cleanup.retention.cleanup_interval_minutes * 60,
        "optimize": 24 * 3600.0,
    }
    tasks = {}
    for name, told in states.read(home, states.TASKS).items():
        short = TASKS.get(name, name)
        due = told["ended_at"] + intervals[short] if server and short in intervals else None
        tasks[short] = {**told, "next_at": due}
    return {
        "running": server is not None,
        "pid": server.pid if server else None,
        "url": server.url if server else None,
        "recording": server.recording if server else None,
        "home": str(home),
        "home_bytes": sum(files),
        "processes": states.read(home, states.PROCESSES) if server else {},
        "recorder": _recorder(settings, server) if server else {},
        "tasks": tasks,
    }


def _recorder(settings: Any, server: RunningServer) -> dict[str, float]:
    import httpx

    token = settings.auth_token
    headers = {"x-lunaroute-token": token.get_secret_value()} if token is not None else {}
    try:
        text = httpx.get(
            f"{server.url}/metrics", headers=headers, timeout=2, trust_env=False, verify=trust(settings.tls)
        ).text
    except httpx.HTTPError:
        return {}
    found: dict[str, list[float]] = {}
    for name, value in _FIGURES.findall(text):
        found.setdefault(name, []).append(float(value))
    return {name: max(values) if name == "lag_seconds" else sum(values) for name, values in found.items()}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Give it in lines."""
    yield f"Store: {found['home_bytes'] / 1e6:.1f} MB"
    for name, told in found["processes"].items():
        if not told["pid"]:
            yield f"{name}: is being started again ({told['last_end']})"
            continue
        restarts = f", started again {told['restarts']} times (last: {told['last_end']})" if told["restarts"] else ""
        yield f"{name}: process {told['pid']}, since {_moment(told['since'])}{restarts}"
    if found["processes"] and "worker" not in found["processes"]:
        yield "worker: not started here (--no-worker)"
    recorder = found["recorder"]
    if recorder:
        dropped = (
            f", {recorder.get('dropped_total', 0):.0f} without their text" if recorder.get("dropped_total") else ""
        )
        yield f"Waiting for the recorder: {recorder.get('queue_bytes', 0) / 1e3:.1f} KB{dropped}"
    for name, told in found["tasks"].items():
        how = f"failed ({told['error']})" if told["error"] else f"took {told['seconds']:.1f} s"
        due = f", next about {_moment(told['next_at'])}" if told["next_at"] else ""
        yield f"{name}: {_moment(told['ended_at'])}, {how}{due}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime(
        "%Y-%m-%d %H:%M" if abs(seconds - time.time()) > 86400 else "%H:%M:%S"
    )

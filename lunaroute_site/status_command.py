"""The command `lunaroute-server status [--json]`: what runs, since when, what was started again, and what the worker did.

Three sources: what the supervisor writes down (states.py), what the worker's schedule does (schedule.py), and the running
server's /metrics. Each may be missing; the rest is said.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lunaroute_site import states

RECORDER = {
    "lunaroute_recorder_queue_bytes": "queue_bytes",
    "lunaroute_recorder_dropped_total": "dropped",
    "lunaroute_recorder_lag_seconds": "lag_seconds",
}
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def main(arguments: list[str]) -> int:
    """Say how the server of this home is; exit code 1 where none runs."""
    parser = argparse.ArgumentParser(prog="lunaroute-server status", description="What runs, and since when.")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    options = parser.parse_args(arguments)
    from lunaroute_site import config

    found = gather(config.current(), datetime.now(UTC))
    if options.json:
        print(json.dumps(found, indent=2))
    elif not found["running"]:
        print(f"LunaRoute is not running (home {found['home']}).")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(found, datetime.now(UTC)))
    return 0 if found["running"] else 1


def gather(settings, now: datetime) -> dict[str, Any]:
    """Give all that is known of the server of the configuration's home."""
    from lunaroute_site.pidfile import running_server

    home, sessions = settings.home, settings.session_recording.sessions_dir
    server = running_server(home)
    found: dict[str, Any] = {
        "running": server is not None,
        "home": str(home),
        "home_bytes": size_of(home) + (0 if sessions.is_relative_to(home) else size_of(sessions)),
        "tasks": tasks(home, now),
    }
    if server is not None:
        kept = states.read(home / states.PROCESSES) or {}
        token = settings.auth_token.get_secret_value() if settings.auth_token else None
        answered = ask(server.url, token)
        found |= {
            "pid": server.pid, "url": server.url, "recording": server.recording, "up_since": kept.get("up_since"),
            "processes": kept.get("processes") or {}, **answered,
        }  # fmt: skip
    return found


def ask(url: str, token: str | None) -> dict[str, Any]:
    """Ask the running server for the recorder's queue and what does not work."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=5, trust_env=False) as client:
            ready, metrics = client.get("/readyz").json(), client.get("/metrics").text
    except (httpx.HTTPError, ValueError):
        return {"answers": False, "problems": [], "recorder": None}
    pairs = (line.split() for line in metrics.splitlines() if line.startswith(tuple(RECORDER)))
    recorder = {RECORDER[pair[0]]: float(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in RECORDER}
    return {"answers": True, "problems": ready.get("problems", []), "recorder": recorder or None}


def tasks(home: Path, now: datetime) -> dict[str, dict[str, Any]]:
    """Give what the worker's schedule says of each task: last and next run, and how the last one ended."""
    # Without Celery, which takes a while to import.
    schedule = states.read(home / "broker" / "schedule.json") or {}
    runs = states.read(home / "broker" / "runs.json") or {}
    found = {}
    for name, entry in schedule.items():
        try:
            since = datetime.fromisoformat(entry["last_run_at"])
            due = max(since + timedelta(seconds=entry["every_seconds"]), now)
            run = runs.get(entry["task"]) or {}
            found[name] = {
                "last_run": entry["last_run_at"] if entry["has_run"] else None,
                "next_run": due.isoformat(timespec="seconds"),
                "state": run.get("state"),
                "ended_at": run.get("ended_at"),
            }
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
    return found


def size_of(folder: Path) -> int:
    """Give the bytes that files under `folder` take of the disk."""
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except OSError:
                continue  # it has just gone
    return total


def lines(found: dict[str, Any], now: datetime) -> Iterator[str]:
    """Say it for people."""
    health = "" if found["answers"] else ", but does not answer"
    yield f"LunaRoute runs (process {found['pid']}) on {found['url']}{health}, {_for(found['up_since'], now)}."
    yield f"Recording: {found['recording']}"
    yield f"Home: {found['home']} ({_size(found['home_bytes'])})"
    for name, process in found["processes"].items():
        parts = [f"process {process['pid']}, {_for(process['up_since'], now)}" if process["pid"] else "is not there"]
        if process["restarts"]:
            times = f"{process['restarts']} time{'s' if process['restarts'] > 1 else ''}"
            parts.append(f"started again {times} (the last time after: {process['last_end']}, {process['ended_at']})")
        if name == "recorder" and found["recorder"]:
            queue = found["recorder"]
            parts.append(
                f"{_size(queue.get('queue_bytes', 0))} wait, {queue.get('lag_seconds', 0):.1f} s behind, "
                f"{queue.get('dropped', 0):.0f} dropped"
            )
        yield f"{name}: {'; '.join(parts)}"
    for name, task in found["tasks"].items():
        state = f" ({task['state'].lower()})" if task["state"] and task["last_run"] else ""
        yield f"task {name}: last run {task['last_run'] or 'not yet'}{state}, next {task['next_run']}"
    for problem in found["problems"]:
        yield f"Problem: {problem}"


def _for(since: str | None, now: datetime) -> str:
    try:
        seconds = (now - datetime.fromisoformat(since or "")).total_seconds()
    except (ValueError, TypeError):
        return "up"
    length, unit = next(((n, unit) for n, unit in UNITS if seconds >= n), UNITS[-1])
    count = max(int(seconds // length), 0)
    return f"up for {count} {unit}{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

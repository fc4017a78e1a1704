"""Two web processes beside one: requests a second, and the processor time that a request costs each.

The load itself takes a part of the machine. Where there are not two cores free beside it, requests a second cannot double;
then what a request costs tells whether the processes hold each other up: with two cores free for them, the ratio would be
twice that of the costs.
"""

import json
import os
import time

import psutil

from bench.clients import throughput
from bench.servers import lunaroute, nginx
from tests.support.server import RunningServer, free_port

CONNECTIONS = 64


def _webs(server: RunningServer) -> list[psutil.Process]:
    told = json.loads((server.home / "processes.json").read_text())
    return [psutil.Process(of["pid"]) for name, of in told.items() if name.startswith("web")]


def _cpu(processes: list[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]


def bench_web(table, line, spread, seconds: float, rounds: int) -> None:
    """Print it."""
    config = "session_recording: {enabled: false, counting: false}"
    with (
        nginx(free_port()) as (upstream, _),
        lunaroute(upstream, upstream, config) as one,
        lunaroute(upstream, upstream, config, LUNAROUTE_WEB_PROCESSES="2") as two,
    ):
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, server in (("one", one), ("two", two)):
                webs = _webs(server)
                before, began = _cpu(webs), time.perf_counter()
                rate = throughput(server.port, CONNECTIONS, seconds)
                took = time.perf_counter() - began
                used = [after - b for after, b in zip(_cpu(webs), before, strict=True)]
                found.setdefault(name, []).append(rate)
                found.setdefault(f"{name}: cost", []).append(sum(used) / (rate * took) * 1e6)
                found.setdefault(f"{name}: share", []).append(min(used) / sum(used) * 100)
        table(
            f"20 KB requests, {CONNECTIONS} connections, {os.cpu_count()} cores", "requests a second",
            "processor time of a request, µs", "least busy one's share",
        )  # fmt: skip
        for name, what in (("one", "one web process"), ("two", "two")):
            costs, shares = found[f"{name}: cost"], found[f"{name}: share"]
            line(what, spread(found[name], digits=0), spread(costs, digits=0), spread(shares, " %", 0))
        ratios = [b / a for a, b in zip(found["one"], found["two"], strict=True)]
        free = [2 * a / b for a, b in zip(found["one: cost"], found["two: cost"], strict=True)]
        line("two against one", spread(ratios, "×"), f"with two cores free: {spread(free, '×')}", "")

"""What metrics, the request log and the access log cost the requests that they tell of.

One server has all of it, and somebody who scrapes it each second; the other has neither log, and its metrics count nothing of
what passes.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.clients import latencies, percentile, stream_delays
from bench.servers import lunaroute, nginx, settle
from tests.support.server import RunningServer, free_port

WATCHED = "logging: {log_requests: true, access_log: true}\n"
# Lets a server count nothing: a change of the record then moves no figure.
UNCOUNTED = """
import sys
if "serve" in sys.argv:
    import importlib.abc, importlib.util
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "lunaroute_site.web":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module
            def load(module):
                import sessions.metrics
                sessions.metrics.count = lambda change: None
                run(module)
            spec.loader.exec_module = load
            return spec
    sys.meta_path.insert(0, Finder())
"""


@contextlib.contextmanager
def _scraped(server: RunningServer) -> Iterator[None]:
    stop = threading.Event()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scrape() -> None:
        while not stop.wait(1.0):
            direct.open(f"{server.url}/metrics", timeout=10).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def bench_watching(table, line, spread, count: int, rounds: int) -> None:
    """Print the ratio of medians, and the longest that an event waits while logs are written."""
    streams_port = free_port()
    streams = subprocess.Popen([sys.executable, "-m", "bench.streams", str(streams_port)])
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lunaroute-bench-") as folder,
            nginx(streams_port) as (upstream, _),
        ):
            Path(folder, "sitecustomize.py").write_text(UNCOUNTED)
            with (
                lunaroute(upstream, streams_port, PYTHONPATH=folder) as bare,
                lunaroute(upstream, streams_port, WATCHED) as watched,
                _scraped(watched),
            ):
                _measure(table, line, spread, {"neither": bare, "both": watched}, count, rounds)
    finally:
        streams.terminate()


def _measure(table, line, spread, servers: dict[str, RunningServer], count: int, rounds: int) -> None:
    ports = {name: server.port for name, server in servers.items()}
    found: dict[str, list[float]] = {name: [] for name in ports}
    longest: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, times in latencies(ports, 20_000, count).items():
            found[name].append(percentile(times, 50))
        for name, server in servers.items():
            settle(server)
            longest[name].append(max(delay for stream in stream_delays(server.port, 8) for delay in stream))
            settle(server)
            time.sleep(0.2)
    table(
        "metrics and logs", "p50 of a 20 KB request, ms", "against neither", "longest an event of 8 streams waits, ms"
    )
    for name in ports:
        ratio = [mine / bare for mine, bare in zip(found[name], found["neither"], strict=True)]
        line(name, spread(found[name], digits=3), f"{median(ratio):.3f}×", spread(longest[name], digits=1))


if __name__ == "__main__":
    from bench.__main__ import line, spread, table

    bench_watching(table, line, spread, 1000, 5)

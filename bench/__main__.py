"""`make bench`: LunaRoute beside nginx's proxy_pass and the bare upstream, in one run. `ARGS=--quick` for a look."""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import psutil

from bench.clients import connect, latencies, percentile, request, stream_delays, throughput
from bench.ingest import bench_ingest
from bench.pages import bench_pages
from bench.pii import bench_pii
from bench.retention import bench_retention
from bench.routing import bench_routing
from bench.servers import lunaroute, nginx, settle, settling
from bench.storage import bench_storage
from bench.watching import bench_watching
from bench.web import bench_web
from tests.support.server import free_port


def spread(values: list[float], unit: str = "", digits: int = 2) -> str:
    """The median of rounds, and from where to where they went."""
    return f"{median(values):.{digits}f}{unit} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def line(what: str, *cells: str) -> None:
    print("| " + " | ".join([what, *cells]) + " |", flush=True)


def table(*heads: str) -> None:
    print()
    line(*heads)
    line(*["---"] * len(heads))


def bench_latency(
    ports: dict[str, int], size: int, count: int, rounds: int, settle: dict[str, Callable[[], None]]
) -> None:
    """p50, p95, p99 and the ratio of medians to nginx's, one connection."""
    table(
        f"{size // 1000} KB request, one connection, ms",
        "p50",
        "p95",
        "p99",
        "p50 against nginx",
        "added p95",
        "added p99",
    )
    runs = [latencies(ports, size, count, settle=settle) for _ in range(rounds)]
    for name in ports:
        at = {p: [percentile(run[name], p) for run in runs] for p in (50, 95, 99)}
        ratio = [percentile(run[name], 50) / percentile(run["nginx"], 50) for run in runs]
        added = {p: [percentile(run[name], p) - percentile(run["upstream"], p) for run in runs] for p in (95, 99)}
        line(
            name,
            *(spread(at[p], digits=3) for p in (50, 95, 99)),
            spread(ratio, "×"),
            *(spread(added[p], digits=3) for p in (95, 99)),
        )


def bench_throughput(ports: dict[str, int], seconds: float, rounds: int, settle: dict[str, Callable[[], None]]) -> None:
    """Requests a second with 20 KB requests."""
    table("20 KB requests a second", "1 connection", "16", "64")
    for name, port in ports.items():
        cells = [[throughput(port, n, seconds) for _ in range(rounds)] for n in (1, 16, 64)]
        line(name, *(spread(values, digits=0) for values in cells))
        if name in settle:
            settle[name]()


def bench_streams(ports: dict[str, int], rounds: int) -> None:
    """Delay of events from upstream to client."""
    table(
        "stream of 500 events", "median delay, ms", "added", "p99", "longest", "64 streams: p99", "64 streams: longest"
    )
    direct = 0.0
    for name, port in ports.items():
        runs = [stream_delays(port, 1)[0] for _ in range(rounds)]
        many = [delay for stream in stream_delays(port, 64) for delay in stream]
        middle = median(median(run) for run in runs)
        direct = direct or middle
        line(
            name, spread([median(run) for run in runs], digits=3), f"{middle - direct:.3f}",
            spread([percentile(run, 99) for run in runs], digits=2), spread([max(run) for run in runs]),
            f"{percentile(many, 99):.2f}", f"{max(many):.1f}",
        )  # fmt: skip


def bench_large_bodies(port: int, server, count: int, rounds: int) -> None:
    """p99 of small requests, alone and while the recorder digests 5 MB bodies."""
    table("20 KB requests, ms", "p50", "p99")
    big = request(5_000_000, "/v1/messages/whole")
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(latencies({"it": port}, 20_000, count)["it"])
        settle(server)
        sock = connect(port)
        for _ in range(4):
            sock.sendall(big)
            sock.recv(65536)
        beside.append(latencies({"it": port}, 20_000, count // 4)["it"])  # digestion has begun as the bodies were in
        sock.close()
        settle(server)
    for name, runs in (("alone", alone), ("while the recorder chews four bodies of 5 MB", beside)):
        line(name, *(spread([percentile(run, p) for run in runs], digits=3) for p in (50, 99)))


def bench_resources(server, port: int) -> None:
    """Memory and processor time of the tree."""
    time.sleep(2)
    tree = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    names = {child.pid: name for name, child in server.children().items()}
    table("process", "PSS, MB", "private, MB")
    total = 0.0
    for process in tree:
        memory = process.memory_full_info()
        total += memory.pss / 1e6
        line(names.get(process.pid, "worker"), f"{memory.pss / 1e6:.1f}", f"{memory.uss / 1e6:.1f}")
    line("the tree", f"{total:.1f}", "")

    def used(processes: list[psutil.Process]) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    web = [server.children()["web"]]
    before, seconds = used(tree), 10
    time.sleep(seconds)
    idle = (used(tree) - before) / seconds * 100
    sock, data = connect(port), request(20_000, head="session_id: bench\r\n")
    before_web, before, began = used(web), used(tree), time.perf_counter()
    for number in range(100 * seconds):
        sock.sendall(data)
        sock.recv(65536)
        time.sleep(max(began + (number + 1) / 100 - time.perf_counter(), 0))
    took = time.perf_counter() - began
    table("processor time", "idle, the tree", "100 requests a second: web", "the tree")
    line(
        "share of one",
        f"{idle:.2f} %",
        f"{(used(web) - before_web) / took * 100:.1f} %",
        f"{(used(tree) - before) / took * 100:.1f} %",
    )


def bench_proxy(count: int, rounds: int, seconds: float) -> None:
    """What the proxy adds to requests and streams, how many it takes, and what it needs."""
    streams_port = free_port()
    streams = subprocess.Popen([sys.executable, "-m", "bench.streams", str(streams_port)])
    try:
        with (
            nginx(streams_port) as (upstream, proxy),
            lunaroute(upstream, streams_port, "session_recording: {enabled: false, counting: false}") as off,
            lunaroute(upstream, streams_port, "session_recording: {enabled: false}") as counting,
            lunaroute(upstream, streams_port) as on,
            lunaroute(upstream, streams_port, "session_recording: {pii: {enabled: true}}") as redacting,
        ):
            ports = {
                "upstream": upstream, "nginx": proxy, "lunaroute": off.port, "lunaroute, counting": counting.port,
                "lunaroute, recording": on.port, "lunaroute, redacting": redacting.port,
            }  # fmt: skip
            table("start to a served /healthz", "s")
            line("with recording", f"{on.started_in:.2f}")
            bench_resources(on, on.port)
            recording = {"lunaroute, counting": counting, "lunaroute, recording": on, "lunaroute, redacting": redacting}
            settle_each = {name: settling(server) for name, server in recording.items()}
            for measure in (
                lambda: bench_latency(ports, 20_000, count, rounds, settle_each),
                lambda: bench_latency(ports, 500_000, count // 5, rounds, settle_each),
                lambda: bench_streams({**ports, "upstream": streams_port}, rounds),
            ):
                measure()
                for server in recording.values():
                    settle(server)
            bench_large_bodies(on.port, on, count, rounds)
            bench_throughput(ports, seconds, rounds, settle_each)
    finally:
        streams.terminate()


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, one round")
    parser.add_argument("--proxy", action="store_true", help="the proxy's own figures alone")
    options = parser.parse_args()
    quick = options.quick
    count, rounds, seconds = (300, 1, 1.0) if quick else (2000, 5, 3.0)
    bench_proxy(count, rounds, seconds)
    if options.proxy:
        return
    bench_storage(table, line)
    bench_ingest(table, line, spread, rounds)
    bench_pages(table, line, rounds)
    bench_pii(table, line, spread, rounds)
    bench_routing(table, line, spread, count, rounds)
    bench_retention(table, line, 1_000 if quick else 10_000)
    bench_watching(table, line, spread, count, rounds)
    bench_web(table, line, spread, seconds, rounds)
    if not quick:  # its database takes a while to fill
        for module, *arguments in (("search",), ("slow",), ("hosts", "--minutes", "10"), ("fuzz", "--count", "100000")):
            subprocess.run([sys.executable, "-m", f"bench.{module}", *arguments], check=True)


if __name__ == "__main__":
    main()

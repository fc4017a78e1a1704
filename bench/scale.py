"""How many hosts, how much database and what bill so many developers come to: `python -m bench.scale --developers 10000`.

A day is simulated minute by minute: developers work by the clock of one of three regions, and while one works, agents run now and
then and send requests. What a request costs is measured (docs/performance.md), how people work is assumed; both stand below.
"""

import argparse
import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Of this program, on one core of the machine that docs/performance.md names."""

    web_ms: float = 1.2  # processor time of a web process for a request and its stream
    recorder_ms: float = 2.0  # of the recorder for an exchange; 1.1 at full load, more where it wakes up for each
    database_ms: float = 0.5  # of PostgreSQL for it
    stream_kb: float = 121  # memory of a stream under way, web process and recorder
    row_kb: float = 5.0  # database for a request of a session, the search index included


@dataclass(frozen=True)
class Assumed:
    """How people work, and what clouds ask."""

    at_work: float = 0.75  # share of developers on a working day
    running: float = 0.45  # share of those at work whose agents run, in the busiest hour of their region
    per_minute: float = 4.0  # requests a minute of a developer whose agents run
    stream_s: float = 12.0  # seconds that an answer takes
    request_kb: float = 150.0  # body of a request
    answer_kb: float = 8.0  # of its answer
    regions: tuple[tuple[float, float], ...] = ((0, 0.4), (7, 0.4), (15, 0.2))  # hours behind, share
    kept_days: float = 180.0
    working_days: float = 21.0  # a month
    cores: int = 4  # of a host
    busy: float = 0.6  # of a core, at most, at the peak
    host_usd: float = 125.0  # a month: 4 cores, 16 GB
    database_core_usd: float = 55.0  # a month, managed and with a standby
    gb_usd: float = 0.25  # a month, fast disk, doubled


# Share of the busiest hour's agents, by the hour of the day.
DAY = (1, 1, 0, 0, 0, 1, 3, 10, 35, 75, 95, 100, 70, 75, 95, 100, 95, 75, 45, 25, 15, 10, 6, 3)


@dataclass
class Load:
    """What a simulated day comes to."""

    requests: int
    peak_second: float  # requests in the busiest second of a thousand
    peak_streams: float


def simulate(developers: int, assumed: Assumed, seed: int = 1) -> Load:
    """Let a day pass."""
    chance = random.Random(seed)
    minutes: list[int] = []
    for minute in range(24 * 60):
        active = 0.0
        for behind, share in assumed.regions:
            hour = (minute / 60 - behind) % 24
            before, after = DAY[int(hour)], DAY[(int(hour) + 1) % 24]
            level = (before + (after - before) * (hour % 1)) / 100
            people = developers * share * assumed.at_work
            probability = assumed.running * level
            active += max(
                chance.gauss(people * probability, math.sqrt(people * probability * (1 - probability) + 1e-9)), 0
            )
        # Agents come in spells: the minutes of a region differ by more than chance alone.
        expected = active * assumed.per_minute * chance.lognormvariate(0, 0.15)
        minutes.append(max(round(chance.gauss(expected, math.sqrt(expected + 1))), 0))
    busiest = max(minutes)
    second = busiest / 60
    peak = second + 3.1 * math.sqrt(second)  # one second of a thousand has more
    return Load(sum(minutes), peak, second * assumed.stream_s)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--developers", type=int, nargs="*", default=[1, 200, 1000, 10_000])
    options = parser.parse_args()
    m, a = Measured(), Assumed()
    print(
        "| developers | requests a day | busiest second | streams at once | web cores | recorder cores | hosts of "
        f"{a.cores} cores | database cores | Mbit/s each way | GB a month | GB kept | USD a month |"
    )
    print("|" + " --- |" * 12)
    for developers in options.developers:
        load = simulate(developers, a)
        web, recorder = (load.peak_second * ms / 1e3 / a.busy for ms in (m.web_ms, m.recorder_ms))
        database = load.peak_second * m.database_ms / 1e3 / a.busy
        memory_gb = load.peak_streams * m.stream_kb / 1e6
        hosts = max(math.ceil((web + recorder) / a.cores), math.ceil(memory_gb / 8), 1)
        hosts = hosts if developers <= 200 else max(hosts, 2)  # one may be away
        database_cores = max(2, math.ceil(database * 1.5))  # and what pages and search ask
        month = load.requests * a.working_days * m.row_kb / 1e6
        kept = month * a.kept_days / 30.4
        traffic = load.peak_second * (a.request_kb + a.answer_kb) * 8 / 1e3
        usd = (
            0.0 if developers == 1 else hosts * a.host_usd + database_cores * a.database_core_usd + kept * a.gb_usd + 30
        )
        cells = (
            f"{developers:,}", f"{load.requests:,}", f"{load.peak_second:,.1f}", f"{load.peak_streams:,.0f}", f"{web:.2f}",
            f"{recorder:.2f}", f"{hosts}", f"{database_cores}", f"{traffic:,.0f}", f"{month:,.1f}", f"{kept:,.0f}", f"{usd:,.0f}",
        )  # fmt: skip
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

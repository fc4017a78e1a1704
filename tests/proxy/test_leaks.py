"""Whatever clients and providers do, nothing of it stays behind: no connection, no memory, no open exchange."""

import random

import psutil

from tests.support.raw import RawClient
from tests.support.server import eventually

REQUEST = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
EVENT = b"data: " + b"y" * 20_000 + b"\n\n"
# (how far a client goes, how it leaves)
STAGES = ["connect", "half a head", "half a body", "no answer", "half an answer", "all"]


def misbehave(port: int, stage: str, leave: str) -> None:
    client = RawClient(port)
    if stage == "half a head":
        client.send(REQUEST[:30])
    elif stage == "half a body":
        client.send(REQUEST[:100_000])
    elif stage != "connect":
        client.send(REQUEST)
    if stage == "half an answer":
        client.sock.recv(5_000)
    if stage == "all":
        client.answer()
    getattr(client, leave)()


def test_nothing_stays_behind(start, upstream):
    chance = random.Random(7)
    behaviours = ["stream", "stream", "stream", "break", "reset", "early", "stall"]

    async def script(exchange):
        behaviour = chance.choice(behaviours)
        if behaviour == "early":
            await exchange.json({"early": True})
            await exchange.until_gone()
            return
        await exchange.read_body()
        if behaviour == "reset":
            exchange.reset()
            return
        await exchange.start_stream()
        for _ in range(20):
            await exchange.chunk(EVENT)
        if behaviour == "stream":
            await exchange.end_stream()
        elif behaviour == "stall":
            await exchange.until_gone()
        else:
            exchange.keep = False

    server = start(LUNAROUTE_ANTHROPIC_TIMEOUT_SECS="0.5", LUNAROUTE_ANTHROPIC_POOL_MAX_IDLE="4")
    upstream.script(script)
    web = server.children()["web"]

    def storm(rounds: int) -> None:
        for _ in range(rounds):
            for stage in STAGES:
                misbehave(server.port, stage, chance.choice(["close", "reset"]))

    def settled() -> bool:
        connections = web.net_connections("tcp")
        ours = [c for c in connections if c.status != psutil.CONN_LISTEN and c.laddr.port == server.port]
        providers = [c for c in connections if c.raddr and c.raddr.port == upstream.port]
        return not ours and len(providers) <= 4

    storm(5)
    eventually(settled, "no connection to stay behind")
    before = web.memory_info().rss, web.num_fds()
    storm(15)
    eventually(settled, "no connection to stay behind")
    eventually(lambda: not server.rows("select 1 from exchanges where success is null"), "no exchange to stay open")
    assert web.num_fds() <= before[1] + 4
    assert web.memory_info().rss - before[0] < 12 << 20
    assert "Traceback" not in server.output()

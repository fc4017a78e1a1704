"""What routing costs: rules that do not fit, rewriting, translation, and a provider that fails.

`python -m bench.routing` alone; `make bench` runs it too."""

import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from bench.clients import latencies, percentile, request, statuses
from bench.servers import lunaroute, nginx
from proxy import state
from proxy.exchange import Exchange
from proxy.handler import ProxyRequest
from proxy.routed import consider
from proxy.sending import read
from routing.board import Board
from routing.definitions import Provider, Rule
from routing.router import Router
from routing.rules import RuleSet
from routing.snapshot import snapshot_of
from routing.translation.answers import StreamTranslator
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context
from routing.translation.requests import translate_request
from tests.support.server import free_port

OFF = "session_recording: {enabled: false, counting: false}\n"
RULE = '    - {{name: "rule-{n}", model_pattern: "^other-{n}-", primary: anthropic}}\n'
REWRITING = """
providers:
  anthropic:
    request_headers: {headers: {X-Session-Context: "bench-${session_id}"}}
    request_body: {defaults: {temperature: 0.7}, overrides: {top_p: 0.9}}
"""
FAILING = """
providers:
  failing: {provider_type: anthropic, base_url: "http://127.0.0.1:UPSTREAM/failing"}
  anthropic: {}
routing:
  circuit_breaker: {timeout_secs: SECONDS, failure_threshold: TIMES}
  rules: [{name: all, primary: failing, fallbacks: [anthropic]}]
"""
CONFIGS = {
    "no routing: one provider": "providers: {anthropic: {}}\n",
    "the same in another process": "providers: {anthropic: {}}\n",
    "two providers and one rule, none acts": "routing:\n  rules:\n" + RULE.format(n=0),
    "two providers and 100 rules, none acts": "routing:\n  rules:\n" + "".join(RULE.format(n=n) for n in range(100)),
    "rewriting": REWRITING,
    "translated (Chat to Anthropic)": "providers: {anthropic: {}}\n",
    "a fallback answers": FAILING.replace("SECONDS", "3600").replace("TIMES", "1000000000"),
}


def bench_routing(table: Callable, line: Callable, spread: Callable, count: int, rounds: int) -> None:
    """Requests through one server for each setting, in turns, and the parts of a translation alone."""
    streams_port = free_port()
    with ExitStack() as stack:
        upstream, _ = stack.enter_context(nginx(streams_port))
        _bench_settings(table, line, spread, (upstream, streams_port), 20_000, count, rounds, "")
        # nginx answers a long request before it has read it, which helps those who send it on at once.
        _bench_settings(table, line, spread, (upstream, streams_port), 500_000, count // 10, rounds, "/whole")
        _bench_failing(table, line, stack, upstream, streams_port)
    _bench_parts(table, line, spread, rounds)


def _bench_settings(
    table: Callable,
    line: Callable,
    spread: Callable,
    upstreams: tuple[int, int],
    size: int,
    count: int,
    rounds: int,
    below: str,
) -> None:
    """Requests of `size` bytes in turns through a server for each setting; `below` is the upstream's path."""
    upstream, streams = upstreams
    base = f"http://127.0.0.1:{upstream}{below}"
    targets = {"translated (Chat to Anthropic)": "/v1/chat/completions"}
    runs = []
    for _ in range(rounds):  # each with new processes: one is faster than another by chance, by more than a rule costs
        with ExitStack() as stack:
            ports = {
                name: stack.enter_context(
                    lunaroute(
                        upstream,
                        streams,
                        OFF + config.replace("UPSTREAM", str(upstream)),
                        LUNAROUTE_ANTHROPIC_BASE_URL=base,
                    )
                ).port
                for name, config in CONFIGS.items()
            }
            runs.append(latencies(ports, size, count, targets=targets))
    first = next(iter(CONFIGS))
    table(f"{size // 1000} KB request, one connection, ms", "p50", "p50 against no routing", "added, ms")
    for name in CONFIGS:
        middles = [percentile(run[name], 50) for run in runs]
        against = [percentile(run[first], 50) for run in runs]
        line(
            name, spread(middles, digits=3),
            spread([m / b for m, b in zip(middles, against, strict=True)], "×", 3),
            spread([m - b for m, b in zip(middles, against, strict=True)], digits=4),
        )  # fmt: skip


def _bench_failing(table: Callable, line: Callable, stack: ExitStack, upstream: int, streams_port: int) -> None:
    """64 connections while the first provider fails; its breaker opens after three failures."""
    config = FAILING.replace("UPSTREAM", str(upstream)).replace("SECONDS", "2").replace("TIMES", "3")
    server = stack.enter_context(lunaroute(upstream, streams_port, config))
    found = statuses(server.port, 64, 50)
    server.wait_recorded(len(found), 120)
    routing = [json.loads(row[0]) for row in server.rows("select routing from exchanges")]
    asked = sum(r["attempts"][0].get("status") == 503 for r in routing if r.get("attempts"))
    table("a failing provider, 64 connections", "requests", "answered by the fallback", "the failing one was asked")
    line("50 requests each", str(len(found)), str(found.count(200)), str(asked))


def _bench_parts(table: Callable, line: Callable, spread: Callable, rounds: int) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as in the web process
    table("that nothing acts on a 20 KB request, alone", "µs with 1 rule", "with 100 rules")
    line(
        "two providers",
        *[spread([_microseconds_to_pass(rules) for _ in range(rounds)], digits=1) for rules in (1, 100)],
    )
    table(
        "translation alone",
        "20 KB request, ms",
        "500 KB request, ms",
        "memory beyond the 20 KB body, KB",
        "streamed event, µs",
    )
    for client, provider in ((MESSAGES, CHAT), (MESSAGES, RESPONSES), (CHAT, MESSAGES), (RESPONSES, MESSAGES)):
        cells = [
            spread([_milliseconds(client, provider, conversation(client, size)) for _ in range(rounds)], digits=3)
            for size in (20_000, 500_000)
        ]
        body = conversation(client, 20_000)
        tracemalloc.start()
        translated = translate_request(client, provider, body, "m")
        beyond = tracemalloc.get_traced_memory()[1] - len(body)
        tracemalloc.stop()
        events = [_microseconds_an_event(translated.context, stream_of(provider)) for _ in range(rounds)]
        line(f"{client} to {provider}", *cells, f"{beyond / 1000:.0f}", spread(events, digits=1))


def _milliseconds(client: str, provider: str, body: bytes, times: int = 20) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        translate_request(client, provider, body, "m")
        taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


def _microseconds_an_event(context: Context, events: list[bytes]) -> float:
    translator = StreamTranslator(context, created=0)
    began = time.perf_counter()
    for event in events:
        translator.feed(event)
    return (time.perf_counter() - began) / len(events) * 1e6


def _microseconds_to_pass(rules: int, times: int = 5000) -> float:
    """What it takes more to find out that none of `rules` fits a request of 20 KB, and no marker stands in it, than to read it."""
    providers = {name: Provider(name, name, "http://127.0.0.1") for name in ("anthropic", "openai")}
    board = Board()
    given = RuleSet([Rule(f"rule-{n}", ("anthropic",), model_pattern=f"^other-{n}-") for n in range(rules)])
    snapshot = snapshot_of(providers, "both", True, None)
    current = state.State(snapshot, 1 << 27, board, Router(given, providers, board), {})
    current.swap(snapshot, providers, given, True)
    state.configure(current)
    head, _, body = request(20_000).partition(b"\r\n\r\n")
    scope = {
        "method": "POST", "path": "/v1/messages", "raw_path": b"/v1/messages", "query_string": b"", "client": None,
        "headers": [tuple(line.split(b": ")) for line in head.split(b"\r\n")[1:]] + [(b"x-other-%d" % n, b"") for n in range(12)],
    }  # fmt: skip

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def seconds(is_asked: bool) -> float:
        began = time.perf_counter()
        for _ in range(times):
            asked = ProxyRequest(scope, receive, receive)
            exchange = Exchange(asked, "anthropic", current.target(providers["anthropic"]))
            if is_asked:
                assert await consider(exchange, asked, b"20000") is None
            else:
                await read(exchange, asked)
        return time.perf_counter() - began

    async def both() -> float:
        return await seconds(True) - await seconds(False)

    return asyncio.run(both()) / times * 1e6


def conversation(dialect: str, size: int) -> bytes:
    """A tool loop of about `size` bytes in a client's dialect."""
    text, turns = "def f(x):\n    return x + 1  # " + "word " * 150, max(size // 1800, 1)
    call = {"name": "Read", "arguments": json.dumps({"path": "/a/b.py"})}
    if dialect == MESSAGES:
        messages = []
        for n in range(turns):
            messages += [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": text}]
                    if not n
                    else [{"type": "tool_result", "tool_use_id": f"t{n - 1}", "content": text}],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": text},
                        {"type": "tool_use", "id": f"t{n}", "name": "Read", "input": {"path": "/a/b.py"}},
                    ],
                },
            ]
        tools = [
            {
                "name": "Read",
                "description": "Read a file",
                "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
            }
        ]
        body = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1000,
            "stream": True,
            "system": "Be brief.",
            "tools": tools,
            "messages": messages[:-1],
        }
    elif dialect == CHAT:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        for n in range(turns):
            messages += [
                {
                    "role": "assistant",
                    "content": text,
                    "tool_calls": [{"id": f"t{n}", "type": "function", "function": call}],
                },
                {"role": "tool", "tool_call_id": f"t{n}", "content": text},
            ]
        body = {"model": "gpt-5", "stream": True, "messages": messages}
    else:
        items: list = [{"role": "user", "content": text}]
        for n in range(turns):
            items += [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
                {"type": "function_call", "call_id": f"t{n}", **call},
                {"type": "function_call_output", "call_id": f"t{n}", "output": text},
            ]
        body = {"model": "gpt-5", "stream": True, "instructions": "Be brief.", "input": items}
    return json.dumps(body).encode()


def stream_of(dialect: str, deltas: int = 2000) -> list[bytes]:
    """A streamed answer of a provider, one event each."""
    if dialect == MESSAGES:
        usage = {"input_tokens": 10, "output_tokens": 1}
        message = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ]
        events += [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
        ] * deltas
    elif dialect == CHAT:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        events = [{**head, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}] * deltas
    else:
        response = {"id": "r", "object": "response", "status": "in_progress", "model": "m", "output": []}
        item = {"type": "message", "id": "i", "role": "assistant", "status": "in_progress", "content": []}
        place = {"item_id": "i", "output_index": 0, "content_index": 0}
        events = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
        ]
        events += [
            {
                "type": "response.content_part.added",
                **place,
                "part": {"type": "output_text", "text": "", "annotations": []},
            }
        ]
        events += [{"type": "response.output_text.delta", **place, "delta": "word "}] * deltas
    return [b"event: %b\ndata: %b\n\n" % (str(e.get("type", "x")).encode(), json.dumps(e).encode()) for e in events]


if __name__ == "__main__":
    from bench.__main__ import line, spread, table

    bench_routing(table, line, spread, 1000, 5)

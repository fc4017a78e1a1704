"""What clients and providers nest or chain as deep as they like is recorded, and read by pages and API."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import RunningServer, eventually, start_server
from tests.support.upstream import Exchange, FakeUpstream

# About the depths at which one of the parsers gives up, and far beyond.
DEPTHS = (190, 1010, 20_000)


@pytest.fixture(scope="module")
def deep(provider: FakeUpstream, tmp_path_factory) -> Iterator[RunningServer]:
    home: Path = tmp_path_factory.mktemp("deep")
    (home / "deep.yaml").write_text("session_recording: {pii: {enabled: true}}\n")
    server = start_server(home, provider.url, LUNAROUTE_CONFIG=str(home / "deep.yaml"))
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output(), server.output()[-3000:]
    assert "Recursion" not in server.output(), server.output()[-3000:]


def nested(depth: int, kind: str) -> str:
    """JSON of lists or objects in each other, as text: to make it of values would recurse here."""
    opened, closed = ("[", "]") if kind == "lists" else ('{"a":', "}")
    return opened * depth + ("1" if kind != "lists" else "") + closed * depth


def requests_with(value: str) -> list[tuple[str, str]]:
    """Path and body of requests that have `value` wherever a client may have one."""
    call = f'{{"type":"tool_use","id":"t1","name":"f","input":{value},"cache_control":{value}}}'
    tool = f'{{"name":"f","description":"d","input_schema":{value}}}'
    return [
        (
            "/v1/messages",
            f'{{"model":"m","max_tokens":9,"system":{value},"metadata":{value},"tools":[{tool}],"messages":['
            f'{{"role":"user","content":"hi"}},{{"role":"assistant","content":[{call}]}},'
            f'{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t1","content":{value}}}]}}]}}',
        ),
        ("/v1/messages", f'{{"model":"m","max_tokens":9,"messages":[{value},{{"role":"user","content":{value}}}]}}'),
        ("/v1/responses", f'{{"model":"m","instructions":{value},"input":{value},"tools":{value}}}'),
        (
            "/v1/chat/completions",
            f'{{"model":"m","messages":[{{"role":"user","content":{value}}},{{"role":"assistant","tool_calls":'
            f'[{{"id":"t","function":{{"name":"f","arguments":{json.dumps(value)}}}}}]}}]}}',
        ),
    ]


def answer_with(value: str) -> str:
    return (
        '{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,'
        f'"output_tokens":{value}}},"content":[{{"type":"tool_use","id":"t2","name":"f","input":{value}}},{value}]}}'
    )


@pytest.mark.parametrize(("kind", "streaming"), [("lists", False), ("objects", True)])
def test_what_is_nested_deep_is_recorded_and_shown(deep, upstream, kind, streaming):
    value = ""

    async def answer(exchange: Exchange) -> None:
        await exchange.read_body()
        if not streaming:
            await exchange.answer(200, answer_with(value).encode(), ("content-type", "application/json"))
            return
        await exchange.start_stream()
        partial = json.dumps({"type": "input_json_delta", "partial_json": value})
        start = answer_with("1").replace('"content":[', '"content":[],"was":[')
        for event in (
            f'{{"type":"message_start","message":{start}}}',
            '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t2","name":"f","input":{}}}',
            f'{{"type":"content_block_delta","index":0,"delta":{partial}}}',
            f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{value}}}}}',
            f'{{"type":"message_delta","delta":{value}}}',
        ):
            await exchange.chunk(f"data: {event}\n\n".encode())
        await exchange.end_stream()

    upstream.script(answer)
    session = f"deep-{kind}-{streaming}"
    count = 0
    with httpx.Client(base_url=deep.url, trust_env=False) as client:
        for depth in DEPTHS:
            value = nested(depth, kind)
            for path, body in requests_with(value):
                headers = {"x-session-id": session, "content-type": "application/json", "x-api-key": "k"}
                assert client.post(path, content=body, headers=headers).status_code == 200, (depth, path)
                count += 1

        def ended() -> list[str]:
            rows = deep.rows(
                "select request_id from exchanges e join sessions s on s.id = e.session_id where s.session_id = ?"
                " and e.success is not null order by e.id", session,
            )  # fmt: skip
            return [row[0] for row in rows] if len(rows) == count else []

        requests = eventually(ended, "a record of each", 30)
        wrong = {}
        addresses = [f"/sessions/{session}", f"/sessions/{session}/tools", f"/sessions/{session}/exchanges"]
        addresses += [f"/sessions/{session}/export?format={f}" for f in ("jsonl", "json", "markdown", "html", "csv")]
        addresses += [f"/ui/sessions/{session}", f"/ui/sessions/{session}/outline"]
        for one, other in zip(requests, [*requests[4:], *requests[:4]], strict=True):
            addresses += [f"/ui/sessions/{session}/exchanges/{one}", f"/ui/sessions/{session}/diff?a={one}&b={other}"]
        for address in addresses:
            status = client.get(address).status_code
            if status != 200:
                wrong[address] = status
        assert wrong == {}

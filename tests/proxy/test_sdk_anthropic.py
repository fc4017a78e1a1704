"""Anthropic's SDK behaves through the proxy as it does without: same results, same errors, same requests."""

import anthropic
import pytest

from tests.support.sdk import Outcome, outcome
from tests.support.vendors import anthropic_error, sse

MODEL = "claude-sonnet-5"
HELLO = [{"role": "user", "content": "hello"}]
ASK = [{"role": "user", "content": 'use the tool get_weather with {"city": "Zürich"}'}]
TOOL = {"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}
PLAIN = {"model": MODEL, "max_tokens": 2000, "messages": HELLO}


@pytest.fixture
def both(server, upstream):
    """both(call, script) makes a call directly and through the proxy, and gives the outcome, which must be one."""

    def run(call, script=None) -> Outcome:
        direct = outcome(upstream, upstream.url, call, script)
        proxied = outcome(upstream, server.url, call, script)
        assert proxied == direct
        return proxied

    return run


def client(base: str, **options) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base, api_key="k", **options)


def test_a_message(both):
    got = both(lambda base: client(base).messages.create(**PLAIN)).value
    assert got["content"][0]["text"] == "You said: hello"
    assert got["usage"]["cache_read_input_tokens"] == 1000


def test_a_message_with_thinking_and_a_beta(both):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    headers = {"anthropic-beta": "interleaved-thinking-2025-05-14"}
    got = both(lambda base: client(base).messages.create(**PLAIN, thinking=thinking, extra_headers=headers))
    assert [block["type"] for block in got.value["content"]] == ["thinking", "text"]
    assert (b"anthropic-beta", b"interleaved-thinking-2025-05-14") in got.requests[0][2]


def test_events_of_a_stream_with_a_tool(both):
    got = both(lambda base: list(client(base).messages.create(**{**PLAIN, "messages": ASK}, tools=[TOOL], stream=True)))
    assert [event["type"] for event in got.value][-2:] == ["message_delta", "message_stop"]
    assert len(got.value) > 10


def test_a_stream_put_together(both):
    def call(base):
        with client(base).messages.stream(**{**PLAIN, "messages": ASK}, tools=[TOOL]) as stream:
            return ["".join(stream.text_stream), stream.get_final_message()]

    text, message = both(call).value
    assert text == "I will use a tool."
    assert message["content"][-1]["input"] == {"city": "Zürich"}
    assert message["stop_reason"] == "tool_use"


def test_a_tool_and_its_result(both):
    def call(base):
        claude = client(base)
        first = claude.messages.create(**{**PLAIN, "messages": ASK}, tools=[TOOL])
        used = first.content[-1]
        result = {"type": "tool_result", "tool_use_id": used.id, "content": "rain"}
        answer = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
        messages = [*ASK, answer, {"role": "user", "content": [result]}]
        return claude.messages.create(**{**PLAIN, "messages": messages}, tools=[TOOL])

    assert both(call).value["content"][0]["text"] == "Done."


def test_the_asynchronous_client(both):
    async def call(base):
        async with (
            anthropic.AsyncAnthropic(base_url=base, api_key="k") as claude,
            claude.messages.stream(**PLAIN) as stream,
        ):
            return ["".join([text async for text in stream.text_stream]), await stream.get_final_message()]

    assert both(call).value[0] == "You said: hello"


def test_count_tokens_and_models(both):
    assert (
        both(lambda base: client(base).messages.count_tokens(model=MODEL, messages=HELLO)).value["input_tokens"] == 42
    )
    assert both(lambda base: [model.id for model in client(base).models.list()]).value == ["gpt-5"]


def test_raw_answers_keep_their_headers(both):
    def call(base):
        answer = client(base).messages.with_raw_response.create(**PLAIN)
        return [sorted((k, v) for k, v in answer.headers.items() if k != "connection"), answer.http_response.content]

    assert ["request-id", "req_1"] in [list(pair) for pair in both(call).value[0]]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_compressed_answers(both, coding):
    import gzip

    import brotli
    import zstandard

    encode = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]

    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(
            200, encode(b'{"input_tokens": 7}'), ("content-type", "application/json"), ("content-encoding", coding)
        )

    def call(base):
        headers = {"accept-encoding": coding}
        return client(base).messages.count_tokens(model=MODEL, messages=HELLO, extra_headers=headers)

    # Where httpx has no decoder for a coding, both fail alike.
    assert both(call, script).requests


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", "BadRequestError"),
        (401, "authentication_error", "AuthenticationError"),
        (403, "permission_error", "PermissionDeniedError"),
        (404, "not_found_error", "NotFoundError"),
        (413, "request_too_large", "ContentTooLargeError"),
        (429, "rate_limit_error", "RateLimitError"),
        (500, "api_error", "InternalServerError"),
        (529, "overloaded_error", "OverloadedError"),
    ],
)
def test_errors(both, status, kind, error):
    async def script(exchange):
        await exchange.read_body()
        await exchange.json(anthropic_error(kind, "because"), status, ("request-id", "req_x"), ("retry-after", "30"))

    got = both(lambda base: client(base, max_retries=0).messages.create(**PLAIN), script)
    assert got.error == error
    assert "because" in got.value["message"]
    assert (got.value["status_code"], got.value["request_id"]) == (status, "req_x")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 529])
@pytest.mark.parametrize("stream", [False, True])
def test_retries(both, status, stream):
    async def script(exchange):
        await exchange.read_body()
        if len(exchange.upstream.requests) < 3:
            await exchange.json(anthropic_error("overloaded_error", "later"), status, ("retry-after-ms", "1"))
        else:
            exchange.upstream.script(None)
            await exchange.json(anthropic_error("invalid_request_error", "never"), 400)

    def call(base):
        return client(base, max_retries=2).messages.create(**PLAIN, stream=stream)

    got = both(call, script)
    assert got.error == "BadRequestError"
    assert [dict(seen[2])[b"x-stainless-retry-count"] for seen in got.requests] == [b"0", b"1", b"2"]


def test_an_error_in_the_stream(both):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(sse("ping", {"type": "ping"}))
        await exchange.chunk(sse("error", anthropic_error("overloaded_error", "Overloaded")))
        await exchange.end_stream()

    got = both(lambda base: list(client(base).messages.create(**PLAIN, stream=True)), script)
    assert "Overloaded" in got.value["message"]


@pytest.mark.parametrize("how", ["close", "chunk"])
def test_a_stream_that_breaks_off(both, how):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(sse("ping", {"type": "ping"}))
        if how == "chunk":
            await exchange.send(b"ff\r\nhalf a chunk")
        exchange.keep = False

    got = both(lambda base: list(client(base).messages.create(**PLAIN, stream=True)), script)
    assert got.error, "a broken stream passed for a complete one"


def test_a_client_that_gives_up_cancels(server, upstream):
    upstream.script("hang")
    with pytest.raises(anthropic.APITimeoutError):
        client(server.url, max_retries=0, timeout=0.3).messages.create(**PLAIN)
    assert upstream.lost.wait(1)


def test_a_stream_that_is_left_cancels(server, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(sse("ping", {"type": "ping"}))
        await exchange.chunk(sse("message_stop", {"type": "message_stop"}))
        await exchange.until_gone()

    upstream.script(script)
    claude = client(server.url)
    stream = claude.messages.create(**PLAIN, stream=True)
    next(iter(stream))
    stream.close()
    assert upstream.lost.wait(1)


def test_a_provider_that_is_gone_is_an_error_that_the_sdk_understands(server, upstream):
    upstream.script("reset")
    with pytest.raises(anthropic.InternalServerError, match="LunaRoute: provider anthropic") as caught:
        client(server.url, max_retries=0).messages.create(**PLAIN)
    assert caught.value.status_code == 502
    assert caught.value.body["error"]["type"] == "api_error"

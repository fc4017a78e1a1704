"""OpenAI's SDK behaves through the proxy as it does without: same results, same errors, same requests."""

import openai
import pytest

from tests.support.sdk import Outcome, outcome
from tests.support.vendors import openai_error

HELLO = [{"role": "user", "content": "hello"}]
ASK = [{"role": "user", "content": 'use the tool get_weather with {"city": "Zürich"}'}]
PARAMETERS = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
PLAIN = {"model": "gpt-5", "messages": HELLO}


@pytest.fixture
def both(server, upstream):
    """both(call, script) makes a call directly and through the proxy, and gives the outcome, which must be one."""

    def run(call, script=None) -> Outcome:
        direct = outcome(upstream, f"{upstream.url}/v1", call, script)
        proxied = outcome(upstream, f"{server.url}/v1", call, script)
        assert proxied == direct
        return proxied

    return run


def client(base: str, **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=base, api_key="k", **options)


def test_a_chat(both):
    got = both(lambda base: client(base).chat.completions.create(**PLAIN)).value
    assert got["choices"][0]["message"]["content"] == "You said: hello"
    assert got["usage"]["prompt_tokens_details"]["cached_tokens"] == 1000


def test_chunks_of_a_chat_with_a_tool(both):
    def call(base):
        chat = {"model": "gpt-5", "messages": ASK, "tools": [FUNCTION]}
        return list(client(base).chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}))

    chunks = both(call).value
    assert len(chunks) > 5
    assert chunks[-1]["usage"]["total_tokens"] == 1207


def test_a_tool_and_its_result(both):
    def call(base):
        gpt = client(base)
        first = gpt.chat.completions.create(model="gpt-5", messages=ASK, tools=[FUNCTION]).choices[0].message
        result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "rain"}
        messages = [*ASK, first.model_dump(exclude_none=True), result]
        return gpt.chat.completions.create(model="gpt-5", messages=messages, tools=[FUNCTION])

    assert both(call).value["choices"][0]["message"]["content"] == "Done."


def test_a_response(both):
    got = both(lambda base: client(base).responses.create(model="gpt-5", input="hello")).value
    assert got["output"][-1]["content"][0]["text"] == "You said: hello"


def test_events_of_a_response_with_a_tool(both):
    tool = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}

    def call(base):
        return list(client(base).responses.create(model="gpt-5", input=ASK, tools=[tool], stream=True))

    events = both(call).value
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][-1]["name"] == "get_weather"


def test_a_response_put_together(both):
    def call(base):
        with client(base).responses.stream(model="gpt-5", input="hello") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return [text, stream.get_final_response().usage]

    text, usage = both(call).value
    assert text == "You said: hello"
    assert usage["output_tokens_details"]["reasoning_tokens"] == 15


def test_the_asynchronous_client(both):
    async def call(base):
        async with openai.AsyncOpenAI(base_url=base, api_key="k") as gpt:
            return [chunk async for chunk in await gpt.chat.completions.create(**PLAIN, stream=True)]

    chunks = both(call).value
    assert "".join(c["choices"][0]["delta"]["content"] or "" for c in chunks if c["choices"]) == "You said: hello"


def test_models_and_embeddings(both):
    assert both(lambda base: [model.id for model in client(base).models.list()]).value == ["gpt-5"]

    def embed(base):
        return client(base).embeddings.create(model="e", input="x", encoding_format="float")

    assert both(embed).value["data"][0]["embedding"] == [0.5, -0.25]


def test_an_upload_of_a_file(both):
    async def script(exchange):
        body = await exchange.read_body()
        assert b"line of training data" in body
        exchange.request.body = b""  # its boundary is made up anew each time
        exchange.request.headers = [h for h in exchange.request.headers if h[0].lower() != b"content-type"]
        await exchange.json({
            "id": "file-1", "object": "file", "bytes": 9, "created_at": 1, "filename": "a.jsonl", "purpose": "batch",
            "status": "processed",
        })  # fmt: skip

    def call(base):
        return client(base).files.create(file=("a.jsonl", b"line of training data\n" * 50_000), purpose="batch")

    assert both(call, script).value["id"] == "file-1"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)
def test_errors(both, status, error):
    async def script(exchange):
        await exchange.read_body()
        await exchange.json(openai_error("a_type", "because", "a_code"), status, ("x-request-id", "req_x"))

    got = both(lambda base: client(base, max_retries=0).chat.completions.create(**PLAIN), script)
    assert got.error == error
    assert (got.value["status_code"], got.value["request_id"], got.value["code"]) == (status, "req_x", "a_code")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_retries(both, status):
    async def script(exchange):
        await exchange.read_body()
        if len(exchange.upstream.requests) < 3:
            await exchange.json(openai_error("rate", "slow"), status, ("retry-after-ms", "1"))
        else:
            await exchange.json(openai_error("invalid_request_error", "never", "x"), 400)

    got = both(lambda base: client(base, max_retries=2).chat.completions.create(**PLAIN, stream=True), script)
    assert got.error == "BadRequestError"
    assert [dict(seen[2])[b"x-stainless-retry-count"] for seen in got.requests] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("path", ["chat", "responses"])
def test_an_error_in_the_stream(both, path):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'event: error\ndata: {"error":{"message":"broke","type":"server_error"}}\n\n')
        await exchange.end_stream()

    def call(base):
        gpt = client(base)
        if path == "chat":
            return list(gpt.chat.completions.create(**PLAIN, stream=True))
        return list(gpt.responses.create(model="gpt-5", input="hello", stream=True))

    assert "broke" in both(call, script).value["message"]


def test_a_stream_that_breaks_off(both):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"id":"x","choices":[]}\n\n')
        exchange.keep = False

    got = both(lambda base: list(client(base).chat.completions.create(**PLAIN, stream=True)), script)
    assert got.error, "a broken stream passed for a complete one"


def test_a_provider_that_is_gone_is_an_error_that_the_sdk_understands(server, upstream):
    upstream.script("reset")
    with pytest.raises(openai.InternalServerError, match="LunaRoute: provider openai") as caught:
        client(f"{server.url}/v1", max_retries=0).chat.completions.create(**PLAIN)
    assert (caught.value.status_code, caught.value.type) == (502, "server_error")

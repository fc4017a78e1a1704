"""The vendors' own clients behave through the proxy as they do without it."""

import asyncio

import anthropic
import openai
import pytest

MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
ASK = [{"role": "user", "content": 'use the tool get_weather with {"city": "Zürich"}'}]


@pytest.fixture(params=["direct", "proxied"])
def base(request, server, upstream) -> str:
    return upstream.url if request.param == "direct" else server.url


@pytest.fixture
def claude(base) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base, api_key="k", max_retries=2)


@pytest.fixture
def gpt(base) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base}/v1", api_key="k", max_retries=2)


def test_anthropic_message(claude):
    message = claude.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=MESSAGES)
    assert message.content[0].text == "You said: hello"
    assert message.usage.cache_read_input_tokens == 1000


def test_anthropic_stream_with_a_tool(claude):
    with claude.messages.stream(model="claude-sonnet-4-5", max_tokens=100, messages=ASK, tools=[TOOL]) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "I will use a tool."
    assert message.content[-1].input == {"city": "Zürich"}
    assert message.stop_reason == "tool_use"


def test_anthropic_async_stream(base):
    async def run() -> str:
        async with anthropic.AsyncAnthropic(base_url=base, api_key="k") as client:
            async with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
                return "".join([text async for text in stream.text_stream])

    assert asyncio.run(run()) == "You said: hello"


def test_anthropic_count_tokens(claude):
    assert claude.messages.count_tokens(model="m", messages=MESSAGES).input_tokens == 42


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (404, "not_found_error", anthropic.NotFoundError),
    ],
)
def test_anthropic_errors(claude, upstream, status, kind, error):
    async def script(exchange):
        await exchange.read_body()
        await exchange.json({"type": "error", "error": {"type": kind, "message": "because"}}, status)

    upstream.script(script)
    with pytest.raises(error, match="because"):
        claude.messages.create(model="m", max_tokens=1, messages=MESSAGES)


@pytest.mark.parametrize("status", [429, 500, 529])
def test_anthropic_retries(claude, upstream, status):
    async def script(exchange):
        await exchange.read_body()
        exchange.upstream.script(None)
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}
        await exchange.json(error, status, ("retry-after-ms", "1"))

    upstream.script(script)
    assert claude.messages.create(model="m", max_tokens=1, messages=MESSAGES).content
    assert len(upstream.requests) == 2


def test_anthropic_error_in_the_stream(claude, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
        await exchange.chunk(b"event: error\ndata: " + error + b"\n\n")
        await exchange.end_stream()

    upstream.script(script)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(claude.messages.create(model="m", max_tokens=1, messages=MESSAGES, stream=True))


def test_openai_chat(gpt):
    answer = gpt.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.usage.prompt_tokens_details.cached_tokens == 1000


def test_openai_chat_stream_with_a_tool(gpt):
    stream = gpt.chat.completions.create(
        model="gpt-5", messages=ASK, tools=[FUNCTION], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    arguments = "".join(
        c.choices[0].delta.tool_calls[0].function.arguments
        for c in chunks
        if c.choices and c.choices[0].delta.tool_calls
    )
    assert arguments == '{"city": "Z\\u00fcrich"}'
    assert chunks[-1].usage.total_tokens == 1207


def test_openai_responses(gpt):
    assert gpt.responses.create(model="gpt-5", input="hello").output_text == "You said: hello"


def test_openai_responses_stream(gpt):
    with gpt.responses.stream(model="gpt-5", input="hello") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().usage.output_tokens_details.reasoning_tokens == 15
    assert text == "You said: hello"


def test_openai_async(base):
    async def run() -> str:
        async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="k") as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    assert asyncio.run(run()) == "You said: hello"


def test_openai_models_and_embeddings(gpt):
    assert [model.id for model in gpt.models.list()] == ["gpt-5"]
    assert gpt.embeddings.create(model="e", input="x", encoding_format="float").data[0].embedding == [0.5, -0.25]


def test_openai_errors_and_retries(gpt, upstream):
    async def script(exchange):
        await exchange.read_body()
        if len(exchange.upstream.requests) < 3:
            await exchange.json({"error": {"message": "slow", "type": "rate"}}, 429, ("retry-after-ms", "1"))
        else:
            await exchange.json(
                {"error": {"message": "never", "type": "invalid_request_error", "param": "model", "code": "x"}}, 400
            )

    upstream.script(script)
    with pytest.raises(openai.BadRequestError, match="never") as caught:
        gpt.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.code == "x"
    assert len(upstream.requests) == 3

"""The vendors' SDKs on the client's side, the other vendor behind LunaRoute: each dialect in each other."""

import json

import anthropic
import openai
import pytest

from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually
from tests.support.speakers import PIXEL, SPEAKERS, WEATHER

PROVIDERS = {
    "anthropic": 'providers: {other: {provider_type: anthropic, base_url: "FIRST", api_key: "sk-ant-of-the-server"}}',
    "openai-chat": (
        'providers: {other: {provider_type: openai, base_url: "FIRST/v1", api_key: "sk-of-the-server", openai_api: chat}}'
    ),
    "openai-responses": (
        'providers: {other: {provider_type: openai, base_url: "FIRST/v1", api_key: "sk-of-the-server", '
        "openai_api: responses}}"
    ),
}
DIRECTIONS = [(client, provider) for client in SPEAKERS for provider in PROVIDERS if client != provider]
PATHS = {"anthropic": b"/v1/messages", "openai-chat": b"/v1/chat/completions", "openai-responses": b"/v1/responses"}
# (with cache, of the cache, answer) as the fake providers tell.
TOKENS = {"anthropic": (1180, 1000, 42), "openai-chat": (1150, 1000, 57), "openai-responses": (1150, 1000, 57)}


@pytest.fixture(scope="module")
def servers(two_providers, tmp_path_factory):
    """A server for each provider's dialect."""
    from tests.support.server import start_server

    started = {}

    def server(provider: str):
        if provider not in started:
            home = tmp_path_factory.mktemp("home")
            (home / "c.yaml").write_text(PROVIDERS[provider].replace("FIRST", two_providers[0].url))
            started[provider] = start_server(home, two_providers[0].url, "--config", str(home / "c.yaml"))
        return started[provider]

    yield server
    for one in started.values():
        one.stop()
        assert "Traceback" not in one.output(), one.output()


@pytest.fixture(params=DIRECTIONS, ids=[f"{client}-on-{provider}" for client, provider in DIRECTIONS])
def direction(request) -> tuple[str, str]:
    return request.param


@pytest.fixture(params=[False, True], ids=["json", "stream"])
def stream(request) -> bool:
    return request.param


@pytest.fixture
def speaker(direction, servers, first):
    """A client of the one dialect, in front of a provider of the other."""
    return SPEAKERS[direction[0]](servers(direction[1]).url)


def test_a_word_and_its_answer(speaker, direction, stream, first):
    said = speaker.say("hello there", stream)
    assert said.text == "You said: hello there"
    assert said.stop == "stop"
    assert said.tokens == TOKENS[direction[1]]
    (request,) = first.requests
    assert request.target == PATHS[direction[1]]
    assert "Be brief." in json.dumps(request.json)


def test_the_clients_key_does_not_reach_the_other_vendor(speaker, direction, first):
    speaker.say("hello")
    (request,) = first.requests
    sent = b"\n".join(value for _, value in request.headers)
    assert b"of-the-client" not in sent
    assert b"of-the-server" in sent


def test_tools_over_several_turns(speaker, stream, first):
    said = speaker.say('use the tool weather with {"city": "Rome"}', stream, tools=True)
    assert [(name, arguments) for _, name, arguments in said.calls] == [("weather", {"city": "Rome"})]
    assert said.stop == "tools"
    again = speaker.result({said.calls[0][0]: "sunny"}, stream)
    assert again.text == "Done."
    assert "sunny" in json.dumps(first.requests[-1].json)
    third = speaker.say("and thank you", stream, tools=True)
    assert third.text.endswith("and thank you")


def test_tools_in_parallel(speaker, stream, first):
    text = 'in parallel: use the tool weather with {"city": "Rome"} and use the tool time with {"city": "Oslo"}'
    said = speaker.say(text, stream, tools=True)
    assert [(name, arguments) for _, name, arguments in said.calls] == [
        ("weather", {"city": "Rome"}),
        ("time", {"city": "Oslo"}),
    ]
    again = speaker.result({said.calls[0][0]: "sunny", said.calls[1][0]: "noon"}, stream)
    assert again.text == "Done."
    sent = json.dumps(first.requests[-1].json)
    assert sent.index("sunny") < sent.index("noon")


def test_an_image(speaker, first):
    speaker.say("what is this?", image=PIXEL)
    assert PIXEL in json.dumps(first.requests[-1].json)


@pytest.mark.parametrize(("client", "provider"), [d for d in DIRECTIONS if "openai-chat" not in d])
def test_reasoning_is_kept_over_the_turns_of_a_tool_loop(client, provider, stream, servers, first):
    speaker = SPEAKERS[client](servers(provider).url)
    more = (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}}
        if client == "anthropic"
        else {"reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    )
    model = {"model": "gpt-5"} if client != "anthropic" else {}
    said = speaker.say('use the tool weather with {"city": "Rome"}', stream, tools=True, **more, **model)
    assert said.thinking
    speaker.result({said.calls[0][0]: "sunny"}, stream)
    sent = json.dumps(first.requests[-1].json)
    assert ("c2lnbmF0dXJl" if provider == "anthropic" else "encrypted-") in sent


def test_a_long_answer(speaker, direction, stream, first):
    text = "word and word, " * 20_000

    async def long(exchange):
        await exchange.read_body()
        body = exchange.request.json
        usage = {"input_tokens": 1, "output_tokens": 2, "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        if direction[1] == "anthropic":
            answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None, "usage": usage,
                      "content": [{"type": "text", "text": text}], "stop_reason": "max_tokens"}  # fmt: skip
        elif direction[1] == "openai-chat":
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
            answer = {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
        else:
            item = {"id": "i", "type": "message", "role": "assistant", "status": "incomplete",
                    "content": [{"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip
            answer = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "incomplete",
                      "incomplete_details": {"reason": "max_output_tokens"}, "output": [item], "usage": usage}  # fmt: skip
        assert bool(body.get("stream")) == stream
        await exchange.json(answer)

    first.script(long)
    said = speaker.say("go on and on", stream)
    assert said.text == text
    assert said.stop == "length"


def test_a_refusal(speaker, direction, stream, first):
    words = "I cannot help with that."

    async def refuse(exchange):
        await exchange.read_body()
        answers = {
            "anthropic": {
                "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "refusal", "stop_sequence": None,
                "content": [{"type": "text", "text": words}], "usage": {"input_tokens": 1, "output_tokens": 2},
            },
            "openai-chat": {
                "id": "c", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": words}}
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            },
            "openai-responses": {
                "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
                "output": [
                    {"id": "i", "type": "message", "role": "assistant", "status": "completed",
                     "content": [{"type": "refusal", "refusal": words}]}
                ],
                "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            },
        }  # fmt: skip
        await exchange.json(answers[direction[1]])

    first.script(refuse)
    if direction == ("openai-chat", "anthropic") and stream:  # as it does for any answer that a filter ended
        with pytest.raises(openai.ContentFilterFinishReasonError):
            speaker.say("help me with something bad", stream)
        return
    said = speaker.say("help me with something bad", stream)
    # In OpenAI's dialects a refusal is a part of its own; Anthropic's is why an answer of text ended.
    assert (said.refusal or said.text) == words
    assert bool(said.refusal) == ("anthropic" not in direction)
    if "anthropic" in direction:
        assert said.stop == "refusal"


@pytest.mark.parametrize(
    ("status", "anthropic_error", "openai_error"),
    [
        (400, anthropic.BadRequestError, openai.BadRequestError),
        (401, anthropic.AuthenticationError, openai.AuthenticationError),
        (404, anthropic.NotFoundError, openai.NotFoundError),
        (429, anthropic.RateLimitError, openai.RateLimitError),
        (500, anthropic.InternalServerError, openai.InternalServerError),
        (503, anthropic.InternalServerError, openai.InternalServerError),
    ],
)
def test_an_error_has_its_right_type(speaker, direction, stream, first, status, anthropic_error, openai_error):
    async def fail(exchange):
        await exchange.read_body()
        if direction[1] == "anthropic":
            body = {"type": "error", "error": {"type": "invalid_request_error", "message": "what is wrong"}}
        else:
            body = {"error": {"message": "what is wrong", "type": "invalid_request_error", "param": None, "code": None}}
        await exchange.json(body, status)

    first.script(fail)
    expected = anthropic_error if direction[0] == "anthropic" else openai_error
    with pytest.raises(expected, match="what is wrong"):
        speaker.say("hello", stream)


def test_an_answer_that_is_no_answer_is_said_to_be_none(speaker, direction, first):
    async def page(exchange):
        await exchange.read_body()
        await exchange.answer(
            200, b"<html>Welcome to the hotel's wireless network</html>", ("content-type", "text/html")
        )

    first.script(page)
    with pytest.raises((anthropic.InternalServerError, openai.InternalServerError), match="provider other"):
        speaker.say("hello")


def test_a_stream_that_breaks_off_never_looks_complete(direction, servers, first):
    async def breaks(exchange):
        from tests.support import vendors

        sent = []

        class Half:
            request, upstream = exchange.request, exchange.upstream

            async def start_stream(self, *headers):
                await exchange.start_stream(*headers)

            async def chunk(self, data):
                sent.append(data)
                if len(sent) < 4:
                    await exchange.chunk(data)

            async def end_stream(self):
                exchange.reset()

        await exchange.read_body()
        await vendors.answer_as_vendor(Half())

    first.script(breaks)
    client, provider = direction
    bodies = {
        "anthropic": {"model": "m", "max_tokens": 10, "stream": True, "messages": [{"role": "user", "content": "hi"}]},
        "openai-chat": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
        "openai-responses": {"model": "m", "stream": True, "input": "hi"},
    }
    with RawClient(servers(provider).port) as raw:
        answer = raw.request(target=PATHS[client], body=json.dumps(bodies[client]).encode())
    assert not answer.complete
    for mark in (b"message_stop", b"[DONE]", b"response.completed"):
        assert mark not in answer.body
    assert b"error" in answer.body or b"response.failed" in answer.body


def test_what_cannot_be_said_is_refused_with_its_field(servers, first):
    with RawClient(servers("anthropic").port) as raw:
        body = b'{"model": "gpt-4.1", "n": 2, "messages": [{"role": "user", "content": "hi"}]}'
        answer = raw.request(target=b"/v1/chat/completions", body=body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "n"
    assert not first.requests


def test_what_is_left_out_is_named(servers, first):
    with RawClient(servers("anthropic").port) as raw:
        body = b'{"model": "gpt-4.1", "seed": 7, "messages": [{"role": "user", "content": "hi"}]}'
        answer = raw.request(target=b"/v1/chat/completions", body=body)
    assert answer.status == 200
    assert b"seed" in answer.header(b"x-lunaroute-warning")


@pytest.mark.parametrize("provider", ["openai-chat", "openai-responses"])
def test_tokens_are_estimated_where_they_cannot_be_counted(servers, first, provider):
    client = anthropic.Anthropic(base_url=servers(provider).url, api_key="k", max_retries=0)
    counted = client.messages.with_raw_response.count_tokens(
        model="claude-sonnet-4-5", messages=[{"role": "user", "content": "a few words of English " * 100}],
        tools=[{"name": "weather", "input_schema": WEATHER}],
    )  # fmt: skip
    assert counted.headers["x-lunaroute-estimated"] == "1"
    assert 300 < counted.parse().input_tokens < 900
    assert not first.requests


def test_lists_of_models(servers, first):
    models = anthropic.Anthropic(base_url=servers("openai-chat").url, api_key="k").models.list()
    assert [(model.type, model.id) for model in models] == [("model", "gpt-5")]
    models = openai.OpenAI(base_url=servers("anthropic").url + "/v1", api_key="k").models.list()
    assert [(model.object, model.id) for model in models] == [("model", "gpt-5")]


def test_a_websocket_is_refused_so_that_the_client_uses_http(servers):
    with RawClient(servers("anthropic").port) as raw:
        raw.send(
            b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert_error(raw.answer(), "openai", 426, "HTTP")


def test_the_record_has_what_the_client_said_and_got(speaker, direction, servers, stream, first):
    server = servers(direction[1])
    speaker.say(f"hello record {direction[0]} {stream}", stream)
    query = (
        "select e.provider, e.dialect, e.listener, e.success, e.output_tokens + e.thinking_tokens, e.routing from exchanges e "
        f"join sessions s on s.id = e.session_id where s.title = 'hello record {direction[0]} {stream}' and e.success is not null"
    )
    ((provider, dialect, listener, success, output, routing),) = eventually(lambda: server.rows(query), "the record")
    assert (provider, dialect, success) == ("other", direction[0], 1)
    assert listener == ("anthropic" if direction[0] == "anthropic" else "openai")
    assert output == TOKENS[direction[1]][2]
    assert json.loads(routing)["dialect"] == direction[1]


def test_a_stream_that_is_not_called_one(servers, first):
    async def plain(exchange):
        await exchange.read_body()
        chunk = {
            "id": "c",
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}],
        }
        body = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
        await exchange.answer(200, body, ("content-type", "text/plain"))

    first.script(plain)
    assert SPEAKERS["anthropic"](servers("openai-chat").url).say("hi", stream=True).text == "hello"

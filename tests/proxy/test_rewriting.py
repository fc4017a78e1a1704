"""What a provider's settings, markers and notifications change of a request, and what stays as it was."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually
from tests.support.speakers import SPEAKERS

BODY = b'{"model" : "claude-sonnet-4-5",\n  "temperature": 0.10, "max_tokens":10,"messages":[ {"role":"user","content":"hi \\u00fc"} ]}'
ID = "550e8400-e29b-41d4-a716-446655440000"
GUIDE = """
providers:
  anthropic:
    base_url: "FIRST"
    request_headers:
      headers:
        X-Developer-ID: "${env.USER}"
        X-Project-ID: "${env.PROJECT_NAME}"
        X-Session-Context: "claude-code-${session_id}"
        X-Request-Source: "lunaroute-local"
    request_body:
      defaults: {temperature: 0.7, max_tokens: 4096}
      overrides: {top_p: 0.9}
      prepend_messages:
        - {role: user, content: "You are helping with local development. Be concise."}
"""
MARKERS = """
providers:
  anthropic: {base_url: "FIRST"}
  backup: {provider_type: anthropic, base_url: "SECOND", switch_notification_message: "From ${original_provider} to ${new_provider}: ${reason} (${model})"}
"""


def post(server, body: bytes, headers: bytes = b"", target: bytes = b"/v1/messages"):
    with RawClient(server.port) as client:
        return client.request(target=target, body=body, headers=headers)


def says(*texts: str) -> bytes:
    """A conversation in which a person said that, with an answer after each but the last."""
    messages = []
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]
    return json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": messages[:-1]}).encode()


def test_the_guides_headers_and_bodies(routed, first):
    server = routed(GUIDE, USER="jane", PROJECT_NAME="myapp")
    assert post(server, BODY, b"session_id: %b\r\nx-developer-id: forged\r\n" % ID.encode()).status == 200
    (request,) = first.requests
    assert request.headers_named("x-developer-id") == [b"jane"]
    assert request.header("x-project-id") == "myapp"
    assert request.header("x-session-context") == f"claude-code-{ID}"
    assert request.header("x-request-source") == "lunaroute-local"
    sent = request.json
    assert (sent["temperature"], sent["max_tokens"], sent["top_p"]) == (0.1, 10, 0.9)
    assert [m["content"] for m in sent["messages"]] == ["You are helping with local development. Be concise.", "hi ü"]
    # What no setting names has its bytes.
    for kept in (b'"model" : "claude-sonnet-4-5",\n  "temperature": 0.10', b'{"role":"user","content":"hi \\u00fc"} ]'):
        assert kept in request.body
    server.wait_recorded(1)
    ((routing,),) = server.rows("select routing from exchanges")
    assert "top_p set" in json.loads(routing)["notes"]


def test_costs_by_project_with_the_guides_own_line(routed, first):
    server = routed(GUIDE, USER="jane", PROJECT_NAME="myapp")
    post(server, BODY)
    server.wait_recorded(1)
    jq = f"{sys.executable} -c 'import jq,sys; print(jq.compile(sys.argv[1]).input_text(sys.stdin.read()).text())'"
    line = f'curl -s "{server.url}/sessions" | {jq} \'.[] | select(.metadata.project == "myapp")\''
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=os.environ)
    assert json.loads(done.stdout)["metadata"]["project"] == "myapp"


def test_headers_that_are_the_same_for_every_request_leave_the_body_alone(routed, first):
    config = (
        'providers: {anthropic: {base_url: "FIRST", request_headers: {headers: {X-Project-ID: "${env.PROJECT_NAME}"}}}}'
    )
    server = routed(config, PROJECT_NAME="static")
    post(server, BODY)
    assert first.requests[0].body == BODY
    assert first.requests[0].header("x-project-id") == "static"
    server.wait_recorded(1)
    assert server.json("/sessions")[0]["metadata"]["project"] == "static"


def test_a_model_is_replaced_and_nothing_else(routed, first):
    server = routed('providers: {anthropic: {base_url: "FIRST", model: "claude-haiku-4-5"}}')
    post(server, BODY)
    assert first.requests[0].body == BODY.replace(b"claude-sonnet-4-5", b"claude-haiku-4-5")


def test_a_model_is_replaced_by_its_name(routed, first):
    config = 'providers: {anthropic: {base_url: "FIRST", model_map: {"claude-opus-*": "big", "claude-*": "small"}}}'
    server = routed(config)
    post(server, BODY)
    post(server, BODY.replace(b"sonnet-4-5", b"opus-4-1"))
    assert [request.json["model"] for request in first.requests] == ["small", "big"]


@pytest.mark.parametrize("body", [b"no json", b"[1, 2]", b'{"model": ', b"\xff\xfe"])
def test_a_body_that_cannot_be_changed_is_sent_on_as_it_is(routed, first, body):
    server = routed(GUIDE)
    post(server, body)
    assert first.requests[0].body == body
    server.wait_recorded(1)
    ((routing,),) = server.rows("select routing from exchanges")
    assert any("sent on unchanged" in note for note in json.loads(routing)["notes"])


def test_a_header_with_a_line_break_is_left_out(routed, first):
    config = 'providers: {anthropic: {base_url: "FIRST", request_headers: {headers: {X-Model: "${model}"}}}}'
    server = routed(config)
    post(server, b'{"model": "a\\r\\nx-evil: 1", "messages": []}')
    assert first.requests[0].header("x-model") is None
    assert first.requests[0].header("x-evil") is None


def test_a_marker_chooses_the_provider_until_it_is_cleared(routed, first, second):
    server = routed(MARKERS)
    answer = post(server, says("[LUNAROUTE:backup] hello"))
    assert answer.header(b"x-lunaroute-provider") == b"backup"
    post(server, says("[LUNAROUTE:backup] hello", "go on"))
    post(server, says("[LUNAROUTE:backup] hello", "go on", "[LUNAROUTE:clear] enough"))
    assert (len(first.requests), len(second.requests)) == (1, 2)
    for request in (*first.requests, *second.requests):
        assert b"LUNAROUTE" not in request.body


def test_a_marker_that_names_nobody_is_taken_out_and_the_answer_says_so(routed, first):
    server = routed(MARKERS)
    answer = post(server, says("[LUNAROUTE:nobody] hello"))
    assert answer.status == 200
    assert b"[LUNAROUTE:nobody]" in answer.header(b"x-lunaroute-warning")
    assert first.requests[0].json["messages"][0]["content"] == "hello"


def test_a_marker_that_names_nobody_leaves_it_to_the_rules(routed, first, second):
    server = routed(MARKERS + 'routing: {rules: [{name: r, model_pattern: "^claude-", primary: backup}]}\n')
    answer = post(server, says("[LUNAROUTE:nobody] hello"))
    assert answer.header(b"x-lunaroute-provider") == b"backup"
    assert b"[LUNAROUTE:nobody]" in answer.header(b"x-lunaroute-warning")


def test_a_marker_in_a_compressed_body_counts(routed, first, second):
    import zstandard

    server = routed(MARKERS)
    post(server, zstandard.compress(says("[LUNAROUTE:backup] hello")), b"content-encoding: zstd\r\n")
    assert second.requests[0].json["messages"][0]["content"] == "hello"
    assert second.requests[0].header("content-encoding") is None


def test_a_marker_that_nobody_typed_is_left_alone(routed, first, second):
    body = json.dumps({
        "model": "claude-sonnet-4-5", "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "<system-reminder>[LUNAROUTE:backup]</system-reminder>read the file"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "[LUNAROUTE:backup]"}]},
        ],
    }).encode()  # fmt: skip
    post(routed(MARKERS), body)
    assert first.requests[0].body == body
    assert not second.requests


def test_the_model_is_told_once_who_took_over(routed, first, second):
    server = routed(MARKERS)
    session = b"session_id: %b\r\n" % ID.encode()
    post(server, says("hello"), session)
    post(server, says("hello", "[LUNAROUTE:backup] and now?"), session)
    post(server, says("hello", "[LUNAROUTE:backup] and now?", "go on"), session)
    told, untold = [request.json["messages"] for request in second.requests]
    assert told[0]["role"] == "user"
    assert told[0]["content"].startswith("From anthropic to backup: ")
    assert told[0]["content"].endswith("(claude-sonnet-4-5)")
    assert untold[0]["content"] == "hello"


def test_the_login_of_codex_is_used(routed, first, tmp_path):
    login = tmp_path / "auth.json"
    login.write_text(json.dumps({"tokens": {"access_token": "a-token", "account_id": "an-account"}}))
    config = f'providers: {{openai: {{base_url: "FIRST/v1", codex_auth: {{enabled: true, auth_file: "{login}"}}}}}}'
    server = routed(config)
    body = b'{"model": "gpt-5", "input": "hi"}'
    headers = b"authorization: Bearer of-the-client\r\n"
    assert post(server, body, headers, b"/v1/responses").status == 200
    assert first.requests[0].headers_named("authorization") == [b"Bearer a-token"]
    assert first.requests[0].header("chatgpt-account-id") == "an-account"
    login.write_text(json.dumps({"tokens": {"access_token": "another-token"}}))

    def is_new() -> bool:
        post(server, body, headers, b"/v1/responses")
        return first.requests[-1].headers_named("authorization") == [b"Bearer another-token"]

    eventually(is_new, "the new token")
    login.unlink()

    def is_missed() -> bool:
        answer = post(server, body, headers, b"/v1/responses")
        if answer.status == 502:
            assert_error(answer, "openai", 502, "login of Codex", "auth.json")
        return answer.status == 502

    eventually(is_missed, "the login is missed")
    assert "token" not in server.output().replace("auth", "")


def test_a_compressed_body_is_read_for_its_rules(routed, first, second):
    import zstandard

    config = MARKERS + '\nrouting: {rules: [{name: r, model_pattern: "^claude-", primary: backup}]}\n'
    server = routed(config)
    packed = zstandard.compress(BODY)
    post(server, packed, b"content-encoding: zstd\r\n")
    assert second.requests[0].body == packed


def test_what_another_vendor_thought_does_not_reach_the_clients_own(routed, first, second):
    config = """
providers:
  anthropic: {base_url: "FIRST"}
  other: {provider_type: openai, base_url: "SECOND/v1", api_key: k, openai_api: responses, model: gpt-5}
"""
    server = routed(config)
    client = SPEAKERS["anthropic"](server.url)
    mode = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    said = client.say('[LUNAROUTE:other] use the tool weather with {"city": "Rome"}', tools=True, **mode)
    assert said.thinking
    client.result({said.calls[0][0]: "sunny"})
    assert "encrypted-" in json.dumps(second.requests[-1].json)  # its own comes back to it
    client.say("[LUNAROUTE:clear] and now?", **mode)
    (request,) = first.requests
    assert b"LUNAROUTE:" not in request.body
    kinds = [
        block["type"]
        for message in request.json["messages"]
        if message["role"] == "assistant"
        for block in message["content"]
    ]
    assert kinds == ["text", "tool_use", "text"]

"""Commands that people copy from the pages, run by a shell."""

import html
import os
import re
import subprocess

import pytest

from sessions.browser.commands import MAX_INLINE, resume_command
from sessions.models import Session
from tests.support.databases import sqlite_only
from tests.support.raw import RawClient
from tests.support.server import eventually
from tests.support.tools import client, node_path

BODIES = [
    b'{"model": "it\'s $HOME `id` \\\\ \\"!x", "messages": []}',
    b"@/etc/passwd",
    b'{"model": "m", "padding": "%b"}\n' % (b"x" * MAX_INLINE),
    b"\xff\x00 no text\n",
    b"",
]


def curl_of(server, session: str) -> str:
    """The command on the page of the session's only exchange."""
    (exchange,) = server.json(f"/sessions/{session}/exchanges")
    _, _, page = server.get(f"/ui/sessions/{session}/exchanges/{exchange['request_id']}")
    return html.unescape(re.search(r'class="command"><pre><code>(.*?)</code>', page.decode(), re.DOTALL)[1])


@sqlite_only
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("target", "variable", "credential"),
    [
        (b"/v1/messages?beta=it's&n=[1-3]", "ANTHROPIC_API_KEY", ("x-api-key", "sk-mine")),
        (b"/v1/chat/completions", "OPENAI_API_KEY", ("authorization", "Bearer sk-mine")),
    ],
)
def test_the_copied_curl_command_sends_the_same_request(start, upstream, body, target, variable, credential):
    server = start()
    secret = "sk-" + "x" * 20
    with RawClient(server.port) as raw:
        headers = b"session_id: one\r\nx-custom: it's \"$HOME\"\r\nx-other-token: %b\r\nx-api-key: %b\r\n" % (
            secret.encode(), secret.encode(),
        )  # fmt: skip
        raw.request(target=target, body=body, headers=headers + b"content-type: application/json\r\n")
    eventually(lambda: server.rows("select 1 from exchanges where success is not null"), "the record")
    command = curl_of(server, "one")
    assert secret not in command
    environ = {"PATH": os.environ["PATH"], variable: "sk-mine", "HOME": "/nowhere"}
    subprocess.run(["bash", "-c", command], env=environ, check=True, capture_output=True, timeout=30)
    first, again = upstream.requests
    assert (again.body, again.target) == (first.body, first.target)
    sent = {name.lower().decode(): value.decode() for name, value in again.headers}
    assert sent["x-custom"] == 'it\'s "$HOME"'
    assert sent["content-type"] == "application/json"
    assert sent[credential[0]] == credential[1]
    assert "x-other-token" not in sent


def test_a_session_of_a_known_client_is_resumed_by_its_client():
    commands = {
        name: resume_command(Session(client=name, session_id="5f1c"))
        for name in ("claude-code", "codex", "opencode", "other")
    }
    assert commands == {
        "claude-code": "claude --resume 5f1c", "codex": "codex resume 5f1c", "opencode": "opencode -s 5f1c", "other": "",
    }  # fmt: skip
    assert resume_command(Session(client="claude-code", session_id="--dangerous")) == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["claude", "--help"], "--resume [value]"),
        (["codex", "resume", "--help"], "[SESSION_ID]"),
        (["opencode", "--help"], "-s, --session"),
    ],
)
def test_the_clients_know_these_commands(tmp_path, arguments, words):
    environ = {"PATH": f"{node_path()}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [client(arguments[0]), *arguments[1:]], env=environ, capture_output=True, text=True, timeout=90, cwd=tmp_path
    )
    assert words in done.stdout + done.stderr

"""The real Claude Code, Codex CLI and OpenCode do a task with a tool through LunaRoute."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.site.test_docs import blocks
from tests.support.server import RunningServer, eventually
from tests.support.tools import client, node_path

NOTES = "remember the milk"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "notes.txt").write_text(NOTES + "\n")
    return directory


def run(name: str, *arguments: str, project: Path, **environ: str) -> str:
    """Run a client in `project` with an empty home; gives what it printed."""
    home = project.parent / "client-home"
    home.mkdir(exist_ok=True)
    kept = {
        "PATH": f"{node_path()}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "TERM": "dumb",
    }
    done = subprocess.run(
        [client(name), *arguments], cwd=project, env={**kept, **environ}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def the_session(server: RunningServer, name: str) -> dict:
    """The one session of a client in which a tool was used."""
    (session,) = [s for s in server.json(f"/sessions?client={name}") if s["tools"]]
    return session


def check(server: RunningServer, name: str, tool: str) -> dict:
    """The session has its tool call with the file's content, tokens and a cost."""
    # The request that carries the tool's result is the last one to wait for: how many came before it is the client's
    # own affair (Codex opens a WebSocket with a request that generates nothing).
    eventually(
        lambda: server.rows("select 1 from tool_calls where result_exchange_id is not null"), "the tool's result"
    )
    eventually(lambda: not server.rows("select 1 from exchanges where success is null"), "no exchange under way")
    session = the_session(server, name)
    assert session["success"], session
    assert session["cost_usd"] > 0
    assert [t["name"] for t in session["tools"]] == [tool]
    (call,) = server.json(f"/sessions/{session['session_id']}/tools")
    assert NOTES in call["result"]
    assert call["execution_time_ms"] > 0
    exchanges = server.json(f"/sessions/{session['session_id']}/exchanges")
    assert session["total_tokens"] == sum(e["tokens"]["total"] for e in exchanges)
    assert "notes.txt" in session["title"]
    return session


def test_claude_code(start, project):
    server = start()
    prompt = f'use the tool Read with {{"file_path": "{project}/notes.txt"}}'
    output = run(
        "claude", "-p", prompt, "--model", "claude-sonnet-4-5", "--output-format", "json", project=project,
        ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="sk-ant-test", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )  # fmt: skip
    told = json.loads(output)
    session = check(server, "claude-code", "Read")
    assert session["session_id"] == told["session_id"]
    assert session["cost_usd"] == pytest.approx(told["total_cost_usd"])
    usage = told["usage"]
    assert (session["input_tokens"], session["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    assert session["cache_read_tokens"] == usage["cache_read_input_tokens"]


def test_redaction(start, project):
    """Client and provider see what they always see; on record is none of it, and nothing else is changed."""
    (project / "notes.txt").write_text(f"{NOTES}, and write to jane.roe@corp-mail.org\n")
    config = project.parent / "pii.yaml"
    config.write_text("session_recording: {pii: {enabled: true, redaction_mode: tokenize, hmac_secret: of a test}}")
    server = start("--config", str(config))
    output = run(
        "claude", "-p", f'use the tool Read with {{"file_path": "{project}/notes.txt"}}', "--model", "claude-sonnet-4-5",
        "--output-format", "json", project=project, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="sk-ant-test",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )  # fmt: skip
    session = check(server, "claude-code", "Read")
    assert session["session_id"] == json.loads(output)["session_id"]
    (call,) = server.json(f"/sessions/{session['session_id']}/tools")
    assert re.search(r"write to \[EMAIL:[0-9a-f]{8}\]", call["result"])
    found: dict[str, int] = {}
    for (redactions,) in server.rows("select redactions from exchanges"):
        for kind, count in json.loads(redactions).items():
            found[kind] = found.get(kind, 0) + count
    # The client's own prompt names an address; in all its instructions and tools nothing else looks like a value.
    assert found.keys() == {"EMAIL"}
    assert "jane.roe" not in json.dumps(server.lines())


def write_codex_settings(project: Path, url: str, websockets: bool) -> None:
    """Configure Codex as the documentation says."""
    settings = project.parent / "client-home" / ".codex"
    settings.mkdir(parents=True)
    (documented,) = blocks("docs/clients.md", "toml")
    documented = documented.replace("http://localhost:8081", url)
    if not websockets:
        documented = documented.replace("supports_websockets = true\n", "")
    (settings / "config.toml").write_text('model = "gpt-5"\n' + documented)


@pytest.mark.parametrize("websockets", [False, True], ids=["http", "websocket"])
def test_codex(start, project, websockets):
    server = start()
    write_codex_settings(project, server.url, websockets)
    output = run(
        "codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--json",
        'use the tool exec_command with {"cmd": "cat notes.txt"}', project=project, OPENAI_API_KEY="sk-test",
    )  # fmt: skip
    session = check(server, "codex", "exec_command")
    assert session["session_id"] == re.search(r'"thread_id":"([^"]+)"', output).group(1)
    transports = {row[0] for row in server.rows("select transport from exchanges where kind = 'model'")}
    assert transports == ({"ws"} if websockets else {"http"})


def test_claude_code_on_a_server_that_speaks_openai(start, project, upstream):
    config = project.parent / "local.yaml"
    config.write_text(
        f'providers: {{local: {{provider_type: openai, base_url: "{upstream.url}/v1", model: a-local-model}}}}'
    )
    server = start("--config", str(config))
    output = run(
        "claude", "-p", f'use the tool Read with {{"file_path": "{project}/notes.txt"}}', "--model", "claude-sonnet-4-5",
        "--output-format", "json", project=project, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="sk-ant-test",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )  # fmt: skip
    told = json.loads(output)
    assert not told["is_error"]
    assert told["result"] == "Done."
    eventually(lambda: server.rows("select 1 from tool_calls where result_exchange_id is not null"), "the result")
    (call,) = server.json(f"/sessions/{told['session_id']}/tools")
    assert (call["name"], NOTES in call["result"]) == ("Read", True)
    asked = {(r.target.decode().split("?")[0], r.json.get("model")) for r in upstream.requests if r.body}
    assert asked == {("/v1/chat/completions", "a-local-model")}


@pytest.mark.parametrize("websockets", [False, True], ids=["http", "websocket"])
def test_codex_on_anthropic(start, project, upstream, websockets):
    config = project.parent / "anthropic.yaml"
    config.write_text(
        f'providers: {{anthropic: {{base_url: "{upstream.url}", api_key: sk-ant-of-the-server, model: claude-sonnet-4-5}}}}'
    )
    server = start("--config", str(config))
    write_codex_settings(project, server.url, websockets)
    output = run(
        "codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--json",
        'use the tool exec_command with {"cmd": "cat notes.txt"}', project=project, OPENAI_API_KEY="sk-test",
    )  # fmt: skip
    assert '"text":"Done."' in output
    session = check(server, "codex", "exec_command")
    assert session["session_id"] == re.search(r'"thread_id":"([^"]+)"', output).group(1)
    assert {r.target for r in upstream.requests if r.method == "POST"} == {b"/v1/messages"}
    assert session["model_used"] == "claude-sonnet-4-5"


def test_opencode(start, project):
    server = start()
    (documented,) = blocks("docs/clients.md", "json")
    settings = json.loads(documented.replace("http://localhost:8081", server.url))
    settings |= {
        "autoupdate": False,
        "share": "disabled",
        "model": "anthropic/claude-sonnet-4-5",
        "small_model": "anthropic/claude-haiku-4-5",
    }
    (project / "opencode.json").write_text(json.dumps(settings))
    run(
        "opencode", "run", f'use the tool read with {{"filePath":"{project}/notes.txt"}}', project=project,
        ANTHROPIC_API_KEY="sk-ant-test", OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_AUTOUPDATE="1",
    )  # fmt: skip
    session = check(server, "opencode", "read")
    assert session["session_id"].startswith("ses_")

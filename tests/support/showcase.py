"""The screenshots of the documentation: `python -m tests.support.showcase` records a scripted session and takes them.

The conversation is made up, the record and the pages are real.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

from tests.support.server import ROOT, RunningServer, start_server
from tests.support.tools import chromium
from tests.support.upstream import FakeUpstream

IMAGES = ROOT / "docs" / "images"
SESSION = "3f0c6a52-7d4e-4b8a-9a55-0d6a7c1e2b90"
REDACTED = "2d9f"
LETTER = """The order of jane.roe@example.com fails: her card 4111 1111 1111 1111 is refused by 203.0.113.7, and
john.doe@example.com, SSN 123-45-6789, says the same. jane.roe@example.com has tried twice. [NOTE] Both are test accounts."""
CONFIG = """
session_recording: {pii: {enabled: true, redaction_mode: tokenize, hmac_secret: "only for pictures"}}
providers:
  anthropic: {}
  backup: {provider_type: anthropic, base_url: "https://gateway.example.com", api_key: "only-for-pictures"}
  local: {provider_type: openai, base_url: "http://localhost:11434/v1", model: "qwen3-coder", openai_api: chat}
routing:
  rules:
    - {name: opus-with-fallback, model_pattern: "^claude-opus-", primary: anthropic, fallbacks: [backup]}
    - {name: small-ones-at-home, model_pattern: "-mini$", strategy: weighted_round_robin, weights: {local: 4, backup: 1}}
"""
SYSTEM = "You are a coding assistant. " * 60
TOOLS = [{"name": name, "description": f"{name} does what its name says.", "input_schema": {"type": "object"}}
         for name in ("Bash", "Edit", "Grep", "Read", "Task", "Write")]  # fmt: skip
FILE = """     1→from datetime import datetime, timedelta
     2→
     3→
     4→def is_expired(token, now=None):
     5→    \"\"\"Whether a token is of no use any more.\"\"\"
     6→    now = now or datetime.utcnow()
     7→    return token.issued_at + timedelta(minutes=token.ttl) < now
"""
TRACE = """FAILED tests/test_tokens.py::test_expiry - TypeError: can't compare offset-naive and offset-aware datetimes
1 failed, 41 passed in 2.31s"""
ANSWER = """The tokens are stored with a time zone, but `datetime.utcnow()` has none, so Python refuses to compare them.

| where | before | now |
| --- | --- | --- |
| `tokens.py` | naive | aware |
| database | aware | aware |

The fix is one line:

```python
now = now or datetime.now(UTC)
```

All **42 tests** pass."""


def call(name: str, number: int, **arguments: str) -> dict:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


def say(text: str) -> dict:
    return {"type": "text", "text": text}


# What the model answers in turn, and what the client then sends.
STEPS: list[tuple[list[dict], str]] = [
    ([{"type": "thinking", "thinking": "A failing comparison of datetimes: one of them has no zone. I should see the test first.", "signature": "c2ln"},
      say("I'll run the tests to see what fails."), call("Bash", 1, command="pytest -q tests/test_tokens.py")], TRACE),
    ([say("The comparison mixes two kinds of times. Let me read the code."), call("Read", 2, file_path="/work/shop/tokens.py")], FILE),
    ([say("`utcnow()` has no zone. I'll use an aware time."),
      call("Edit", 3, file_path="/work/shop/tokens.py", old_string="    now = now or datetime.utcnow()", new_string="    now = now or datetime.now(UTC)")],
     "The file has been updated."),
    ([call("Bash", 4, command="pytest -q")], "42 passed in 2.40s"),
    ([say(ANSWER)], ""),
]  # fmt: skip


async def scripted(exchange) -> None:
    """The provider: the next step of the conversation, with a cache that one turn breaks."""
    await exchange.read_body()
    body = exchange.request.json
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    agent = body["system"] != SYSTEM
    content = [say("Three callers use `is_expired`; none passes `now`.")] if agent else STEPS[turn % len(STEPS)][0]
    prompt = 14_000 + 2_600 * len(body["messages"])
    read = 0 if turn in (0, 7) or agent else prompt - 2_400
    usage = {
        "input_tokens": 12, "cache_read_input_tokens": read, "cache_creation_input_tokens": prompt - read, "output_tokens": 310,
    }  # fmt: skip
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    number = len(exchange.upstream.requests)
    await exchange.json(
        {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": content,
         "stop_reason": stop, "usage": usage}
    )  # fmt: skip


def converse(server: RunningServer, session: str, question: str, project: str, rounds: int, model: str) -> None:
    """Have the scripted conversation, `rounds` times over."""
    headers = {
        "x-claude-code-session-id": session,
        "user-agent": "claude-cli/2.1 (external, cli)",
        "x-project-id": project,
    }
    messages: list[dict] = []
    with httpx.Client(base_url=server.url, trust_env=False, headers=headers, timeout=30) as client:

        def ask(**more: object) -> list[dict]:
            body = {"model": model, "max_tokens": 8192, "system": SYSTEM, "tools": TOOLS, "messages": messages, **more}
            return client.post("/v1/messages", json=body).json()["content"]

        for number in range(rounds):
            messages.append(
                {"role": "user", "content": question if not number else f"And the same in module {number}, please."}
            )
            for step, (_, result) in enumerate(STEPS):
                answer = ask()
                messages.append({"role": "assistant", "content": answer})
                if not result:
                    break
                used = next(block for block in answer if block["type"] == "tool_use")
                messages.append(
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used["id"], "content": result}]}
                )
                if step == 1 and number == 1:
                    ask(
                        system="You are a sub-agent that searches code.",
                        messages=[{"role": "user", "content": "Find who calls is_expired."}],
                    )


@contextmanager
def showcase() -> Iterator[RunningServer]:
    """A server with a record worth looking at."""
    upstream = FakeUpstream().start()
    upstream.script(scripted)
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "config.yaml"
        config.write_text(CONFIG)
        server = start_server(Path(home), upstream.url, "--config", str(config))
        try:
            converse(server, "0b7f", "Why is the build slower since last week?", "shop", 1, "claude-haiku-4-5")
            converse(server, "1c8e", "Write a migration for the new invoices table", "billing", 2, "claude-sonnet-4-5")
            converse(server, REDACTED, LETTER, "shop", 1, "claude-sonnet-4-5")
            converse(
                server,
                SESSION,
                "test_expiry fails since we moved to Python 3.12: TypeError in tokens.py. Please find out why.",
                "shop",
                3,
                "claude-sonnet-4-5",
            )
            server.wait_recorded(37)
            yield server
        finally:
            server.stop()
            upstream.stop()


def take(server: RunningServer) -> None:
    """Take the pictures."""
    (first, second) = (row["request_id"] for row in server.json(f"/sessions/{SESSION}/exchanges")[2:4])
    pages = {
        "dashboard": "/ui/",
        "search": "/ui/sessions?text_search=utcnow+zone",
        "session": f"/ui/sessions/{SESSION}",
        "redacted": f"/ui/sessions/{REDACTED}",
        "edit": f"/ui/sessions/{SESSION}?turn=3#e3",
        "diff": f"/ui/sessions/{SESSION}/diff?a={first}&b={second}",
        "raw": f"/ui/sessions/{SESSION}/exchanges/{first}",
        "analytics": "/ui/analytics",
        "routing": "/ui/routing?model=claude-opus-5&path=/v1/messages",
        "settings": "/ui/settings",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        for width, scheme in ((1600, "light"), (400, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": 1000}, color_scheme=scheme, base_url=server.url
            )
            page = context.new_page()
            for name, path in pages.items():
                page.goto(path)
                page.wait_for_timeout(800)
                where = IMAGES / (f"{name}.png" if width == 1600 else f"{name}-narrow.png")
                page.screenshot(path=where, full_page=name == "routing")
        browser.close()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with showcase() as running:
        take(running)
    print(json.dumps(sorted(path.name for path in IMAGES.glob("*.png"))))

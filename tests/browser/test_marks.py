"""What redaction left, in a real Chromium: marks, their search, figures, and the word on raw bodies."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.test_pages import assert_accessible, assert_fits
from tests.support.server import start_server

EMAIL, OTHER, SSN = "john.doe@corp-mail.org", "anna@corp-mail.org", "123-45-6789"
TOKEN = re.compile(r"^\[EMAIL:[0-9a-f]{8}\]$")
QUESTION = f"Write to {EMAIL}, SSN {SSN} <b>[NOTE]</b>"
ANSWER = (
    f"See **{EMAIL}**, [mail](https://x.example/{EMAIL}), `{SSN}`:\n\n```python\nmail('{EMAIL}')\n```\n\n[NOTE] stays"
)


async def scripted(exchange) -> None:
    await exchange.read_body()
    body = exchange.request.json
    content = [
        {"type": "text", "text": ANSWER},
        {"type": "tool_use", "id": "t1", "name": "Mail", "input": {"to": EMAIL, "text": "x"}},
        {"type": "tool_use", "id": "t2", "name": "Edit", "input": {"file_path": "/a", "old_string": f"to = '{OTHER}' <i>", "new_string": f"to = '{EMAIL}' <i>"}},
    ]  # fmt: skip
    answer = {"id": "m", "type": "message", "role": "assistant", "model": body["model"], "content": content}
    await exchange.json({**answer, "usage": {"input_tokens": 3, "output_tokens": 5}, "stop_reason": "tool_use"})


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    provider.reset()
    provider.script(scripted)
    home = tmp_path_factory.mktemp("marks")
    path = home / "c.yaml"
    path.write_text("session_recording: {pii: {enabled: true, redaction_mode: tokenize, hmac_secret: x}}")
    server = start_server(home, provider.url, "--config", str(path))
    tools = [{"type": "tool_result", "tool_use_id": "t1", "content": f"sent to {EMAIL}"}]
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for session, said in (("marks", QUESTION), ("other", f"Who is {EMAIL}?"), ("none", "nothing here")):
            messages = [{"role": "user", "content": said}]
            headers = {"session_id": session, "x-project-id": "shop"}
            content = client.post("/v1/messages", json={"model": "m", "messages": messages}, headers=headers).json()[
                "content"
            ]
            if session == "marks":
                messages += [{"role": "assistant", "content": content}, {"role": "user", "content": tools}]
                client.post("/v1/messages", json={"model": "m", "messages": messages}, headers=headers)
    server.wait_recorded(4)
    yield server
    assert server.stop() == 0
    provider.reset()


def test_a_session_shows_marks_in_all_its_texts(page):
    page.goto("/ui/sessions/marks")
    expect(page.locator("h1 a.pii").first).to_have_text(TOKEN)
    asked = page.locator("#e1 .said.user")
    expect(asked).to_contain_text("<b>[NOTE]</b>")
    expect(asked.locator(".pii")).to_have_count(2)
    expect(asked.locator(".pii").first).to_have_attribute("title", re.compile(r"^EMAIL, redacted; token [0-9a-f]{8}$"))
    answer = page.locator("#e1 .said.assistant .md")
    expect(answer.locator("strong a.pii")).to_have_text(TOKEN)
    expect(answer.locator("code > a.pii").first).to_have_text(re.compile(r"^\[SSN:"))
    expect(answer.locator("pre a.pii")).to_have_text(TOKEN)
    expect(answer).to_contain_text("[NOTE] stays")
    call = page.locator("#e1 details.call").first
    expect(call.locator("summary .pii")).to_have_count(0)
    call.locator("summary").click()
    expect(call.locator(".inside a.pii")).to_have_count(2)  # argument, result
    expect(page.locator("#e1 .diff .added a.pii")).to_have_text(TOKEN)
    expect(page.locator("#e1 .diff .removed a.pii b")).to_have_text(re.compile(r"^[0-9a-f]{1,8}$"))
    expect(page.locator("#e1 .diff .added")).to_contain_text("' <i>")
    expect(page.locator(".pii", has_text="NOTE")).to_have_count(0)
    expect(page.locator("#figures")).to_contain_text("Redacted")
    expect(page.locator("#figures .types")).to_contain_text(re.compile(r"^\d+ EMAIL, \d+ SSN$"))
    expect(page.locator("#e1 .facts")).to_contain_text("redacted")
    assert EMAIL not in page.content()
    assert page.locator("a a").count() == 0
    assert_fits(page)
    assert_accessible(page)


def test_a_click_on_a_token_finds_all_sessions_with_it(page):
    page.goto("/ui/sessions/other")
    page.locator("#e1 .said.user a.pii").click()
    expect(page).to_have_url(re.compile(r"/ui/sessions\?text_search=EMAIL%3A[0-9a-f]{8}$"))
    expect(page.locator(".sessions li")).to_have_count(3)  # the answer says it in each
    expect(page.locator(".title .pii").first).to_have_text(TOKEN)
    expect(page.locator(".snippet .pii mark").first).to_have_text(re.compile("^EMAIL:[0-9a-f]{8}$"))
    assert page.locator("a a").count() == 0
    assert_fits(page)
    assert_accessible(page)
    page.locator(".snippet").first.click()
    expect(page.locator(".timeline .pii").first).to_be_visible()


def test_raw_bodies_are_marked_and_said_to_be_redacted(page, site):
    first, second = site.json("/sessions/marks/exchanges")
    page.goto(f"/ui/sessions/marks/exchanges/{first['request_id']}")
    expect(page.locator(".redacted")).to_contain_text(re.compile(r"Redacted before it was stored: \d+ EMAIL, \d+ SSN"))
    expect(page.locator(".text.code .pii").first).to_be_visible()
    expect(page.get_by_role("link", name="The body, as it is stored")).to_have_count(2)
    assert_fits(page)
    assert_accessible(page)
    for row in (first, second):
        status, headers, body = site.get(f"/sessions/marks/exchanges/{row['request_id']}/raw")
        assert status == 200
        assert EMAIL.encode() not in body
        assert re.fullmatch(r"EMAIL=\d+, SSN=\d+|EMAIL=\d+", headers["X-Lunaroute-Redacted"]), headers
        json.loads(body)


def test_analytics_tell_values_by_type(page, site):
    page.goto("/ui/analytics")
    row = page.locator("section", has=page.get_by_role("heading", name="Redacted values")).locator("tbody tr").first
    expect(row).to_contain_text("EMAIL")
    (most, *_) = site.json("/api/stats/redactions?days=1")
    counted = sum(
        e["redactions"].get("EMAIL", 0)
        for s in ("marks", "other", "none")
        for e in site.json(f"/sessions/{s}/exchanges")
    )
    assert (most["type"], most["values"]) == ("EMAIL", counted)
    assert_fits(page)
    assert_accessible(page)

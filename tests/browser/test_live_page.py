"""A session's page in a real Chromium while the session goes on."""

import json

import pytest
from playwright.sync_api import expect

from tests.sessions.test_live import Talk, ask, wait_session
from tests.support.raw import RawClient
from tests.support.server import eventually


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: page.problems.append(m.text) if "Content Security Policy" in m.text else None)
    yield page
    page.close()
    assert not page.problems


def opened(page, server, session: str):
    page.goto(f"{server.url}/ui/sessions/{session}")
    expect(page.locator(".live-status")).to_have_text("Live")


def test_text_comes_as_text_and_the_ended_turn_replaces_it(page, server, upstream):
    ask(server, "page", "before")
    wait_session(server, "page")
    opened(page, server, "page")
    expect(page.locator("article.turn")).to_have_count(1)
    page.evaluate("window.changes = 0; document.addEventListener('lunaroute:changed', () => window.changes++)")
    talk = Talk(server, upstream, "page", "what is new")
    expect(page.locator("#e2")).to_contain_text("what is new")
    talk.go("first")
    expect(page.locator("#e2 .live-text")).to_contain_text("one <b>bold</b>")
    talk.go("second")
    expect(page.locator("#e2 .live-text .text")).to_have_text("one <b>bold</b> two ")
    assert page.locator("#e2 b").count() == 0
    talk.finish()
    expect(page.locator("#e2")).to_contain_text("one <b>bold</b> two three")
    expect(page.locator("#e2 .live-text")).to_have_count(0)
    expect(page.locator("#figures")).to_contain_text("Requests2")
    assert page.evaluate("window.changes") >= 2
    live = page.locator(".timeline article .said").all_inner_texts()
    page.reload()
    assert page.locator(".timeline article .said").all_inner_texts() == live


def test_what_is_open_stays_open_and_the_readers_place_is_kept(page, server):
    tool = {"name": "Read", "input_schema": {"type": "object"}}
    question = {"role": "user", "content": 'use the tool Read with {"file_path": "/a"}\n' + "line\n" * 80}
    with RawClient(server.port) as client:
        body = {"model": "m", "tools": [tool], "messages": [question]}
        answer = json.loads(client.request(body=json.dumps(body).encode(), headers=b"session_id: place\r\n").body)
        wait_session(server, "place")
        opened(page, server, "place")
        page.locator("#e1 details.call summary").click()
        page.evaluate("scrollTo(0, 60)")
        result = {"type": "tool_result", "tool_use_id": answer["content"][-1]["id"], "content": "the content"}
        messages = [
            question,
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [result]},
        ]
        client.request(body=json.dumps({**body, "messages": messages}).encode(), headers=b"session_id: place\r\n")
    expect(page.locator("#e1 details.call[open]")).to_contain_text("the content")
    expect(page.locator("#e2")).to_contain_text("Done.")
    assert page.evaluate("scrollY") == 60
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    ask(server, "place", "more\n" * 100)
    expect(page.locator("#e3")).to_contain_text("You said")
    at_end = "innerHeight + scrollY >= document.scrollingElement.scrollHeight - 2"
    eventually(lambda: page.evaluate(at_end), "the end of the page")


def test_a_lost_line_is_said_and_found_again(page, start):
    server = start()
    ask(server, "lost", "one")
    wait_session(server, "lost")
    opened(page, server, "lost")
    page.evaluate("window.mark = 1")
    server.children()["web"].kill()
    expect(page.locator(".live-status")).to_have_text("Reconnecting…")
    expect(page.locator(".live-status")).to_have_text("Live", timeout=20_000)
    ask(server, "lost", "two")
    expect(page.locator("#e2")).to_contain_text("two")
    expect(page.locator("article.turn")).to_have_count(2)
    assert page.evaluate("window.mark") == 1

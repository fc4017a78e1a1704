"""The pages in a real Chromium, on a real server, at both widths, light and dark."""

import json

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.sessions.test_recording import SESSION, converse
from tests.support.server import eventually, start_server
from tests.support.tools import chromium

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    provider.reset()
    server = start_server(tmp_path_factory.mktemp("site"), provider.url)
    converse(server)
    hostile = {
        "model": "m",
        "messages": [{"role": "user", "content": "<script>document.title='owned'</script><b>bold</b>"}],
    }
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        client.post("/v1/messages", json=hostile, headers={"session_id": "hostile"})
        client.post("/v1/messages", content=b"broken", headers={"session_id": "broken"})
    server.wait_recorded(8)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield found
        found.close()


@pytest.fixture(params=[(400, "light"), (400, "dark"), (1600, "light"), (1600, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def page(request, browser, site):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=site.url)
    page = context.new_page()
    page.problems = []
    page.on(
        "console", lambda message: page.problems.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((site.url, "data:")) else page.problems.append(asked.url)
    )
    yield page
    assert not page.problems
    context.close()


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]


def test_the_list_shows_sessions_and_opens_one(page):
    page.goto("/")
    expect(page).to_have_url("/ui/")
    expect(page.locator(".sessions li")).to_have_count(3)
    assert_fits(page)
    page.get_by_role("link", name="turn 0").click()
    expect(page).to_have_url(f"/ui/sessions/{SESSION}")
    expect(page.locator(".turn")).to_have_count(6)
    expect(page.locator("h1")).to_contain_text("turn 0")
    assert_fits(page)


def test_a_session_shows_words_calls_and_figures(page):
    page.goto(f"/ui/sessions/{SESSION}")
    first = page.locator("#e1")
    expect(first.locator(".said.user")).to_contain_text("turn 0: use the tool Read")
    expect(first.locator(".said.assistant")).to_contain_text("I will use a tool.")
    call = first.locator("details.call")
    call.locator("summary").click()
    expect(call).to_contain_text("file_path: /f0")
    expect(call).to_contain_text("line\nline")
    expect(page.locator("#e2 .said.user")).to_have_count(0)  # its result stands at the call
    expect(page.locator(".tiles")).to_contain_text("$0.009")
    assert_fits(page)


def test_recorded_text_is_text(page):
    page.goto("/ui/sessions/hostile")
    expect(page.locator("#e1 .said.user")).to_contain_text("<script>document.title='owned'</script><b>bold</b>")
    assert "owned" not in page.title().split(" · ")[1]
    assert page.locator("b", has_text="bold").count() == 0


def test_a_failure_says_why(page):
    page.goto("/ui/?success=false")
    expect(page.locator(".sessions li")).to_have_count(1)
    page.locator(".row").click()
    expect(page.locator(".turn .problem")).to_contain_text("the body is no JSON")
    assert_fits(page)


def test_the_keyboard_is_enough(page):
    page.goto("/ui/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("li.selected")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).not_to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("turn")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/ui/?text_search=turn&sort=-started")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"/ui/sessions/{SESSION}")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.locator("#e1 details.call")).to_have_attribute("open", "")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url("/ui/")


def test_nothing_found_says_what_to_do(page):
    page.goto("/ui/?text_search=zzz")
    expect(page.locator(".empty")).to_contain_text("Nothing matches")
    assert_fits(page)


def test_the_api_page_works(page):
    page.goto("/api/docs")
    expect(page.get_by_text("List sessions")).to_be_visible()


def test_an_empty_record_says_how_to_fill_it(browser, tmp_path, provider):
    server = start_server(tmp_path, provider.url)
    try:
        page = browser.new_page()
        page.goto(f"{server.url}/ui/")
        expect(page.locator(".empty")).to_contain_text(f"export ANTHROPIC_BASE_URL={server.url}")
        page.close()
    finally:
        server.stop()


def test_the_browser_can_be_switched_off(start):
    server = start(LUNAROUTE_UI_ENABLED="false")
    status, _, body = server.get("/ui/")
    assert status == 404
    assert b"LUNAROUTE_UI_ENABLED" in body


def test_a_session_of_a_thousand_exchanges_opens_page_by_page(site, page):
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        if not site.rows("select 1 from sessions where session_id = 'long'"):
            for number in range(250):
                message = {"role": "user", "content": f"question {number}"}
                client.post(
                    "/v1/messages",
                    content=json.dumps({"model": "m", "messages": [message]}),
                    headers={"session_id": "long"},
                )
        eventually(
            lambda: site.rows("select requests from sessions where session_id = 'long'") == [(250,)], "the record"
        )
    page.goto("/ui/sessions/long")
    expect(page.locator(".turn")).to_have_count(100)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#e101")).to_contain_text("question 100")

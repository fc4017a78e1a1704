"""The pages in a real Chromium, on a real server, at both widths, light and dark."""

import json

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.sessions.test_recording import SESSION, converse
from tests.support.server import eventually, start_server


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
        codex = {"session_id": "resumed", "user-agent": "codex/1"}
        client.post("/v1/messages", json={"model": "m", "messages": []}, headers=codex)
    server.wait_recorded(9)
    yield server
    assert server.stop() == 0


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]


def test_the_list_shows_sessions_and_opens_one(page):
    page.goto("/sessions")
    expect(page).to_have_url("/ui/sessions")
    expect(page.locator(".sessions li")).to_have_count(4)
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
    expect(page.locator("#figures")).to_contain_text("$0.009")
    assert_fits(page)


def test_recorded_text_is_text(page):
    page.goto("/ui/sessions/hostile")
    expect(page.locator("#e1 .said.user")).to_contain_text("<script>document.title='owned'</script><b>bold</b>")
    assert "owned" not in page.title().split(" · ")[1]
    assert page.locator("b", has_text="bold").count() == 0


def test_commands_are_copied(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page.goto(f"/ui/sessions/{SESSION}")
    assert page.locator("[data-copy]").count() == 0  # nobody knows how this client resumes
    page.goto("/ui/sessions/resumed")
    page.get_by_role("button", name="Copy the command that resumes").click()
    expect(page.locator("[data-copy]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "codex resume resumed"
    assert_fits(page)
    page.locator("[data-raw]").click()
    page.get_by_text("As a curl command").click()
    page.get_by_role("button", name="Copy as cURL").click()
    expect(page.locator("[data-copy]")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl ")
    assert copied == page.locator(".command code").text_content()
    assert_fits(page)


def test_a_star_is_given_by_key_and_taken_by_button(page):
    page.goto("/ui/sessions")
    page.keyboard.press("j")
    page.keyboard.press("s")
    star = page.locator("li.selected [data-star]")
    expect(star).to_have_attribute("aria-pressed", "true")
    page.locator("select[name=pinned]").select_option("Starred")
    expect(page).to_have_url("/ui/sessions?pinned=true")
    expect(page.locator(".sessions li")).to_have_count(1)
    assert_fits(page)
    page.locator(".row").click()
    star = page.locator("[data-star]")
    expect(star).to_have_attribute("aria-pressed", "true")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("s")
    expect(star).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("s")
    expect(star).to_have_attribute("aria-pressed", "false")
    assert_fits(page)
    page.goto("/ui/sessions?pinned=true")
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_a_failure_says_why(page):
    page.goto("/ui/sessions?success=false")
    expect(page.locator(".sessions li")).to_have_count(1)
    page.locator(".row").click()
    expect(page.locator(".turn .problem")).to_contain_text("the body is no JSON")
    assert_fits(page)


def test_the_keyboard_is_enough(page):
    page.goto("/ui/sessions")
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
    expect(page).to_have_url("/ui/sessions?text_search=turn")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"/ui/sessions/{SESSION}")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.locator("#e1 details.call")).to_have_attribute("open", "")
    page.keyboard.press("r")
    expect(page.locator("h1")).to_contain_text("POST /v1/messages")
    for key, place in (("s", "sessions"), ("a", "analytics"), ("e", "settings"), ("d", "")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page).to_have_url(f"/ui/{place}")


def test_nothing_found_says_what_to_do(page):
    page.goto("/ui/sessions?text_search=zzz")
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


@pytest.fixture(scope="module")
def long_session(site):
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        for number in range(120):
            message = {"role": "user", "content": f"question {number}"}
            content = json.dumps({"model": "m", "messages": [message]})
            client.post("/v1/messages", content=content, headers={"session_id": "long"})
    eventually(lambda: site.rows("select requests from sessions where session_id = 'long'") == [(120,)], "the record")
    return "/ui/sessions/long"


def test_a_long_session_comes_as_it_is_read(page, long_session):
    page.goto(long_session)
    expect(page.locator(".turn")).to_have_count(20)
    expect(page.locator(".outline a")).to_have_count(120)
    page.locator("[data-more]").scroll_into_view_if_needed()
    expect(page.locator("#e21")).to_contain_text("question 20")
    page.goto(f"{long_session}?turn=101#e101")
    expect(page.locator("#e101")).to_contain_text("question 100")
    expect(page.locator("#e100")).to_have_count(0)
    page.get_by_role("link", name="Show earlier exchanges").click()
    expect(page.locator("#e81")).to_contain_text("question 80")
    expect(page.locator("#e101")).to_be_attached()
    assert_fits(page)


def test_each_page_fits_and_nobody_is_shut_out(page):
    for path in ("/ui/", "/ui/sessions", f"/ui/sessions/{SESSION}", "/ui/analytics", "/ui/settings"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert_fits(page)
        assert_accessible(page)


def assert_accessible(page: Page) -> None:
    """axe finds nothing serious: by any rule as the page is, and nothing hard to read in the other scheme."""
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
    contrast = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
    for shown, options in (
        (scheme, {"resultTypes": ["violations"]}),
        ("light" if scheme == "dark" else "dark", contrast),
    ):
        page.emulate_media(color_scheme=shown)
        found = Axe().run(page, options=options)
        serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
        assert not serious, (shown, [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in serious])
    page.emulate_media(color_scheme=scheme)


def test_two_requests_are_compared(page):
    page.goto(f"/ui/sessions/{SESSION}")
    page.locator("#e2 [data-diff]").click()
    expect(page.locator("h1")).to_have_text("What changed from request 1 to 2")
    expect(page.locator(".change.added")).to_have_count(2)
    expect(page.locator(".change.added .added").first).to_contain_text("I will use a tool.")
    assert_fits(page)
    assert_accessible(page)


def test_a_raw_exchange_is_shown_and_comes_byte_for_byte(page, site):
    page.goto(f"/ui/sessions/{SESSION}")
    page.locator("#e1 [data-raw]").click()
    expect(page.locator(".text.code").first).to_contain_text('"max_tokens": 100')
    expect(page.locator(".text.code").last).to_contain_text("event: message_start")
    assert_fits(page)
    assert_accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="The body, byte for byte").first.click()
    body = json.loads(download.value.path().read_bytes())
    assert body["messages"][0]["content"].startswith("turn 0")


def test_edits_are_shown_as_diffs_and_markdown_as_text_with_form(page, site):
    edit = {"file_path": "/src/app.py", "old_string": "timeout = 10", "new_string": "timeout = 25"}
    text = "# Plan\n\n- **first** <img src=x onerror=alert(1)>\n\n```python\ndef f(): ...\n```"
    messages = [
        {"role": "user", "content": "change it"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": text}, {"type": "tool_use", "id": "t", "name": "Edit", "input": edit}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ]
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        client.post("/v1/messages", json={"model": "m", "messages": messages}, headers={"session_id": "edits"})
    eventually(lambda: site.rows("select 1 from sessions where session_id = 'edits' and requests > 0"), "the record")
    page.goto("/ui/sessions/edits")
    expect(page.locator(".md h1")).to_have_text("Plan")
    expect(page.locator(".md strong")).to_have_text("first")
    expect(page.locator(".md .hl-k")).to_have_text("def")
    expect(page.locator(".md img")).to_have_count(0)
    expect(page.locator(".diff .removed b")).to_have_text("10")
    expect(page.locator(".diff .added b")).to_have_text("25")
    assert_fits(page)


def test_images_are_shown_from_this_machine(page, site):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}}
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        messages = [{"role": "user", "content": [{"type": "text", "text": "look"}, image]}]
        client.post("/v1/messages", json={"model": "m", "messages": messages}, headers={"session_id": "images"})
    eventually(lambda: site.rows("select 1 from sessions where session_id = 'images' and requests > 0"), "the record")
    page.goto("/ui/sessions/images")
    shown = page.locator("img.shot")
    expect(shown).to_be_visible()
    expect(shown).to_have_js_property("naturalWidth", 1)


def test_a_session_is_exported_from_its_page(page, site):
    page.goto(f"/ui/sessions/{SESSION}")
    page.get_by_text("Export", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="html", exact=True).click()
    exported = download.value.path().read_text()
    assert exported.lower().startswith("<!doctype html>")
    assert "turn 0: use the tool Read" in exported


def test_a_match_leads_to_its_place_and_is_marked(page):
    page.goto("/ui/sessions?text_search=%22turn+2%22")
    page.locator(".snippet", has_text="turn 2").first.click()
    expect(page.locator(".turn.selected")).to_contain_text("turn 2")
    assert page.evaluate("CSS.highlights.get('found').size") > 0


def test_the_list_follows_what_is_recorded(browser, start):
    server = start()
    page = browser.new_page()

    def ask(session: str) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": f"in {session}"}]}
        httpx.post(f"{server.url}/v1/messages", json=body, headers={"session_id": session}, trust_env=False)

    ask("known")
    server.wait_recorded(1)
    page.goto(f"{server.url}/ui/sessions")
    requests = page.locator('[data-session="known"] [data-figure="requests"]')
    expect(requests).to_have_text("1")
    ask("known")
    expect(requests).to_have_text("2")
    ask("new")
    page.get_by_role("button", name="One session has news: show it").click()
    expect(page.locator(".sessions li")).to_have_count(2)
    page.close()


def test_a_session_is_deleted_from_its_page_where_that_is_allowed(browser, start, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("ui:\n  delete_enabled: true\n")
    server = start("--config", str(config))
    body = {"model": "m", "messages": [{"role": "user", "content": "to be deleted"}]}
    httpx.post(f"{server.url}/v1/messages", json=body, headers={"session_id": "gone"}, trust_env=False)
    server.wait_recorded(1)
    page = browser.new_page()
    page.goto(f"{server.url}/ui/sessions/gone")
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("button", name="Delete this session").click()
    expect(page.locator(".empty")).to_contain_text("No session yet")
    assert server.rows("select count(*) from sessions") == [(0,)]
    page.close()

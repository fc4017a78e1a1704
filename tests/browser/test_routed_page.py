"""What routing did, in a real Chromium."""

import pytest
from playwright.sync_api import expect

from proxy.capture import Attempt, Routing
from sessions.store import Store
from tests.browser.test_pages import assert_accessible, assert_fits
from tests.site.test_commands import run
from tests.support import planted
from tests.support.databases import default_database
from tests.support.exchanges import ANSWER, compact, frames
from tests.support.routed import FAILED_OVER
from tests.support.server import start_server

SLOW = Attempt("anthropic-through-a-far-away-gateway", None, 62_300.0, "upstream_timeout", True)
LONG = Routing(
    rule="claude-with-fallback", provider="backup", provider_type="anthropic",
    attempts=[SLOW, Attempt("anthropic", 529, 48.0, "overloaded"), Attempt("backup", 200, 310.0)],
)  # fmt: skip
LINE = "backup answered (rule claude-with-fallback) after anthropic: 429 rate_limited in 120 ms; "
TRANSLATED = "translated to OpenAI Responses, asked gpt-5"


# Before the browser: while its loop runs, Django refuses to ask the database.
@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory, provider, django_db_setup, django_db_blocker):
    """A server over a record in which rules failed over."""
    root = tmp_path_factory.mktemp("routed")
    assert run(root, "migrate").returncode == 0
    home = root / ".lunaroute"
    asked = [{"role": "user", "content": "Which tests fail, and why?"}]
    body = compact({"model": "claude-sonnet-4-5", "messages": asked})
    with django_db_blocker.unblock(), default_database(f"sqlite:///{home}/db.sqlite3"):
        store = Store("test", home / "sessions", True, True)
        routed = [FAILED_OVER, LONG, Routing(notes=["header x-team added"]), None]
        planted.record(store, [frames(body, ANSWER, session="routed", routing=routing) for routing in routed])
    server = start_server(root, provider.url)
    yield server
    assert server.stop() == 0


def test_a_turn_says_who_answered_and_folds_its_notes(page):
    page.goto("/ui/sessions/routed")
    first, second, third, fourth = (page.locator(f"#e{number} .route") for number in (1, 2, 3, 4))
    expect(first.locator("summary")).to_have_text(f"{LINE}{TRANSLATED}; 2 notes")
    expect(first.locator("li").first).to_be_hidden()
    first.locator("summary").press("Enter")
    expect(first.locator("li").first).to_have_text("cache_control left out of system[0]")
    expect(second).to_contain_text("upstream_timeout in 1 min 2 s, may have been charged; anthropic: 529 overloaded")
    expect(third.locator("summary")).to_have_text("changed on the way; 1 note")
    expect(fourth).to_have_count(0)
    assert_fits(page)
    assert_accessible(page)


def test_an_exchange_shows_its_attempts(page):
    page.goto("/ui/sessions/routed")
    page.locator("#e2 [data-raw]").click()
    rows = page.locator(".routing tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("no answer")
    expect(rows.first).to_contain_text("may have been charged")
    expect(rows.last).to_contain_text("backup")
    expect(rows.last).not_to_contain_text("charged")
    assert_fits(page)
    assert_accessible(page)

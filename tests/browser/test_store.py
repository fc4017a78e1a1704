"""The page of the store, in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_pages import assert_accessible, assert_fits
from tests.sessions.test_recording import converse
from tests.site.test_commands import run
from tests.support.server import start_server


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    provider.reset()
    home = tmp_path_factory.mktemp("store")
    path = home / "c.yaml"
    path.write_text(
        "session_recording: {cleanup: {retention: {max_age_days: 0.000001, max_total_size_gb: 1, compress_after_days: 7}}}\n"
    )
    server = start_server(home, provider.url, "--config", str(path))
    converse(server)
    server.wait_recorded(6)
    assert run(home, "--config", str(path), "retention", "run").returncode == 0
    converse(server)
    server.wait_recorded(6)
    yield server
    assert server.stop() == 0


def test_it_says_what_the_store_takes_what_is_due_and_what_was_done(page):
    page.goto("/ui/settings")
    page.get_by_role("link", name="What the store takes").click()
    expect(page).to_have_url("/ui/store")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("region", name="Due now")).to_contain_text("1 session to delete")
    done = page.get_by_role("region", name="What was done")
    expect(done).to_contain_text("by command")
    done.get_by_text("Deleted", exact=True).last.click()
    expect(done).to_contain_text("turn 0")
    assert_fits(page)
    assert_accessible(page)

"""Budgets, notices and quotas in a real browser."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.test_pages import assert_accessible, assert_fits
from tests.sessions.test_recording import converse
from tests.support.server import eventually, start_server

BUDGETS = """
budgets:
  - {name: everything, limit_usd: 0.0001}
  - {name: moon, scope: project, value: moon, period: day, limit_usd: 1000, refuse: true}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    provider.reset()
    home = tmp_path_factory.mktemp("budgets")
    path = home / "c.yaml"
    path.write_text(BUDGETS)
    server = start_server(home, provider.url, "--config", str(path))
    converse(server)
    server.wait_recorded(6)

    async def limited(exchange) -> None:
        await exchange.read_body()
        head = b"HTTP/1.1 200 OK\r\nanthropic-ratelimit-unified-5h-utilization: 0.75\r\nanthropic-ratelimit-unified-5h-reset: 4000000000\r\n"
        await exchange.send(head + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    provider.script(limited)
    with httpx.Client(trust_env=False) as client:
        client.post(f"{server.url}/v1/messages", json={"model": "m", "messages": []})
    provider.script(None)
    eventually(lambda: server.json("/api/quotas"), "a quota")
    eventually(lambda: b"is used up" in server.get("/ui/notices")[2], "a notice")
    yield server
    assert server.stop() == 0


def test_budgets_and_quotas_stand_on_the_dashboard(page):
    page.goto("/ui/")
    budgets = page.get_by_role("region", name="Budgets").or_(page.locator("section", has=page.locator("#budgets")))
    expect(budgets.first).to_contain_text("moon")
    expect(budgets.first).to_contain_text("used up")
    expect(page.get_by_role("meter", name="moon: 0 % spent")).to_be_visible()
    quotas = page.get_by_role("region", name="Quotas, as providers report them")
    expect(quotas).to_contain_text("unified-5h")
    expect(quotas).to_contain_text("75 %")
    assert_fits(page)
    assert_accessible(page)


def test_a_notice_is_shown_and_dismissed(page, site):
    page.goto("/ui/sessions")
    notice = page.get_by_role("status").filter(has_text="Budget everything")
    if page.viewport_size["width"] == 400:
        expect(notice).to_contain_text("is used up")
        return  # the other size dismisses it
    expect(notice).to_contain_text("is used up")
    page.get_by_role("button", name="Dismiss: Budget everything").click()
    expect(page.locator("#notices")).not_to_contain_text("everything")
    page.reload()
    expect(page.locator("#notices")).not_to_contain_text("everything")

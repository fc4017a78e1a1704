"""The page that tries redaction, in a real Chromium."""

import json

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.test_pages import assert_accessible, assert_fits
from tests.support.server import start_server

EMAIL, SSN = "john.doe@example.com", "123-45-6789"


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    home = tmp_path_factory.mktemp("redaction")
    path = home / "c.yaml"
    path.write_text("session_recording: {pii: {redaction_mode: tokenize, hmac_secret: x}}")
    server = start_server(home, provider.url, "--config", str(path))
    yield server
    assert server.stop() == 0


def test_a_text_is_examined_and_nothing_of_it_is_kept(page, site):
    page.goto("/ui/settings")
    page.get_by_role("link", name="Try redaction").click()
    expect(page.locator("h1")).to_have_text("Try redaction")
    assert_fits(page)
    assert_accessible(page)
    page.get_by_label("Text").fill(f"My email is {EMAIL} and SSN is {SSN}\n<b>{'long' * 60}</b>")
    page.get_by_role("button", name="Examine").click()
    expect(page.locator("mark")).to_have_text([EMAIL, SSN])
    expect(page.locator("mark").first).to_have_attribute("title", "EMAIL, email, 0.95")
    expect(page.locator("#redacted")).to_contain_text("My email is [EMAIL:")
    expect(page.locator("#redacted")).not_to_contain_text(EMAIL)
    expect(page.locator("#redacted b")).to_have_count(0)
    expect(page.locator("#redacted a.pii")).to_have_count(2)
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_label("Text")).to_have_value(f"My email is {EMAIL} and SSN is {SSN}\n<b>{'long' * 60}</b>")
    assert_fits(page)
    assert_accessible(page)
    for path in site.home.rglob("*"):
        if path.is_file():
            assert EMAIL.encode() not in path.read_bytes(), path
    assert EMAIL not in site.output()


def test_json_stays_json_and_nothing_found_is_said(page):
    page.goto("/ui/pii/")
    page.get_by_label("Text").fill(json.dumps({"a": f"x\n{EMAIL}"}).replace("@", "\\u0040"))
    page.get_by_role("button", name="Examine").click()
    expect(page.locator("mark")).to_have_text([EMAIL])
    assert json.loads(page.locator("#redacted").inner_text())["a"].startswith("x\n[EMAIL:")
    page.get_by_label("Text").fill("harmless")
    page.get_by_role("button", name="Examine").click()
    expect(page.locator("#main")).to_contain_text("Nothing was found")


def test_a_form_from_elsewhere_is_refused(site):
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        assert client.post("/ui/pii/", data={"text": EMAIL}).status_code == 403
        form = client.get("/ui/pii/")
        assert form.headers["cache-control"].startswith("max-age=0")
        token = form.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        answer = client.post("/ui/pii/", data={"text": "x" * 200_001, "csrfmiddlewaretoken": token})
        assert "up to 200,000" in answer.text

"""The page of routing and the admin's forms behind it, in a real Chromium."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import assert_accessible, assert_fits
from tests.support import zygote
from tests.support.server import environment, start_server

CONFIG = """
providers:
  anthropic: {}
  openai: {enabled: false, base_url: "https://somebody:pa55word@example.com/v1"}
routing:
  rules:
    - {name: claude, model_pattern: "^claude-", primary: anthropic, priority: 5}
    - {name: never, model_pattern: "^claude-", primary: openai}
"""
ROWS = """
import django; django.setup()
from django.contrib.auth.models import User
from routing.models import Provider, Rule
User.objects.create_superuser("owner", password="a good password")
local = Provider(name="local", provider_type="openai", base_url="http://localhost:11434/v1", model="qwen3-coder")
local.set_key("sk-hidden-key")
local.save()
Rule.objects.create(name="by-weight", providers=["anthropic", "local"], weights=[4, 1], strategy="weighted_round_robin",
                    headers=[["x-project-id", "^" + "long-" * 30]])
Rule.objects.create(name="rest", providers=["local"], client="codex")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    home = tmp_path_factory.mktemp("routing")
    path = home / "c.yaml"
    path.write_text(CONFIG)
    server = start_server(home, provider.url, "--config", str(path))
    settings = {"DJANGO_SETTINGS_MODULE": "lunaroute_site.settings"}
    zygote.run(zygote.CODE, [ROWS], environment(home, **settings)).check_returncode()
    yield server
    assert server.stop() == 0
    assert "sk-hidden-key" not in server.output()


def log_in(page: Page) -> None:
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("a good password")
    page.get_by_role("button", name="Log in").click()


def test_providers_and_rules_are_shown_as_they_are(page):
    page.goto("/ui/settings")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Routing").click()
    expect(page.locator("h1")).to_have_text("Routing")
    expect(page.locator("[data-provider] h3")).to_have_text(["anthropic", "openai", "local"])
    expect(page.locator("[data-provider=openai]")).to_contain_text("disabled")
    expect(page.locator("[data-provider=local]")).to_contain_text("its own")
    expect(page.locator("[data-provider=local]")).to_contain_text("breaker closed")
    expect(page.locator("[data-rule] h3")).to_have_text(["claude", "never", "by-weight", "rest"])
    expect(page.locator("[data-rule=claude]")).to_contain_text("from file")
    expect(page.locator("[data-rule=by-weight]")).to_contain_text("anthropic (4), local (1)")
    expect(page.locator("[data-rule=never]")).to_contain_text("none of its providers is enabled")
    assert "pa55word" not in page.content()
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Routing")).to_be_in_viewport(ratio=1)
    assert_fits(page)
    assert_accessible(page)


def test_what_would_become_of_a_request_is_shown_without_a_mouse(page):
    page.goto("/ui/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.get_by_label("Model").focus()
    page.keyboard.type("gpt-5.5")
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("/v1/responses")
    page.keyboard.press("Tab")
    page.keyboard.type("codex")
    page.keyboard.press("Enter")
    page.get_by_label("Headers, one a line").fill("x-project-id: myapp")
    page.get_by_role("button", name="Show").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#preview")).to_contain_text("rule 'rest': client is codex")
    expect(page.locator("#preview .chain li")).to_have_text(["local asked first now"])
    expect(page.locator("#preview tr.taken th")).to_have_text("rest")
    expect(page.locator("#preview tbody tr").first).to_contain_text("model gpt-5.5 does not match ^claude-")
    expect(page.get_by_label("Model")).to_have_value("gpt-5.5")
    assert_fits(page)
    assert_accessible(page)


def test_a_marker_and_no_rule_at_all_are_shown_too(page):
    page.goto("/ui/routing?model=m&path=/v1/messages&marker=local")
    expect(page.locator("#preview")).to_contain_text("the marker [LUNAROUTE:local] names it")
    page.goto("/ui/routing?model=m&path=/v1/messages")
    expect(page.locator("#preview")).to_contain_text("No rule takes it")
    expect(page.locator("#preview .chain li")).to_contain_text("anthropic")


def test_a_provider_is_reset_from_the_page(page, site):
    page.goto("/ui/routing")
    page.get_by_role("button", name="Reset local").click()
    expect(page).to_have_url("/ui/routing")
    assert site.rows("select number from routing_resets where provider = 'local'")[0][0] > 0


def test_a_row_is_edited_in_the_admin(page, site):
    page.goto("/ui/routing")
    page.get_by_role("link", name="Edit the rule rest").click()
    log_in(page)
    expect(page.get_by_label("Providers")).to_have_value("local")
    page.get_by_label("Model pattern").fill("a(b")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errorlist")).to_contain_text("missing ): a(b")
    page.get_by_label("Model pattern").fill("^codex-")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist").first).to_contain_text("was changed successfully")
    expect(page.locator("#from-file")).to_contain_text("from file")
    assert_fits(page)
    page.goto("/admin/routing/provider/")
    page.get_by_role("link", name="local").click()
    expect(page.get_by_label("API key")).to_have_value("")
    assert "sk-hidden-key" not in page.content()


def test_a_reset_from_elsewhere_is_refused(site):
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        assert client.post("/ui/routing/reset", data={"provider": "local"}).status_code == 403
        form = client.get("/ui/routing")
        token = form.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        own = {"csrfmiddlewaretoken": token}
        assert client.post("/ui/routing/reset", data={**own, "provider": "nobody"}).status_code == 404
        assert client.get("/ui/routing/reset").status_code == 405
        headers = {"origin": "https://elsewhere.example"}
        assert client.post("/ui/routing/reset", data={**own, "provider": "local"}, headers=headers).status_code == 403

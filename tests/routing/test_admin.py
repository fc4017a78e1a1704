"""Providers and rules in the admin, asked for by Django's own client."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from lunaroute_site.config_routing import Routing
from lunaroute_site.config_routing import Rule as FileRule
from routing import keys, live, sources
from routing.board import Board, Rest
from routing.models import Provider, Rule
from routing.router import Router
from routing.rules import RuleSet
from tests.support.databases import sqlite_only

pytestmark = pytest.mark.usefixtures("both_databases", "home")
KEY = "sk-ant-very-secret"
PROVIDER = {
    "name": "backup", "enabled": "on", "provider_type": "openai", "base_url": "https://h/v1", "api_key": "", "model": "", "model_map": "",
    "openai_api": "", "request_headers": "", "body_defaults": "", "body_overrides": "", "prepend_messages": "",
    "switch_notification": "", "timeout_secs": "600", "connect_timeout_secs": "10", "pool_max_idle_per_host": "32",
    "pool_idle_timeout_secs": "600", "tcp_keepalive_secs": "60", "max_retries": "3", "codex_auth_file": "~/.codex/auth.json",
    "codex_token_field": "tokens.access_token", "codex_account_id": "",
}  # fmt: skip
RULE = {
    "name": "r", "enabled": "on", "priority": "0", "model_pattern": "", "path_pattern": "", "headers": "", "client": "", "dialect": "",
    "strategy": "primary", "providers": "anthropic", "weights": "", "alternatives": "", "fallbacks": "", "backoff_base_secs": "60",
}  # fmt: skip


@pytest.fixture
def site() -> Client:
    """Somebody who may do all; making a password would take longer than the test."""
    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.create(username="owner", is_staff=True, is_superuser=True))
    return client


def saved(site: Client, kind: str, values: dict, pk: int | None = None) -> str:
    """Send the form of a row, which must be taken; gives the page that follows."""
    address = f"/admin/routing/{kind}/{'add' if pk is None else f'{pk}/change'}/"
    answer = site.post(address, values, follow=True)
    assert answer.redirect_chain, errors(answer)
    return answer.content.decode()


def errors(answer) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def refused(site: Client, kind: str, values: dict, pk: int | None = None) -> dict[str, list[str]]:
    address = f"/admin/routing/{kind}/{'add' if pk is None else f'{pk}/change'}/"
    answer = site.post(address, values)
    assert answer.status_code == 200, "the form was taken"
    return errors(answer)


def history() -> str:
    return LogEntry.objects.latest("pk").get_change_message()


def test_a_provider_is_made_by_the_form(site):
    lines = {
        "request_headers": "X-B: a:b\nX-A: ${model}\n", "model_map": "claude-opus-* = qwen3:8b\n* = x", "api_key": KEY,
        "body_defaults": '{"temperature": 0.7}', "prepend_messages": '[{"role": "user", "content": "c"}]',
    }  # fmt: skip
    saved(site, "provider", {**PROVIDER, **lines})
    found = Provider.objects.get().definition()
    assert found.request_headers == (("X-B", "a:b"), ("X-A", "${model}"))
    assert found.model_map == (("claude-opus-*", "qwen3:8b"), ("*", "x"))
    assert (found.api_key, found.body_defaults) == (KEY, {"temperature": 0.7})
    assert found.prepend_messages == ({"role": "user", "content": "c"},)


def test_a_form_that_is_sent_as_it_came_changes_nothing(site):
    saved(
        site, "provider", {**PROVIDER, "request_headers": "X-B: 1", "model_map": "a = b", "body_defaults": '{"a": 1}'}
    )
    row = Provider.objects.get()
    form = site.get(f"/admin/routing/provider/{row.pk}/change/").context["adminform"].form
    sent = {name: form[name].value() for name in form.fields}
    saved(site, "provider", {name: value for name, value in sent.items() if value not in (None, False)}, row.pk)
    assert Provider.objects.get().definition() == row.definition()
    assert history() == "No fields changed."


def test_a_key_is_kept_replaced_and_removed_and_never_shown(site):
    saved(site, "provider", {**PROVIDER, "api_key": KEY})
    row = Provider.objects.get()
    pages = [site.get(f"/admin/routing/provider/{row.pk}/{page}/").content.decode() for page in ("change", "history")]
    pages += [saved(site, "provider", {**PROVIDER, "model": "m"}, row.pk)]
    assert Provider.objects.get().definition().api_key == KEY
    pages += [saved(site, "provider", {**PROVIDER, "model": "m", "api_key": "sk-other-secret"}, row.pk)]
    assert Provider.objects.get().definition().api_key == "sk-other-secret"
    assert history() == "API key: a new one"
    pages += [saved(site, "provider", {**PROVIDER, "model": "m", "remove_key": "on"}, row.pk)]
    assert Provider.objects.get().definition().api_key == ""
    assert history() == "API key: removed"
    assert not any("secret" in page for page in pages)


def test_a_key_is_not_shown_when_another_field_is_wrong(site):
    answer = site.post("/admin/routing/provider/add/", {**PROVIDER, "api_key": KEY, "base_url": "ftp://h"})
    assert KEY not in answer.content.decode()


@sqlite_only
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("name", "with space", "[LUNAROUTE:name]"),
        ("name", "clear", "not clear"),
        ("name", "anthropic", "the configuration file has a provider 'anthropic'"),
        ("base_url", "ftp://h", "https://api.example.com/v1"),
        ("base_url", "http://h/v1?key=x", "https://api.example.com/v1"),
        ("base_url", "http://h:99999", "https://api.example.com/v1"),
        ("base_url", "http://127.0.0.1:8081/v1", "own address"),
        ("base_url", "http://[::1]:8081", "own address"),
        ("base_url", "http://LOCALHOST.:8081", "own address"),
        ("base_url", "http://0.0.0.0:8081", "own address"),
        ("api_key", "with space", "printable ASCII"),
        ("model_map", "no sign", "expected a '='"),
        ("model_map", " = x", "a name to ask"),
        ("request_headers", "no colon", "expected a ':'"),
        ("request_headers", "Bad Name: x", "'Bad Name'"),
        ("request_headers", "Host: x", "the proxy's own"),
        ("request_headers", "X-A: ${user}", "${user} is no variable"),
        ("request_headers", "X-A: a\x01b", "control characters"),
        ("body_defaults", "{", "line 1, column 2"),
        ("body_defaults", "[]", "expected names with values"),
        ("body_defaults", '{"a": NaN}', "NaN is no number"),
        ("body_defaults", '{"a": 1e999}', "no number of JSON"),
        ("body_defaults", '{"a": "\\u0000"}', "NUL"),
        ("body_defaults", '{"a": "\\ud800"}', "surrogate"),
        ("body_defaults", '{"a": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        ("body_defaults", "[" * 100_000, "expected JSON"),
        ("body_overrides", '{"a": ["${user}"]}', "${user} is no variable"),
        ("prepend_messages", '[{"role": "robot", "content": "x"}]', "'robot'"),
        ("prepend_messages", '["x"]', "expected messages such as"),
        ("prepend_messages", '{"a": 1}', "expected a list"),
        ("switch_notification", "${user}", "${user} is no variable"),
        ("timeout_secs", "0", "seconds above 0"),
        ("max_retries", "21", "from 0 to 20"),
    ],
)
def test_what_is_wrong_with_a_provider_is_said_at_its_field(site, field, value, words):
    found = refused(site, "provider", {**PROVIDER, field: value})
    assert list(found) == [field]
    assert words in found[field][0]
    assert not Provider.objects.exists()


def test_a_key_that_cannot_be_stored_is_said(site, home):
    keys.encrypt(home, "x")
    (home / keys.FILE).write_text("no key")
    found = refused(site, "provider", {**PROVIDER, "api_key": KEY})
    assert "holds no key" in found["api_key"][0]


def test_a_key_is_either_new_or_removed(site):
    assert "either" in refused(site, "provider", {**PROVIDER, "api_key": KEY, "remove_key": "on"})["api_key"][0]


def test_api_of_openai_is_for_its_type_alone(site):
    found = refused(site, "provider", {**PROVIDER, "provider_type": "anthropic", "openai_api": "chat"})
    assert "type openai" in found["openai_api"][0]


@sqlite_only
@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"model_pattern": "a(b"}, "model_pattern", "missing ): a(b"),
        ({"path_pattern": "["}, "path_pattern", "regular expression"),
        ({"headers": "x-a: ("}, "headers", "x-a: expected a regular expression"),
        ({"headers": "x a: b"}, "headers", "'x a'"),
        ({"providers": "nobody"}, "providers", "anthropic"),
        ({"providers": "anthropic\nanthropic"}, "providers", "named twice"),
        ({"fallbacks": "anthropic"}, "fallbacks", "named twice"),
        ({"providers": ""}, "providers", "required"),
        ({"weights": "1"}, "weights", "only the strategy"),
        ({"strategy": "weighted_round_robin", "weights": "0"}, "weights", "at least one above 0"),
        ({"strategy": "weighted_round_robin", "weights": "1, 2"}, "weights", "one for each provider (1), got 2"),
        ({"strategy": "weighted_round_robin", "weights": "-1"}, "weights", "'-1'"),
        ({"alternatives": "openai"}, "alternatives", "limits_alternative"),
        ({"backoff_base_secs": "0"}, "backoff_base_secs", "above 0"),
        ({"name": "of-the-file"}, "name", "the configuration file has a rule"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_at_its_field(site, settings, values, field, words):
    rules = Routing(rules=(FileRule(name="of-the-file", primary="openai", model_pattern="^x$"),))
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"routing": rules})
    found = refused(site, "rule", {**RULE, **values})
    assert list(found) == [field]
    assert words in found[field][0]
    assert not Rule.objects.exists()


def test_a_rule_is_made_by_the_form(site):
    saved(site, "provider", PROVIDER)
    values = {
        "strategy": "weighted_round_robin", "providers": "backup\n anthropic ", "weights": "80, 20", "fallbacks": "openai",
        "headers": "X-A: ^b:c", "model_pattern": "^gpt-", "priority": "5",
    }  # fmt: skip
    saved(site, "rule", {**RULE, **values})
    found = Rule.objects.get().definition()
    assert (found.providers, found.weights, found.fallbacks) == (("backup", "anthropic"), (80, 20), ("openai",))
    assert (found.headers, found.model_pattern, found.priority) == ((("X-A", "^b:c"),), "^gpt-", 5)


def test_a_rule_that_takes_no_request_is_saved_with_a_warning(site):
    saved(site, "rule", {**RULE, "name": "all", "priority": "1"})
    page = saved(site, "rule", {**RULE, "name": "late", "model_pattern": "^c"})
    assert "&#x27;all&#x27; comes before it and takes all of them" in page
    assert "comes before it" in site.get("/admin/routing/rule/").content.decode()


def test_disabling_the_only_provider_of_a_rule_warns(site):
    saved(site, "provider", PROVIDER)
    saved(site, "rule", {**RULE, "providers": "backup"})
    page = saved(
        site,
        "provider",
        {name: value for name, value in PROVIDER.items() if name != "enabled"},
        Provider.objects.get().pk,
    )
    assert "none of its providers is enabled" in page


def test_the_history_tells_values_but_no_secrets(site):
    saved(site, "rule", RULE)
    saved(site, "rule", {**RULE, "priority": "7", "providers": "openai"}, Rule.objects.get().pk)
    assert history() == "priority: 0 → 7; providers: ['anthropic'] → ['openai']"
    saved(site, "provider", {**PROVIDER, "request_headers": "Authorization: Bearer abc"})
    values = {
        **PROVIDER, "request_headers": "Authorization: Bearer def\nX-A: 1", "base_url": "https://u:pw@h/v2", "openai_api": "chat",
        "body_overrides": '{"metadata": {"api_key": "ghi"}}',
    }  # fmt: skip
    saved(site, "provider", values, Provider.objects.get().pk)
    told = history()
    assert "https://h/v1 → https://h/v2" in told
    assert "nothing → chat" in told
    assert "['X-A', '1']" in told
    assert not any(secret in told for secret in ("abc", "def", "ghi", "pw@"))


def test_priorities_are_changed_in_the_list(site):
    saved(site, "rule", RULE)
    saved(site, "rule", {**RULE, "name": "s", "model_pattern": "^x"})
    rows = list(Rule.objects.order_by("-priority", "pk"))
    sent = {"form-TOTAL_FORMS": 2, "form-INITIAL_FORMS": 2, "_save": "Save"}
    for number, row in enumerate(rows):
        sent |= {f"form-{number}-id": row.pk, f"form-{number}-priority": number * 10}
    site.post("/admin/routing/rule/", sent)
    assert dict(Rule.objects.values_list("name", "priority")) == {"r": 0, "s": 10}
    assert history() == "priority: 0 → 10"


def test_rows_are_enabled_and_disabled_by_actions(site):
    saved(site, "rule", RULE)
    for action, enabled in (("disable", False), ("enable", True)):
        site.post("/admin/routing/rule/", {"action": action, "_selected_action": [Rule.objects.get().pk]})
        assert Rule.objects.get().enabled is enabled
        assert history() == f"enabled: {'no' if enabled else 'yes'} → {'yes' if enabled else 'no'}"


def test_what_the_file_has_is_listed_and_cannot_be_changed(site, settings):
    rules = Routing(rules=(FileRule(name="of-the-file", primary="openai", model_pattern="^x$"),))
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"routing": rules})
    page = site.get("/admin/routing/rule/").content.decode()
    assert "of-the-file" in page
    assert "model matches ^x$" in page
    assert "from file" in page
    page = site.get("/admin/routing/provider/").content.decode()
    assert "https://api.anthropic.com" in page
    assert "from file" in page


def test_a_provider_that_a_rule_names_cannot_be_deleted_nor_renamed(site):
    saved(site, "provider", PROVIDER)
    saved(site, "rule", {**RULE, "fallbacks": "backup"})
    row = Provider.objects.get()
    page = site.post(f"/admin/routing/provider/{row.pk}/delete/", {"post": "yes"}).content.decode()
    assert "the rule &#x27;r&#x27; names &#x27;backup&#x27;: change the rule first" in page
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    assert "change the rule first" in site.post("/admin/routing/provider/", chosen).content.decode()
    assert "the rule 'r' names 'backup'" in refused(site, "provider", {**PROVIDER, "name": "other"}, row.pk)["name"][0]
    assert Provider.objects.filter(name="backup").exists()
    Rule.objects.all().delete()
    site.post(f"/admin/routing/provider/{row.pk}/delete/", {"post": "yes"})
    assert not Provider.objects.exists()


def test_a_provider_is_reset_by_an_action(site):
    saved(site, "provider", PROVIDER)
    board = Board()

    def load() -> None:
        found = sources.load({}, [])
        live.serve(board, Router(RuleSet(found.rules), found.providers, board), found)

    load()
    board.restore_rests({"backup": Rest(board.wall() + 60, "w")})
    site.post("/admin/routing/provider/", {"action": "reset", "_selected_action": [Provider.objects.get().pk]})
    assert history() == "breaker closed, rest ended"
    load()
    assert board.available("backup")


def test_a_row_that_somebody_else_broke_can_be_opened_and_mended(site):
    row = Rule.objects.create(name="r", providers={"odd": 1}, headers="odd", model_pattern="(")
    assert "(cannot be read)" in site.get("/admin/routing/rule/").content.decode()
    assert site.get(f"/admin/routing/rule/{row.pk}/change/").status_code == 200
    saved(site, "rule", RULE, row.pk)
    assert Rule.objects.get().definition().providers == ("anthropic",)


def test_who_is_not_logged_in_sees_nothing(client):
    assert client.get("/admin/routing/provider/", headers={"host": "localhost"}).status_code == 302


# -- what is kept for one provider goes to no other -----------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url", ["https://evil.example/v1", "http://h/v1", "https://h:8443/v1", "https://h.evil.example/v1", "https://h@evil.example/v1"]
)  # fmt: skip
def test_a_key_does_not_follow_a_provider_to_another_address(site, base_url):
    saved(site, "provider", {**PROVIDER, "api_key": KEY})
    row = Provider.objects.get()
    page = saved(site, "provider", {**PROVIDER, "base_url": base_url}, row.pk)
    assert "the provider&#x27;s key was removed" in page or "the provider&#39;s key was removed" in page
    assert Provider.objects.get().encrypted_key == ""
    assert "API key: removed" in history()


def test_with_the_key_it_may_move_and_with_another_path_it_keeps_it(site):
    saved(site, "provider", {**PROVIDER, "api_key": KEY})
    row = Provider.objects.get()
    saved(site, "provider", {**PROVIDER, "base_url": "https://H:443/v2"}, row.pk)
    assert Provider.objects.get().definition().api_key == KEY
    saved(site, "provider", {**PROVIDER, "base_url": "https://other/v1", "api_key": "sk-for-other"}, row.pk)
    assert Provider.objects.get().definition().api_key == "sk-for-other"


def test_static_credentials_are_hidden_kept_and_go_nowhere_else(site):
    secret = {
        "request_headers": "Authorization: Bearer not-to-be-seen\nX-Kind: plain\nX-Api-Key: ${env.NAME}",
        "body_overrides": '{"auth": {"value": "not-to-be-seen"}, "temperature": 0.5, "max_tokens": 7}',
    }
    saved(site, "provider", {**PROVIDER, **secret})
    row = Provider.objects.get()
    page = site.get(f"/admin/routing/provider/{row.pk}/change/")
    assert "not-to-be-seen" not in page.content.decode()
    form = page.context["adminform"].form
    sent = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in sent.items() if value not in (None, False)}
    saved(site, "provider", {**sent, "model": "m"}, row.pk)
    after = Provider.objects.get()
    assert (after.request_headers, after.body_overrides) == (row.request_headers, row.body_overrides)
    assert after.model == "m"
    found = refused(site, "provider", {**sent, "base_url": "https://evil.example"}, row.pk)
    assert {"request_headers", "body_overrides"} <= set(found)
    assert "not-to-be-seen" not in site.get(f"/admin/routing/provider/{row.pk}/history/").content.decode()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"codex_auth_file": "/etc/passwd"}, "codex_auth_file"),
        ({"codex_auth_file": "~/.aws/auth.json"}, "codex_auth_file"),
        ({"base_url": "https://evil.example"}, "base_url"),
        ({"base_url": "https://openai.com.evil.example"}, "base_url"),
        ({"base_url": "http://chatgpt.com/backend-api/codex"}, "base_url"),
        ({"base_url": "https://notopenai.com"}, "base_url"),
    ],
)  # fmt: skip
def test_on_pages_nobody_says_which_file_is_the_login_of_codex_or_where_it_goes(site, values, field):
    codex = {**PROVIDER, "base_url": "https://chatgpt.com/backend-api/codex", "codex_enabled": "on"}
    assert list(refused(site, "provider", {**codex, **values})) == [field]
    saved(site, "provider", codex)


@sqlite_only
@pytest.mark.parametrize(
    "url",
    [
        "http://127.1:8081", "http://0x7f000001:8081", "http://2130706433:8081", "http://[::ffff:127.0.0.1]:8081", "http://0:8081",
        "http://169.254.169.254", "http://0xa9fea9fe", "http://2852039166", "http://[fe80::1]", "http://[fd00:ec2::254]",
        "http://[fd20:ce::254]", "http://168.63.129.16", "http://100.100.100.200", "http://192.0.0.192", "http://[::ffff:a9fe:a9fe]",
        "http://[64:ff9b::a9fe:a9fe]", "http://[64:ff9b:1::a9fe:a9fe]", "http://[2002:a9fe:a9fe::]", "http://[2001::1]",
        "http://[::a9fe:a9fe]", "http://[fec0::1]", "http://0.1.2.3", "http://224.0.0.1", "http://[ff02::1]", "http://169.254.169.254.",
    ],
)  # fmt: skip
def test_no_provider_is_at_such_an_address(site, url):
    assert "base_url" in refused(site, "provider", {**PROVIDER, "base_url": url})


@sqlite_only
@pytest.mark.parametrize(
    "url", ["http://127.1:11434/v1", "http://localhost:1234", "http://10.0.0.9:8000", "http://[fd12::1]"]
)
def test_models_of_ones_own_network_may_be_asked(site, url):
    saved(site, "provider", {**PROVIDER, "base_url": url})

"""Rows of the database as what the data plane works with, and their keys."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from routing import keys
from routing.definitions import WEIGHTED, CodexAuth, HttpClient
from routing.definitions import Provider as ProviderDefinition
from routing.definitions import Rule as RuleDefinition
from routing.models import Provider, Rule

pytestmark = pytest.mark.usefixtures("both_databases", "home")
KEY = "sk-ant-very-secret"


def test_a_provider_comes_back_as_it_was_made():
    row = Provider(
        name="p", provider_type="openai", base_url="http://h/v1", enabled=False, model="m", model_map=[["b*", "x"], ["a*", "y"]],
        openai_api="chat", request_headers=[["X-B", "1"], ["X-A", "${model}"]], body_defaults={"a": {"b": [1, 2.5, None]}},
        body_overrides={"c": "ü"}, prepend_messages=[{"role": "user", "content": "c"}], switch_notification="${reason}",
        timeout_secs=5, codex_enabled=True, codex_account_id="a",
    )  # fmt: skip
    row.set_key(KEY)
    row.save()
    assert Provider.objects.get().definition() == ProviderDefinition(
        "p", "openai", "http://h/v1", False, KEY, "m", (("b*", "x"), ("a*", "y")), "chat", HttpClient(timeout_secs=5),
        (("X-B", "1"), ("X-A", "${model}")), {"a": {"b": [1, 2.5, None]}}, {"c": "ü"}, ({"role": "user", "content": "c"},),
        "${reason}", CodexAuth(account_id="a"), "admin",
    )  # fmt: skip


def test_a_rule_comes_back_as_it_was_made():
    Rule.objects.create(
        name="r", providers=["b", "a"], weights=[4, 1], strategy=WEIGHTED, fallbacks=["c"], priority=-3, enabled=False,
        model_pattern="^m", path_pattern="^/p", headers=[["x-a", "b"]], client="codex", dialect="openai", backoff_base_secs=7,
    )  # fmt: skip
    assert Rule.objects.get().definition() == RuleDefinition(
        "r",
        ("b", "a"),
        WEIGHTED,
        ("c",),
        (4, 1),
        (),
        7,
        -3,
        False,
        "^m",
        "^/p",
        (("x-a", "b"),),
        "codex",
        "openai",
        "admin",
    )


@pytest.mark.parametrize("odd", ["text", {"a": 1}, [1], [["a"]], None, [["a", 1]]])
def test_odd_json_is_a_type_or_value_error(odd):
    with pytest.raises((TypeError, ValueError)):
        Rule(name="r", providers=["a"], headers=odd).definition()
    with pytest.raises((TypeError, ValueError)):
        Provider(name="p", model_map=odd).without_key()


def test_a_key_is_stored_encrypted_and_shown_by_nothing():
    row = Provider(name="p", provider_type="openai", base_url="http://h")
    row.set_key(KEY)
    row.save()
    stored = Provider.objects.values().get()
    assert KEY not in str(stored)
    assert KEY not in repr(row) + str(row) + repr(row.definition())
    assert row.definition().api_key == KEY


def test_an_empty_key_is_none():
    row = Provider(name="p")
    row.set_key(KEY)
    row.set_key("")
    assert (row.encrypted_key, row.definition().api_key) == ("", "")


def test_the_key_file_is_for_its_owner_alone(home):
    keys.encrypt(home, KEY)
    assert stat.S_IMODE((home / keys.FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [keys.FILE]  # no draft is left


def test_of_many_that_make_the_key_file_at_once_all_use_the_same(home):
    home.mkdir()
    with ThreadPoolExecutor(8) as pool:
        encrypted = list(pool.map(lambda number: keys.encrypt(home, f"key{number}"), range(16)))
    assert [keys.decrypt(home, text) for text in encrypted] == [f"key{number}" for number in range(16)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_text("no key"), "holds no key"),
        (lambda path: path.write_bytes(keys.Fernet.generate_key()), "another file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_a_key_file_that_does_not_fit_is_named(home, change, words):
    encrypted = keys.encrypt(home, KEY)
    change(home / keys.FILE)
    with pytest.raises(keys.KeyProblem, match=words) as problem:
        keys.decrypt(home, encrypted)
    assert str(home / keys.FILE) in str(problem.value)


def test_a_home_that_cannot_be_written_is_said(home):
    home.write_text("a file where the directory should be")
    with pytest.raises(keys.KeyProblem, match="cannot be made"):
        keys.encrypt(home, KEY)

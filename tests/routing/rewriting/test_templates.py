"""Variables of templates, and what of the environment they do not give away."""

import pytest

from routing.rewriting.templates import Template, check_template, environment, fill


@pytest.mark.parametrize(
    "text", ["", "plain $ text", "${provider} ${model} ${session_id} ${request_id}", "a${env.USER}b"]
)
def test_known_variables_are_fine(text):
    assert check_template(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [("${user}", "${user}"), ("${model", "closing brace"), ("${reason}", "${reason}"), ("${}", "${}")],
)
def test_a_variable_that_is_not_known_is_named(text, words):
    assert words in check_template(text)


def test_notifications_have_variables_of_their_own():
    assert check_template("${original_provider} ${new_provider} ${reason} ${model}", notification=True) is None
    assert "${env.USER}" in check_template("${env.USER}", notification=True)


SECRETS = [
    "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "passwd", "GOOGLE_APPLICATION_CREDENTIALS",
    "SSH_AUTH_SOCK", "MY_PRIVATE_THING", "SENTRY_DSN", "DATABASE_URL", "database_uri", "MYSQL_PWD", "API_KEYS", "APIKEY_1",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_what_looks_like_a_secret_is_empty_and_warned_of(name):
    values, warnings = environment(f"x ${{env.{name}}}", {name: "hidden-value"})
    assert values == {f"env.{name}": ""}
    assert name in warnings[0]
    assert "hidden" not in str(warnings)


def test_an_address_with_a_password_is_a_secret_by_any_name():
    values, warnings = environment("${env.BACKEND}", {"BACKEND": "redis://me:pw@host/0"})
    assert values == {"env.BACKEND": ""}
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "name", ["USER", "PROJECT_NAME", "GIT_AUTHOR_NAME", "PWD", "LANG", "KEYBOARD_LAYOUT", "HOSTNAME"]
)
def test_what_does_not_look_like_one_is_given(name):
    assert environment(f"${{env.{name}}}", {name: "value"}) == ({f"env.{name}": "value"}, [])


def test_what_the_environment_does_not_have_is_empty():
    assert environment("${env.NONE}", {}) == ({"env.NONE": ""}, [])


def test_a_value_is_no_template():
    template = Template.of("${env.A} ${model}", {"env.A": "${model}"})
    assert template.fill({"model": "m"}) == "${model} m"


def test_what_is_known_is_filled_in_once():
    template = Template.of("a${provider}b${model}c", {"provider": "p"})
    assert (template.literals, template.names) == (("apb", "c"), ("model",))


def test_what_nobody_knows_stays():
    assert Template.of("${what} ${", {}).fill({}) == "${what} ${"
    assert fill("${what} ${a}", {"a": "1"}) == "${what} 1"

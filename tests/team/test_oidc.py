"""Single sign-on, against a provider that speaks OpenID Connect."""

from collections.abc import Iterator

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.support.identity_provider import CLIENT, SECRET, IdentityProvider
from tests.team.conftest import Team, make_team


@pytest.fixture(scope="module")
def sso() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def team(provider, sso, tmp_path_factory) -> Iterator[Team]:
    config = f"""
team:
  enabled: true
  readers: [rea]
  oidc:
    discovery_url: {sso.url}/.well-known/openid-configuration
    client_id: {CLIENT}
    client_secret: "{SECRET}"
    label: "Example's sign-in"
    allowed_domains: [example.com]
    admin_group: admins
"""
    made = make_team(tmp_path_factory.mktemp("sso"), config, provider)
    yield made
    assert made.server.stop() == 0, made.server.output()
    assert "Traceback" not in made.server.output(), made.server.output()
    assert SECRET not in made.server.output()


def come(team: Team, path: str = "/login/oidc?next=/ui/account") -> httpx.Response:
    """Go the whole way, as a browser that follows redirects."""
    with httpx.Client(
        base_url=team.server.url, follow_redirects=True, trust_env=False, headers={"accept": "text/html"}
    ) as browser:
        return browser.get(path)


def user(name: str = "erin", **more: object) -> dict[str, object]:
    return {
        "sub": f"id-of-{name}",
        "preferred_username": name,
        "email": f"{name}@example.com",
        "email_verified": True,
        **more,
    }


def test_who_the_provider_knows_becomes_a_user_and_stays_the_same(team, sso):
    assert "Example&#x27;s sign-in" in team.get("", "/login", accept="text/html").text
    sso.reset(**user())
    page = come(team)
    assert (page.status_code, page.url.path) == (200, "/ui/account")
    assert "<h1>erin</h1>" in page.text
    sso.reset(**user(preferred_username="erin.married"))
    assert "<h1>erin</h1>" in come(team).text, "found by its subject, whatever it is called now"
    assert team.server.rows("SELECT username, is_staff FROM auth_user WHERE username LIKE 'erin%'") == [("erin", 0)]


def test_a_name_that_is_taken_opens_nobodys_account(team, sso):
    sso.reset(**user("alice"))
    page = come(team)
    assert page.status_code == 403
    assert "There is a user alice here already" in page.text


def test_nobody_becomes_a_reader_by_choosing_a_readers_name(team, sso):
    sso.reset(**user("rea"))
    answer = come(team)
    assert answer.status_code == 403
    assert "team.readers names rea" in answer.text
    assert not team.server.rows("select 1 from auth_user where username = 'rea'")


def test_the_provider_says_who_administers(team, sso):
    sso.reset(**user("frank", groups=["admins", "others"]))
    come(team)
    assert team.server.rows("SELECT is_staff, is_superuser FROM auth_user WHERE username = 'frank'") == [(1, 1)]
    sso.reset(**user("frank", groups="admins"))
    come(team)
    assert team.server.rows("SELECT is_staff, is_superuser FROM auth_user WHERE username = 'frank'") == [(0, 0)]


@pytest.mark.parametrize(
    "claims",
    [
        user("grace", email="grace@elsewhere.example"),
        user("grace", email="grace@example.com.evil.example"),
        user("grace", email_verified=False),
        user("grace", email=None),
        user("grace", preferred_username="/ <>"),
        user("grace", sub=""),
    ],
)
def test_who_may_not_come_in_is_told_so(team, sso, claims):
    sso.reset(**claims)
    page = come(team)
    assert page.status_code in (403, 502)
    assert team.server.rows("SELECT 1 FROM auth_user WHERE username = 'grace'") == []


@pytest.mark.parametrize(
    "tamper",
    [
        lambda claims: {**claims, "aud": "another client"},
        lambda claims: {**claims, "iss": "https://elsewhere.example"},
        lambda claims: {**claims, "nonce": "another"},
        lambda claims: {**claims, "exp": 1},
    ],
)
def test_a_token_that_is_not_for_us_opens_nothing(team, sso, tamper):
    sso.reset(**user("heidi"))
    sso.tamper = tamper
    assert come(team).status_code == 502
    assert team.server.rows("SELECT 1 FROM auth_user WHERE username = 'heidi'") == []


def test_a_token_that_somebody_else_has_signed_opens_nothing(team, sso):
    sso.reset(**user("heidi"))
    sso.key = RSAKey.generate_key(2048, {"kid": "one"})
    assert come(team).status_code == 502
    assert team.server.rows("SELECT 1 FROM auth_user WHERE username = 'heidi'") == []


def test_an_answer_that_nobody_asked_for_opens_nothing(team, sso):
    sso.reset(**user("heidi"))
    assert come(team, "/login/oidc/callback?code=stolen&state=made-up").status_code == 502
    assert come(team, "/login/oidc/callback?error=access_denied&error_description=no").status_code == 502
    assert come(team, "/login/oidc/callback").status_code == 502


def test_next_leads_nowhere_else(team, sso):
    sso.reset(**user())
    assert come(team, "/login/oidc?next=https://evil.example/").url.path == "/ui/"

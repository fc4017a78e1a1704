"""Limits of requests, tokens and cost, one user's each, with the vendors' SDKs and over several processes."""

from collections.abc import Iterator

import anthropic
import httpx
import pytest

from tests.support.server import eventually
from tests.team.conftest import CONFIG, Team, answer, make_team


@pytest.fixture(scope="module")
def _limited(provider, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("limited"), CONFIG, provider, "serve", "--web", "2")
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


@pytest.fixture
def limited(_limited, upstream) -> Team:
    upstream.script(answer)
    return _limited


def limit(team: Team, **values: object) -> None:
    """Set a limit in the admin, as an administrator does."""
    with team.browser("carol") as browser:
        browser.get("/admin/team/limit/add/")
        users = dict(team.server.rows("SELECT username, id FROM auth_user"))
        form = {"user": users[values.pop("user")], "csrfmiddlewaretoken": browser.cookies["lunaroute_csrf"], **values}
        assert browser.post("/admin/team/limit/add/", data=form).status_code == 302


def refused(team: Team, who: str) -> bool:
    return team.ask(who, "hello", f"of-{who}").status_code == 429


def test_requests_a_minute_over_all_processes(limited):
    limit(limited, user="alice", requests_per_minute="10")
    let_in = 0
    for number in range(30):  # which process answers is chance
        let_in += limited.ask("alice", "hello", "of-alice").status_code == 200
        limited.server.wait_recorded(number + 1)  # about then all have heard of it
    assert 10 <= let_in < 18, "each by itself would let in ten"
    last = limited.ask("alice", "hello", "of-alice")
    assert last.status_code == 429
    assert "10 requests a minute" in last.json()["error"]["message"]
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert not refused(limited, "bob")
    client = anthropic.Anthropic(
        base_url=limited.server.url, api_key="k", default_headers={"x-lunaroute-token": limited.tokens["alice"]}
    )
    with pytest.raises(anthropic.RateLimitError, match="requests a minute"):
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def test_tokens_a_day_and_nobody_elses(limited):
    assert not refused(limited, "bob")
    limit(limited, user="bob", tokens_per_day="40")
    eventually(lambda: refused(limited, "bob") and refused(limited, "bob") and refused(limited, "bob"), "a refusal", 20)
    answered = limited.ask("bob", "hello", "of-bob")
    assert "40 tokens a day" in answered.json()["error"]["message"]
    assert not refused(limited, "dora")
    counted = httpx.post(
        f"{limited.server.url}/v1/messages/count_tokens",
        content=b"{}",
        headers={"x-lunaroute-token": limited.tokens["bob"]},
        trust_env=False,
    )
    assert counted.status_code == 200, "what costs nothing is let through"


def test_cost_a_month_and_the_account_shows_what_is_used(limited):
    limit(limited, user="dora", usd_per_month="0.00005")
    eventually(
        lambda: refused(limited, "dora") and refused(limited, "dora") and refused(limited, "dora"), "a refusal", 20
    )
    page = limited.get("dora", "/ui/account").text
    assert "tokens today" in page
    assert "this month of &lt;$0.0001" in page
    records = limited.get("dora", "/sessions/of-dora/exchanges").json()
    assert records[-1]["error"].startswith("budget")

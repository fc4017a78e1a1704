"""Limits of requests, tokens and cost, one user's each, with the vendors' SDKs and over several processes."""

from collections.abc import Iterator
from functools import partial

import anthropic
import httpx
import pytest

from proxy.throttle import FAILURES
from tests.support.paths import ask
from tests.support.server import eventually
from tests.team.conftest import CONFIG, Team, answer, csrf_of, make_team


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
        form = {"user": users[values.pop("user")], "csrfmiddlewaretoken": csrf_of(browser), **values}
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


def test_no_spelling_of_a_path_is_let_through_beyond_a_limit(limited):
    limit(limited, user="carol", requests_per_minute="1")
    eventually(
        lambda: refused(limited, "carol") and refused(limited, "carol") and refused(limited, "carol"), "a refusal", 20
    )
    token = f"x-lunaroute-token: {limited.tokens['carol']}\r\n"

    def is_refused(target: str, header: str) -> bool:
        return ask(limited.server, target, header, "POST", b"{}").status == 429

    for target in (
        "/v1/%6dessages",
        "//v1/messages",
        "/v1/./messages",
        "/V1/messages",
        "/v1/messages#x",
        "/v1/messages;a",
    ):
        prefixed = f"/t/{limited.tokens['carol']}{target}"
        for address, header in ((target, token), (prefixed, "")):  # each process hears of the limit in a moment
            eventually(partial(is_refused, address, header), f"a refusal of {address}")
    for target in ("/v1%2fmessages", "/v1/%256dessages", "/v1/files#/../messages", "/v1/messages%00", "/v1/messages\\"):
        answer = ask(limited.server, target, token, "POST", b"{}")
        assert (answer.status, b"more than one way" in answer.body) == (400, True), target


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


def test_wrong_tokens_are_counted_over_all_processes_and_the_right_one_is_not_slowed(limited):
    for who in ("alice", "carol"):  # known from here; every process hears of it
        assert limited.get(who, "/sessions").status_code == 200
    url, seen = limited.server.url, []
    for number in range(30):
        wrong = f"lr_wrong-{number}"
        if number % 3 == 0:
            seen.append(httpx.post(f"{url}/t/{wrong}/v1/messages", content=b"{}", trust_env=False))
        elif number % 3 == 1:
            seen.append(httpx.post(f"{url}/v1/messages", headers={"x-lunaroute-token": wrong}, trust_env=False))
        else:
            seen.append(httpx.get(f"{url}/sessions", headers={"authorization": f"Bearer {wrong}"}, trust_env=False))
    assert [answer.status_code for answer in seen].count(401) < 2 * FAILURES, "each by itself would take five"
    assert {answer.status_code for answer in seen[-5:]} == {429}
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in seen[-5:])
    for _ in range(4):  # which process answers is chance
        assert limited.get("carol", "/sessions").status_code == 200

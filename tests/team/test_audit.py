"""What the audit log has: searches however they are written, lists of others' titles, what is refused, wrong tokens."""

from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from team.audit import action_of
from tests.support.live import open_socket
from tests.support.server import eventually
from tests.team.conftest import CONFIG, Team, answer, csrf_of, make_team

WORD = "quince"


@pytest.fixture(scope="module")
def _watched(provider, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("watched"), CONFIG, provider)
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


@pytest.fixture
def watched(_watched, upstream) -> Team:
    upstream.script(answer)
    return _watched


def entries(team: Team, where: str = "1 = 1") -> list[tuple]:
    return team.server.rows(f"SELECT user, action, target, status FROM team_audit WHERE {where} ORDER BY id")


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("/sessions", f"text_search={WORD}"), ("/sessions", f"%74ext_search={WORD}"), ("/sessions", f"text%5Fsearch={WORD}"),
        ("/sessions", f"days=1&text_search=&text_search={WORD}"), ("/sessions", "text_search="), ("/sessions", "text_search"),
        ("/ui/sessions", f"text_search={WORD}"), ("/ui/sessions", f"page=1&te%78t_search={WORD}"), ("/admin/record/session/", f"q={WORD}"),
        ("/admin/record/toolcall/", f"%71={WORD}"),
    ],
)  # fmt: skip
def test_a_search_is_on_the_log_however_it_is_written(watched, address, query):
    who = "carol" if address.startswith("/admin") else "alice"
    before = len(entries(watched, "action IN ('search', 'refused')"))
    watched.get(who, f"{address}?{query}")
    new = lambda: entries(watched, "action IN ('search', 'refused')")[before:]  # noqa: E731
    (found,) = eventually(new, "an entry")
    assert found[0] == who
    assert WORD not in str(entries(watched))


def test_what_is_looked_for_within_a_session_is_not_on_it(watched):
    watched.ask("alice", "something", "find-in")
    eventually(lambda: watched.get("alice", "/sessions/find-in").status_code == 200, "a session")
    watched.get("alice", f"/ui/sessions/find-in?find={WORD}&turn=1")
    assert ("alice", "read", "/ui/sessions/find-in?turn=1", 200) in entries(watched)


@pytest.mark.parametrize("address", ["/sessions", "/ui/sessions", "/ui/", "/sessions?page=1", "/ui/analytics"])
def test_lists_of_a_reader_are_on_it_and_nobody_elses(watched, address):
    path = address.partition("?")[0]
    watched.get("dora", address)
    watched.get("alice", address)
    assert ("dora", "list", address, 200) in entries(watched)
    assert not entries(watched, f"user = 'alice' AND action = 'list' AND target LIKE '{path}%'")


def test_what_is_refused_is_on_the_log(watched):
    watched.get("bob", "/ui/settings")
    watched.get("bob", "/ui/nothing-here")
    watched.get("", "/sessions")
    watched.get("bob", "/sessions", **{"sec-fetch-site": "cross-site", "origin": "https://evil.example"})
    with pytest.raises(InvalidStatus):
        open_socket(watched.server, "/ui/live").__enter__()
    for expected in (
        ("bob", "refused", "/ui/settings", 403), ("bob", "refused", "/ui/nothing-here", 404), ("", "refused", "/sessions", 401),
        ("", "refused", "/sessions", 403), ("", "refused", "/ui/live", 401),
    ):  # fmt: skip
        eventually(lambda expected=expected: expected in entries(watched), f"{expected}")


def test_wrong_tokens_are_on_the_log_without_themselves(watched):
    wrong = "lr_this-is-no-token-of-anybody"
    httpx.get(f"{watched.server.url}/sessions", headers={"authorization": f"Bearer {wrong}"}, trust_env=False)
    httpx.post(f"{watched.server.url}/v1/messages", json={}, headers={"x-lunaroute-token": wrong}, trust_env=False)
    httpx.post(f"{watched.server.url}/t/{wrong}/v1/responses", json={}, trust_env=False)
    with pytest.raises(InvalidStatus):
        open_socket(watched.server, "/ui/live", additional_headers={"Authorization": f"Bearer {wrong}"}).__enter__()
    for target in ("/sessions", "/v1/messages", "/v1/responses", "/ui/live"):
        eventually(lambda target=target: ("", "token", target, 401) in entries(watched), f"an entry of {target}")
    assert "no-token-of-anybody" not in str(entries(watched)) + watched.server.output()


@pytest.mark.parametrize(
    ("method", "path", "names", "action"),
    [
        ("GET", "/sessions", {"q"}, "search"), ("POST", "/sessions", {"text_search"}, "change"), ("GET", "/sessions/x", {"find"}, "read"),
        ("HEAD", "/ui/sessions/x", set(), "read"), ("GET", "/sessions/x/export", set(), "export"), ("DELETE", "/sessions/x", set(), "delete"),
        ("GET", "/ui/images/ab/openai/0", set(), "read"), ("GET", "/admin/record/session/1/change/", set(), "read"),
        ("GET", "/api/stats/overview", set(), ""), ("POST", "/login", set(), "login"), ("GET", "/login", set(), ""),
        ("GET", "/admin/record/session/1\n/change/", set(), "read"), ("GET", "/sessions/x/\n", set(), "read"),
        ("GET", "/sessions/x\n/export", set(), "export"), ("GET", "/ui/images/ab\n/openai/0", set(), "read"),
        ("GET", "/owner/x\n", set(), "login"), ("POST", "/login/\nx", set(), "login"),
    ],
)  # fmt: skip
def test_each_request_has_its_name(method, path, names, action):
    assert action_of(method, path, names) == action


# The last one: whoever has guessed so often waits, with whatever they send.
def test_who_guesses_is_on_it_and_so_is_that_they_wait(watched):
    with httpx.Client(base_url=watched.server.url, trust_env=False) as browser:
        browser.get("/login")
        form = {"username": "alice", "password": "wrong", "csrfmiddlewaretoken": csrf_of(browser)}
        statuses = {browser.post("/login", data=form).status_code for _ in range(7)}
        browser.post("/login", data={**form, "username": "lr_a-token-where-a-name-belongs"})
    assert statuses == {401, 429}
    assert ("alice", "login", "/login", 401) in entries(watched)
    eventually(lambda: entries(watched, "status = 429"), "that somebody has to wait")
    assert "where-a-name-belongs" not in str(entries(watched))

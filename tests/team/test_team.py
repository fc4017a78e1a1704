"""Everybody sees their own sessions, those of their projects, and nothing else: by every way in that there is."""

import json
import re
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import zygote
from tests.support.live import open_socket
from tests.support.server import environment, eventually
from tests.team.conftest import ANSWER, Team, csrf_of

SECRETS = {"alice": "walnut-tree", "bob": "pepper-mill"}


@pytest.fixture
def record(team: Team) -> Team:
    """A session of alice's, one of bob's, and one of alice's in the project that both share."""
    if not team.server.rows("SELECT 1 FROM sessions WHERE session_id = 'shared-1'"):
        for who, secret in SECRETS.items():
            assert team.ask(who, f"my {secret}", f"{who}-1").json() == ANSWER
        team.ask("alice", "for all of us: maple-syrup", "shared-1", **{"x-project-id": "shared"})
        eventually(lambda: len(team.get("dora", "/sessions?text_search=my").json()) == 2, "an index")
    return team


def ids(response: httpx.Response) -> set[str]:
    return {session["session_id"] for session in response.json()}


# -- the proxy ----------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_goes_to_a_provider(team, upstream):
    body = b'{"model":"m","messages":[]}'
    for headers in ({}, {"x-lunaroute-token": "lr_wrong"}, {"x-lunaroute-token": "\xff" * 9}):
        for path in ("/v1/messages", "/v1/responses", "/v1/models", "/anything"):
            got = httpx.post(
                team.server.url + path,
                content=body,
                headers={k: v.encode("latin-1") for k, v in headers.items()},
                trust_env=False,
            )
            assert got.status_code == 401, (path, headers)
            assert got.headers["x-lunaroute-error"] == "1"
    assert httpx.post(f"{team.server.url}/t/lr_wrong/v1/messages", content=body, trust_env=False).status_code == 401
    assert upstream.requests == []


def test_a_token_in_the_path_or_a_header_lets_in_and_goes_nowhere(team, upstream):
    for prefix in (True, False):
        assert team.ask("alice", "hello", f"prefix-{prefix}", prefix).json() == ANSWER
    token = team.tokens["alice"].encode()
    for received in upstream.requests:
        assert received.target == b"/v1/messages"
        assert token not in b"".join(name + value for name, value in received.headers)
    eventually(
        lambda: len(team.server.rows("SELECT 1 FROM sessions WHERE session_id LIKE 'prefix-%'")) == 2, "a record"
    )
    kept = [path for path in team.server.home.rglob("*") if path.is_file() and token in path.read_bytes()]
    assert kept == []
    assert token.decode() not in team.server.output()


def test_a_revoked_token_is_one_no_more_at_once(team):
    with team.browser("bob") as browser:
        page = browser.post("/ui/account", data={"name": "old laptop", **_csrf(browser)}).text
        token = re.search(r"lr_[\w-]+", page)[0]
        ask = {"json": {"model": "m", "messages": []}, "headers": {"x-lunaroute-token": token}, "trust_env": False}
        assert httpx.post(f"{team.server.url}/v1/messages", **ask).status_code == 200
        with httpx.Client(base_url=team.server.url, headers={"accept": "text/html"}, trust_env=False) as other:
            other.get("/login")
            assert other.post("/login", data={"username": "", "password": token, **_csrf(other)}).status_code == 302
            assert other.get("/ui/account").status_code == 200
            signed_in = dict(other.cookies)
        revoke = re.search(r"/ui/account/tokens/\d+/revoke(?=\"[^>]*>(?:(?!/tr>).)*old laptop)", page, re.DOTALL)[0]
        assert browser.post(revoke, data=_csrf(browser)).status_code == 302
    assert httpx.post(f"{team.server.url}/v1/messages", **ask).status_code == 401
    # Nor is a browser signed in any more that it had signed in.
    with httpx.Client(base_url=team.server.url, cookies=signed_in, trust_env=False) as other:
        assert other.get("/ui/account").status_code in (302, 401)
        assert other.get("/sessions").status_code == 401
    assert (
        httpx.get(
            f"{team.server.url}/sessions", headers={"authorization": f"Bearer {token}"}, trust_env=False
        ).status_code
        == 401
    )


def test_nobody_revokes_the_token_of_another(team):
    (pk,) = team.server.rows(
        "SELECT t.id FROM team_tokens t JOIN auth_user u ON u.id = t.user_id WHERE u.username = 'alice'"
    )[0]
    with team.browser("bob") as browser:
        assert browser.post(f"/ui/account/tokens/{pk}/revoke", data=_csrf(browser)).status_code == 404
    assert team.get("alice", "/sessions").status_code == 200


def test_an_id_of_somebody_elses_session_opens_no_way_into_it(record):
    team = record
    before = team.get("alice", "/sessions/alice-1").json()["requests"]
    team.ask("bob", "I say that I am alice-1", "alice-1")
    mine = eventually(
        lambda: [s for s in team.get("bob", "/sessions").json() if "I say that" in s["title"]], "bob's session"
    )
    assert mine[0]["session_id"] != "alice-1"
    assert team.get("alice", "/sessions/alice-1").json()["requests"] == before
    # And what bob goes on with in "his" session stays one session.
    team.ask("bob", "and again", "alice-1")
    eventually(
        lambda: team.get("bob", f"/sessions/{mine[0]['session_id']}").json()["requests"] == 2, "a second request"
    )


# -- reading ------------------------------------------------------------------------------------------------------


def test_lists_have_what_one_may_see(record):
    assert {"alice-1", "shared-1"} <= ids(record.get("alice", "/sessions"))
    assert "bob-1" not in ids(record.get("alice", "/sessions"))
    assert {"bob-1", "shared-1"} <= ids(record.get("bob", "/sessions"))
    assert "alice-1" not in ids(record.get("bob", "/sessions"))
    assert {"alice-1", "bob-1", "shared-1"} <= ids(record.get("dora", "/sessions"))
    assert ids(record.get("carol", "/sessions")) == set(), "who administers need not read"
    assert ids(record.get("dora", "/sessions?owner=bob")) >= {"bob-1"}
    assert not ids(record.get("dora", "/sessions?owner=bob")) & {"alice-1", "shared-1"}


def test_search_finds_only_that(record):
    for who, other in (("alice", "bob"), ("bob", "alice")):
        assert ids(record.get(who, f"/sessions?text_search={SECRETS[who]}")) == {f"{who}-1"}
        assert ids(record.get(who, f"/sessions?text_search={SECRETS[other]}")) == set()
        assert SECRETS[other] not in record.get(who, f"/ui/sessions?text_search={SECRETS[other]}").text.replace(
            f'value="{SECRETS[other]}"', ""
        )


def every_address(request_id: str, session: str) -> list[str]:
    """All addresses at which something of a session can be read."""
    exchange = f"/sessions/{session}/exchanges/{request_id}"
    return [
        f"/sessions/{session}", f"/sessions/{session}/exchanges", exchange, f"{exchange}/raw", f"{exchange}/raw?part=response",
        f"/sessions/{session}/tools", *(f"/sessions/{session}/export?format={f}" for f in ("jsonl", "json", "markdown", "html", "csv")),
        f"/ui/sessions/{session}", f"/ui/sessions/{session}/outline", f"/ui/sessions/{session}/chart",
        f"/ui{exchange}", f"/ui/sessions/{session}/diff?a={request_id}&b={request_id}",
    ]  # fmt: skip


def test_no_address_of_a_session_shows_it_to_another(record):
    ((request_id,),) = record.server.rows(
        "SELECT request_id FROM exchanges e JOIN sessions s ON s.id = e.session_id WHERE s.session_id = 'alice-1'"
    )
    for address in every_address(request_id, "alice-1"):
        assert record.get("alice", address).status_code == 200, address
        for who in ("bob", "carol"):
            got = record.get(who, address)
            assert got.status_code == 404, (who, address)
            assert SECRETS["alice"] not in got.text
        assert record.get("", address).status_code == 401, address


def test_all_addresses_of_the_api_are_looked_at_here(record):
    """A new address under a session has to be in the list above."""
    known = {address.partition("?")[0] for address in every_address("{request_id}", "{session_id}")}
    described = record.get("alice", "/api/openapi.json").json()["paths"]
    of_sessions = {path for path, of in described.items() if path.startswith("/sessions/{") and "get" in of}
    assert of_sessions - known == set()


def test_figures_count_what_one_may_see(record):
    def requests(who: str) -> int:
        return record.get(who, "/api/stats/overview").json()["sums"]["requests"]

    own = "SELECT COUNT(*) FROM exchanges e JOIN sessions s ON s.id = e.session_id WHERE s.owner = ? OR s.project = 'shared'"
    assert requests("carol") == 0
    assert requests("alice") == record.server.rows(own, "alice")[0][0]
    assert requests("bob") == record.server.rows(own, "bob")[0][0]
    assert requests("dora") == record.server.rows("SELECT COUNT(*) FROM exchanges")[0][0]
    for address in ("tokens", "tools", "costs", "models", "hours", "spending"):
        assert record.get("carol", f"/api/stats/{address}").status_code == 200, address
    for page in ("/ui/", "/ui/analytics"):
        assert SECRETS["alice"] not in record.get("bob", page).text
        assert SECRETS["alice"] in record.get("alice", "/ui/").text


def test_live_pages_are_for_who_may_see_the_session(record):
    def socket(who: str, path: str) -> list[dict]:
        headers = {"Authorization": f"Bearer {record.tokens[who]}"} if who else {}
        found = []
        with open_socket(record.server, path, additional_headers=headers) as it:
            it.send(json.dumps({"have": {}}))
            while True:
                message = json.loads(it.recv(timeout=10))
                if message.get("ready"):
                    return found
                found.append(message)

    with pytest.raises(InvalidStatus):
        socket("", "/ui/live")
    assert SECRETS["alice"] in json.dumps(socket("alice", "/ui/live/sessions/alice-1"))
    with pytest.raises(Exception, match="4404"):
        socket("bob", "/ui/live/sessions/alice-1")
    seen = "SELECT user, action, status FROM team_audit WHERE target = '/ui/live/sessions/alice-1'"
    assert {("alice", "read", 101), ("bob", "read", 101)} <= set(record.server.rows(seen)), "following is reading"
    assert SECRETS["alice"] in json.dumps(socket("alice", "/ui/live"))
    assert SECRETS["alice"] not in json.dumps(socket("bob", "/ui/live"))


def test_the_admins_pages_of_the_record_are_empty_for_who_may_not_read(record):
    with record.browser("carol") as browser:
        for kind in ("session", "exchange", "toolcall"):
            page = browser.get(f"/admin/record/{kind}/")
            assert page.status_code == 200
            assert "alice" not in page.text
        (pk,) = record.server.rows("SELECT id FROM sessions WHERE session_id = 'alice-1'")[0]
        assert SECRETS["alice"] not in browser.get(f"/admin/record/session/{pk}/change/", follow_redirects=True).text


# -- administering ------------------------------------------------------------------------------------------------

STAFF = (
    "/admin/", "/metrics", "/ui/routing", "/ui/settings", "/ui/store", "/ui/notices", "/ui/pii/", "/api/providers", "/api/rules",
    "/api/retention", "/api/budgets", "/api/quotas",
)  # fmt: skip


@pytest.mark.parametrize("address", STAFF)
def test_what_administers_is_for_administrators(team, address):
    assert team.get("bob", address).status_code == 403
    assert team.get("", address).status_code == 401
    assert team.get("carol", address).status_code in (200, 302)


def test_every_own_address_is_known_to_be_for_all_or_for_administrators(team):
    """A new page or address of the API has to be in one of these lists."""
    from django.urls import get_resolver

    for_all = (
        "sessions",
        "ui/sessions",
        "ui/analytics",
        "ui/images",
        "ui/account",
        "api/stats",
        "api/docs",
        "api/openapi.json",
    )
    is_open = ("healthz", "readyz", "login", "logout", "owner/")
    unknown = []
    for pattern in _patterns(get_resolver().url_patterns):
        path = re.sub(r"\(\?P.*|<.*", "", pattern.lstrip("^"))
        staff = any(f"/{path}".startswith(address.rstrip("/")) for address in STAFF)
        if path not in ("", "ui", "ui/") and not staff and not path.startswith(for_all + is_open):
            unknown.append(pattern)
    assert unknown == []


def _patterns(patterns, before: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        here = before + str(pattern.pattern)
        found += _patterns(pattern.url_patterns, here) if hasattr(pattern, "url_patterns") else [here]
    return found


def test_only_who_owns_a_session_deletes_it(record):
    record.ask("alice", "to be deleted", "shared-2", **{"x-project-id": "shared"})
    eventually(lambda: record.get("bob", "/sessions/shared-2").status_code == 200, "a session")
    delete = lambda who: httpx.delete(  # noqa: E731
        f"{record.server.url}/sessions/shared-2",
        headers={"authorization": f"Bearer {record.tokens[who]}"},
        trust_env=False,
    )
    assert delete("bob").status_code == 403
    assert delete("carol").status_code == 404
    eventually(lambda: delete("alice").status_code == 204, "its end")


# -- signing in ---------------------------------------------------------------------------------------------------


def _csrf(browser: httpx.Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": csrf_of(browser)}


def test_a_browser_signs_in_and_out(team):
    with team.browser("alice") as browser:
        assert browser.get("/ui/sessions").status_code == 200
        assert "Routing" not in browser.get("/ui/").text
        assert browser.get("/ui/account").status_code == 200
        assert browser.post("/logout", data=_csrf(browser)).headers["location"] == "/login"
        assert browser.get("/ui/sessions").headers["location"] == "/login?next=%2Fui%2Fsessions"


def test_a_token_signs_a_browser_in_too_and_next_stays_here(team):
    with httpx.Client(base_url=team.server.url, headers={"accept": "text/html"}, trust_env=False) as browser:
        browser.get("/login")
        form = {"username": "", "password": team.tokens["alice"], **_csrf(browser)}
        done = browser.post("/login?next=//evil.example/", data=form)
        assert (done.status_code, done.headers["location"]) == (302, "/ui/")
        assert browser.get("/ui/account").status_code == 200


def test_who_is_disabled_is_out_at_once(team):
    from tests.site.test_commands import run

    with team.browser("bob") as browser:
        home = team.server.home.parent
        config = {"LUNAROUTE_CONFIG": str(home / "team.yaml")}
        assert run(home, "users", "disable", "bob", **config).returncode == 0
        try:
            assert browser.get("/ui/sessions").status_code == 302
            assert team.get("bob", "/sessions").status_code == 401
            assert team.ask("bob", "hello", "bob-2").status_code == 401
        finally:
            assert run(home, "users", "enable", "bob", **config).returncode == 0
    assert team.ask("bob", "hello", "bob-2").status_code == 200


# -- the audit log ------------------------------------------------------------------------------------------------


def test_reads_searches_exports_deletions_and_changes_are_on_the_audit_log(record):
    record.get("dora", "/ui/sessions/alice-1")
    record.get("dora", "/sessions?text_search=walnut")
    record.get("dora", "/sessions/alice-1/export?format=json")
    record.get("bob", "/sessions/alice-1")
    httpx.delete(
        f"{record.server.url}/sessions/none",
        headers={"authorization": f"Bearer {record.tokens['bob']}"},
        trust_env=False,
    )
    with record.browser("alice") as browser:
        browser.post("/ui/account", data={"name": "for the log", **_csrf(browser)})
    found = record.server.rows("SELECT user, action, target, status FROM team_audit")
    assert ("dora", "read", "/ui/sessions/alice-1", 200) in found
    assert ("dora", "search", "/sessions", 200) in found, "without what was searched for"
    assert ("dora", "export", "/sessions/alice-1/export?format=json", 200) in found
    assert ("bob", "read", "/sessions/alice-1", 404) in found, "an attempt, too"
    assert ("bob", "delete", "/sessions/none", 404) in found
    assert ("alice", "change", "/ui/account", 200) in found
    assert ("alice", "login", "/login", 302) in found
    assert not any("walnut" in str(row) for row in found)
    with record.browser("carol") as browser:
        assert "alice-1/export" in browser.get("/admin/team/auditentry/").text


def test_a_page_that_is_open_follows_no_longer_than_its_user_may(team):
    environ = environment(team.server.home.parent, LUNAROUTE_CONFIG=str(team.server.home.parent / "team.yaml"))

    def users(command: str) -> str:
        done = zygote.run("lunaroute_site.cli", ["users", *command.split()], environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    users("add gus")
    headers = {"Authorization": f"Bearer {users('token gus')}"}
    with open_socket(team.server, "/ui/live", additional_headers=headers) as following:
        following.send(json.dumps({"have": {}}))
        while not json.loads(following.recv(timeout=10)).get("ready"):
            pass

        def told(words: str) -> bool:
            """Make a session of the project change, and see whether gus is told of it or cut off."""
            assert team.ask("alice", words, "told-live", **{"x-project-id": "told"}).status_code == 200
            with suppress(TimeoutError):
                return "told-live" in following.recv(timeout=0.2)
            return False

        assert not told("not for gus")
        users("share told alice gus")
        eventually(lambda: told("for gus"), "gus is told of a project that is shared with him", 30)
        users("disable gus")

        def tell_nothing() -> None:
            assert not told("not any more"), "what came when the user was disabled was told"

        with pytest.raises(ConnectionClosed, match="4401"):
            eventually(tell_nothing, "the end", 30)

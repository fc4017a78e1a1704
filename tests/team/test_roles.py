"""An administrator keeps users, and reads nothing by it: each attempt ends as a user's own page, or as a refusal."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import eventually
from tests.team.conftest import CONFIG, Team, answer, csrf_of, make_team
from tests.team.test_docs import shell

SECRET = "larch-cabinet"


@pytest.fixture(scope="module")
def _roles(provider, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("roles"), CONFIG.replace("[dora]", "[dora, reader-to-come]"), provider)
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


@pytest.fixture
def roles(_roles, upstream) -> Team:
    """Alice has a session of her own, and one in the project that she shares with bob."""
    upstream.script(answer)
    if not _roles.server.rows("SELECT 1 FROM sessions WHERE session_id = 'mine'"):
        _roles.ask("alice", f"my {SECRET}", "mine")
        _roles.ask("alice", f"our {SECRET}", "ours", **{"x-project-id": "shared"})
        eventually(lambda: len(_roles.get("dora", "/sessions").json()) == 2, "both sessions")
    return _roles


def csrf(browser: httpx.Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": csrf_of(browser)}


def pk_of(team: Team, table: str, column: str, value: str) -> int:
    return team.server.rows(f"SELECT id FROM {table} WHERE {column} = ?", value)[0][0]


def sees(team: Team, who: str) -> bool:
    with team.browser(who) as browser:
        pages = [browser.get(path).text for path in ("/ui/sessions", "/ui/sessions/mine", "/ui/sessions/ours", "/ui/")]
    return any(SECRET in page for page in pages)


def audited(team: Team, action: str) -> list[tuple]:
    return team.server.rows("SELECT user, subject, target FROM team_audit WHERE action = ? ORDER BY id", action)


def test_no_token_is_made_for_another(roles):
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        form = {"user": pk_of(roles, "auth_user", "username", "alice"), "name": "x", **csrf(browser)}
        answer = browser.post("/admin/team/token/add/", data=form, follow_redirects=True)
        assert answer.status_code == 403
        assert "lr_" not in answer.text


def test_no_password_of_another_is_set(roles):
    pk = pk_of(roles, "auth_user", "username", "alice")
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        new = {"password1": "taken-over-9", "password2": "taken-over-9", "usable_password": "true", **csrf(browser)}
        assert browser.get(f"/admin/auth/user/{pk}/password/").status_code == 403
        assert browser.post(f"/admin/auth/user/{pk}/password/", data=new).status_code == 403
        change = {"username": "alice", "password": "pbkdf2_sha256$1$a$b", "is_active": "on", **csrf(browser)}
        browser.post(f"/admin/auth/user/{pk}/change/", data=change)
    with roles.browser("alice") as browser:
        assert browser.get("/ui/sessions/mine").status_code == 200


@pytest.mark.parametrize("name", ["alice", "former", "reader-to-come", "dora", "Alice"])
def test_no_user_is_made_whose_name_opens_something(roles, name):
    if name == "former" and not roles.server.rows("SELECT 1 FROM sessions WHERE owner = 'former'"):
        home = roles.server.home.parent
        config = {"LUNAROUTE_CONFIG": str(home / "team.yaml")}
        token = shell(
            home, "lunaroute-server users add former; lunaroute-server users token former", **config
        ).stdout.split()[-1]
        roles.tokens["former"] = token
        roles.ask("former", "left behind", "left-behind")
        eventually(lambda: roles.server.rows("SELECT 1 FROM sessions WHERE owner = 'former'"), "a session")
        with roles.browser("carol") as browser:
            browser.get("/admin/")
            pk = pk_of(roles, "auth_user", "username", "former")
            assert (
                browser.post(f"/admin/auth/user/{pk}/delete/", data={"post": "yes", **csrf(browser)}).status_code == 302
            )
        assert not roles.server.rows("SELECT 1 FROM auth_user WHERE username = 'former'")
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        form = {"username": name, "usable_password": "true", "password1": "a-first-one-9", "password2": "a-first-one-9"}
        answer = browser.post("/admin/auth/user/add/", data={**form, **csrf(browser)})
        assert answer.status_code == 200, "the form was taken"


def test_nobody_is_renamed(roles):
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        for before, after in (("carol", "dora2"), ("bob", "reader-to-come"), ("carol", "former")):
            pk = pk_of(roles, "auth_user", "username", before)
            form = {"username": after, "is_active": "on", "is_staff": "on", "is_superuser": "on", **csrf(browser)}
            if before == "bob":
                form.pop("is_staff"), form.pop("is_superuser")
            browser.post(f"/admin/auth/user/{pk}/change/", data=form)
            assert not roles.server.rows("SELECT 1 FROM auth_user WHERE username = ?", after)


def test_a_first_password_lets_in_to_be_changed_and_to_nothing_else(roles):
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        form = {
            "username": "newcomer",
            "usable_password": "true",
            "password1": "newcomer-password",
            "password2": "newcomer-password",
        }
        assert browser.post("/admin/auth/user/add/", data={**form, **csrf(browser)}).status_code == 302
    with roles.browser("newcomer") as browser:
        for path in ("/ui/", "/ui/sessions", "/ui/account", "/api/docs"):
            assert browser.get(path).headers["location"] == "/ui/account/password", path
        assert browser.get("/sessions", headers={"accept": "application/json"}).status_code == 403
        assert browser.post("/ui/account", data={"name": "x", **csrf(browser)}).status_code == 403, "no token either"
        browser.get("/ui/account/password")
        own = {
            "old_password": "newcomer-password",
            "new_password1": "my-own-secret-9",
            "new_password2": "my-own-secret-9",
        }
        assert browser.post("/ui/account/password", data={**own, **csrf(browser)}).headers["location"] == "/ui/account"
        page = browser.get("/ui/account").text
        assert "first password" in page, "they are told who set it"
        assert "carol" in page
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        pk = pk_of(roles, "auth_user", "username", "newcomer")
        assert browser.get(f"/admin/auth/user/{pk}/password/").status_code == 403, "not once more"
    assert ("carol", "newcomer", "user newcomer: first password") in audited(roles, "credential")


def test_no_member_is_added_to_a_project_with_sessions_without_a_members_consent(roles):
    pk, carol = pk_of(roles, "team_projects", "name", "shared"), pk_of(roles, "auth_user", "username", "carol")
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        for field in ("members", "invite"):
            browser.post(f"/admin/team/project/{pk}/change/", data={"name": "shared", field: [carol], **csrf(browser)})
        assert not sees(roles, "carol")
        page = browser.get("/ui/account").text
        accept = re.search(r"/ui/account/invitations/\d+", page)[0]
        assert browser.post(accept, data={"answer": "accept", **csrf(browser)}).status_code == 302
        number = accept.rpartition("/")[2]
        assert (
            browser.post(f"/ui/account/decisions/{number}", data={"answer": "accept", **csrf(browser)}).status_code
            == 404
        )
    assert not sees(roles, "carol"), "she has accepted, and nobody inside has agreed"
    with roles.browser("bob") as browser:
        assert "Others did something that concerns you" in browser.get("/ui/sessions").text, "bob is told"
        page = browser.get("/ui/account").text
        assert "project shared: carol invited" in page
        decide = re.search(r"/ui/account/decisions/\d+", page)[0]
        assert browser.post(decide, data={"answer": "accept", **csrf(browser)}).status_code == 302
    assert sees(roles, "carol")
    assert ("bob", "alice", "project shared: carol is a member") in audited(roles, "member"), "alice is told of it"
    with roles.browser("bob") as browser:
        browser.get("/ui/account")
    with roles.browser("carol") as browser:
        browser.get("/ui/account")
        leave = {**csrf(browser)}
        assert browser.post(f"/ui/account/projects/{pk}/leave", data=leave).status_code == 302
    assert not sees(roles, "carol")


def test_nobody_is_a_member_without_accepting_and_a_project_keeps_its_name(roles):
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        people = [pk_of(roles, "auth_user", "username", name) for name in ("carol", "alice")]
        form = {"name": "trap", "members": people, "invite": people, **csrf(browser)}
        assert browser.post("/admin/team/project/add/", data=form).status_code == 302
        pk = pk_of(roles, "team_projects", "name", "trap")
        page = browser.get("/ui/account").text
        accept = re.search(r"/ui/account/invitations/\d+(?=\">(?:(?!</form>).)*trap)", page, re.DOTALL)[0]
        browser.post(accept, data={"answer": "accept", **csrf(browser)})
    roles.ask("alice", f"named it: {SECRET}", "trapped", **{"x-project-id": "trap"})
    eventually(lambda: roles.get("alice", "/sessions/trapped").status_code == 200, "a session")
    assert not roles.get("alice", "/sessions/trapped").json()["metadata"].get("project")
    assert roles.get("carol", "/sessions/trapped").status_code == 404
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        browser.post(f"/admin/team/project/{pk}/change/", data={"name": "shared2", **csrf(browser)})
    assert roles.server.rows("SELECT name FROM team_projects WHERE id = ?", pk) == [("trap",)]


def test_roles_change_for_all_to_see(roles):
    pk = pk_of(roles, "auth_user", "username", "bob")
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        browser.post(
            f"/admin/auth/user/{pk}/change/",
            data={"is_active": "on", "is_staff": "on", "is_superuser": "on", **csrf(browser)},
        )
    assert roles.get("bob", "/sessions/mine").status_code == 404, "to administer is not to read"
    assert any(row[:2] == ("carol", "bob") for row in audited(roles, "role"))
    with roles.browser("bob") as browser:
        assert "staff" in browser.get("/ui/account").text
    with roles.browser("carol") as browser:
        browser.get("/admin/")
        browser.post(f"/admin/auth/user/{pk}/change/", data={"is_active": "on", **csrf(browser)})


def test_pages_of_the_store_name_no_title_of_others(roles):
    for path in ("/ui/store", "/api/retention", "/ui/notices", "/ui/settings", "/admin/", "/metrics"):
        assert SECRET not in roles.get("carol", path).text


def test_who_reads_everything_is_seen_reading(roles):
    roles.get("dora", "/sessions/mine")
    roles.get("dora", "/sessions/mine/export?format=json")
    with roles.browser("alice") as browser:
        assert "Others did something that concerns you" in browser.get("/ui/sessions").text
        page = browser.get("/ui/account").text
        assert "dora" in page
        assert "/sessions/mine/export" in page
        assert '<p class="concerns"' not in browser.get("/ui/sessions").text, "once she has looked"
    assert ("dora", "alice", "/sessions/mine") in audited(roles, "read")


def test_the_command_line_sets_a_password_and_says_so(roles):
    home = roles.server.home.parent
    config = {"LUNAROUTE_CONFIG": str(home / "team.yaml")}
    done = shell(home, "lunaroute-server users password bob <<<another-bob-9", **config)
    assert done.returncode == 0, done.stderr
    try:
        assert ("(command line)", "bob", "user bob: password") in audited(roles, "credential")
    finally:
        shell(home, "lunaroute-server users password bob <<<bob-password", **config)
    with roles.browser("bob") as browser:
        assert "user bob: password" in browser.get("/ui/account").text

"""A project is its members', whatever a client names."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import eventually
from tests.team.conftest import ANSWER, CONFIG, Team, answer, make_team
from tests.team.test_docs import shell
from tests.team.test_team import _csrf

BUDGET = """budgets:
  - {name: small, scope: project, value: shared, limit_usd: 0.0001, refuse: true}
"""


@pytest.fixture(scope="module")
def _projects(provider, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("projects"), CONFIG + BUDGET, provider)
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


@pytest.fixture
def projects(_projects, upstream) -> Team:
    upstream.script(answer)
    return _projects


def shown(team: Team, who: str, session: str) -> dict:
    eventually(lambda: team.get(who, f"/sessions/{session}").status_code == 200, "the session")
    return team.get(who, f"/sessions/{session}").json()


@pytest.mark.parametrize("header", ["x-project-id", "X-Session-Context", "X-PROJECT-ID"])
def test_who_is_no_member_puts_no_session_among_a_projects(projects, header):
    session = f"intruder-{header.lower()}-{header.isupper()}"
    assert projects.ask("dora", "planted", session, **{header: "shared"}).status_code == 200
    assert not shown(projects, "dora", session)["metadata"].get("project")
    assert projects.get("alice", f"/sessions/{session}").status_code == 404
    (kept,) = projects.server.rows(
        "SELECT e.project, e.metadata FROM exchanges e JOIN sessions s ON s.id = e.session_id WHERE s.session_id = ?",
        session,
    )
    assert kept[0] == ""
    assert "project_not_taken" in kept[1]


def test_a_membership_counts_from_the_next_request(projects):
    home = projects.server.home.parent
    projects.ask("bob", "before", "later-member", **{"x-project-id": "late"})
    assert not shown(projects, "bob", "later-member")["metadata"].get("project")
    shell(home, "lunaroute-server users share late bob alice", LUNAROUTE_CONFIG=str(home / "team.yaml"))

    def joined() -> bool:
        projects.ask("bob", "after", "later-member", **{"x-project-id": "late"})
        return projects.get("alice", "/sessions/later-member").status_code == 200

    eventually(joined, "bob's session among the project's")


def test_a_projects_budget_is_not_avoided_by_naming_another(projects):
    spend = {"x-project-id": "shared"}
    answered = []

    def is_used_up() -> bool:
        answered.append(projects.ask("alice", "spend", "spender", **spend).status_code)
        return answered[-1] == 429

    eventually(is_used_up, "the budget's end", 30)
    before = [(answered.count(200),)]
    count = "SELECT COUNT(*) FROM exchanges WHERE project = 'shared' AND success = 1"
    eventually(lambda: projects.server.rows(count) == before, "what was answered on record")
    # Another project, named within the same session, is spent on as one's own: nothing of it is the budget's.
    assert projects.ask("alice", "other", "spender", **{"x-project-id": "not-mine"}).json() == ANSWER
    assert projects.ask("dora", "not a member", "of-dora", **spend).json() == ANSWER, (
        "nor does it stop who is no member"
    )
    eventually(
        lambda: projects.server.rows("SELECT 1 FROM exchanges WHERE metadata LIKE '%not-mine%' AND success = 1"),
        "a record",
    )
    assert projects.server.rows(count) == before
    assert projects.ask("alice", "spend", "spender", **spend).status_code == 429


def test_nobody_takes_away_the_star_of_another(projects):
    home = projects.server.home.parent
    shell(home, "lunaroute-server users share starry bob alice", LUNAROUTE_CONFIG=str(home / "team.yaml"))

    def shared() -> bool:
        projects.ask("alice", "to be kept", "starred", **{"x-project-id": "starry"})
        return projects.get("bob", "/sessions/starred").status_code == 200

    eventually(shared, "a shared session")

    def pin(who: str, method: str) -> None:
        headers = {"authorization": f"Bearer {projects.tokens[who]}"}
        assert (
            httpx.request(
                method, f"{projects.server.url}/sessions/starred/pin", headers=headers, trust_env=False
            ).status_code
            == 204
        )

    pin("alice", "PUT")
    assert [projects.get(who, "/sessions/starred").json()["pinned"] for who in ("alice", "bob")] == [True, False]
    pin("bob", "DELETE")
    with projects.browser("bob") as browser:
        browser.get("/ui/sessions/starred")
        browser.post("/ui/sessions/starred/pin", data={"pinned": "false", **_csrf(browser)})
    assert projects.get("alice", "/sessions/starred").json()["pinned"] is True
    assert [s["session_id"] for s in projects.get("alice", "/sessions?pinned=true").json()] == ["starred"]
    assert projects.get("bob", "/sessions?pinned=true").json() == []
    assert projects.server.rows("SELECT pinned FROM sessions WHERE session_id = 'starred'") == [(1,)], (
        "kept by retention"
    )
    pin("alice", "DELETE")
    assert projects.server.rows("SELECT pinned FROM sessions WHERE session_id = 'starred'") == [(0,)]

"""An id of a session that another user can guess stands in nobody's way."""

import sqlite3
from uuid import NAMESPACE_URL, uuid5

from tests.support.server import eventually
from tests.team.conftest import Team


def titles(team: Team, who: str) -> set[str]:
    return {session["title"] for session in team.get(who, "/sessions").json()}


def recorded(team: Team, who: str, title: str) -> None:
    eventually(lambda: title in titles(team, who), f"{title!r} on record")


def former(owner: str, session_id: str) -> str:
    """The id that earlier versions gave, as anybody can work it out."""
    return str(uuid5(NAMESPACE_URL, f"lunaroute:{len(owner)}:{owner}:{session_id}"))


def test_the_id_that_somebody_comes_to_have_is_nobody_elses_to_take(team):
    team.ask("bob", "taken by bob", "taken")
    recorded(team, "bob", "taken by bob")
    own = f"lunaroute-{former('alice', 'taken')}"
    team.ask("bob", "taken beforehand", own)
    recorded(team, "bob", "taken beforehand")
    team.ask("alice", "alice comes", "taken")
    recorded(team, "alice", "alice comes")
    (found,) = [s for s in team.get("alice", "/sessions").json() if s["title"] == "alice comes"]
    assert found["session_id"] == own
    assert team.get("bob", f"/sessions/{own}").status_code == 404
    team.ask("alice", "by its own id", own)
    eventually(lambda: team.get("alice", f"/sessions/{own}").json()["requests"] == 2, "the same session by its own id")


def test_a_session_of_an_earlier_version_goes_on(team):
    before = former("alice", "of-bob")
    team.ask("bob", "bob's own", "of-bob")
    team.ask("alice", "from before", before)
    recorded(team, "bob", "bob's own")
    recorded(team, "alice", "from before")
    team.ask("alice", "from now", "of-bob")
    eventually(lambda: team.get("alice", f"/sessions/{before}").json()["requests"] == 2, "it goes on")


def test_1100_chained_ids_of_anothers_end_no_recording(team):
    team.ask("bob", "first of the chain", "guessable")
    recorded(team, "bob", "first of the chain")
    database = sqlite3.connect(team.server.home / "db.sqlite3", timeout=20)
    columns = [row[1] for row in database.execute("PRAGMA table_info(sessions)") if row[1] not in ("id", "session_id")]
    names, chained = ", ".join(f'"{name}"' for name in columns), "guessable"
    with database:
        for _ in range(1100):
            chained = former("alice", chained)
            database.execute(
                f"INSERT INTO sessions (session_id, {names}) SELECT ?, {names} FROM sessions WHERE session_id = 'guessable'",
                [chained],
            )
    assert team.ask("alice", "mine all the same", "guessable").status_code == 200
    recorded(team, "alice", "mine all the same")
    assert team.ask("alice", "goes on", "guessable").status_code == 200
    (own,) = [s for s in team.get("alice", "/sessions").json() if s["title"] == "mine all the same"]
    eventually(lambda: team.get("alice", f"/sessions/{own['session_id']}").json()["requests"] == 2, "one session")
    with database:  # other tests look at lists
        database.execute(
            "DELETE FROM sessions WHERE owner = 'bob' AND title = 'first of the chain' AND session_id <> 'guessable'"
        )
    database.close()

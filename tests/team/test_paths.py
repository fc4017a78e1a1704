"""Membership, roles and the audit log judge the path that is served, however a client writes it."""

from tests.support.paths import ask, is_served, ways


def test_no_way_of_writing_a_path_passes_the_sign_in(team):
    for target, header in ways(team.server, "/sessions"):
        answer = ask(team.server, target, header)
        assert not is_served(answer), (target, header, answer.status)


def test_none_passes_what_is_for_administrators(team):
    who = f"Authorization: Bearer {team.tokens['alice']}\r\n"
    for path, root in (("/ui/settings", "/static"), ("/metrics", "/owner")):
        for target, header in ways(team.server, path, root):
            answer = ask(team.server, target, who + header)
            assert not is_served(answer), (target, header, answer.status)


def test_none_changes_anything_without_a_user(team):
    own = f"Origin: http://localhost:{team.server.port}\r\n"
    for target, header in ways(team.server, "/ui/routing/reset", "/login"):
        assert ask(team.server, target, own + header, "POST").status >= 400, (target, header)


def test_whatever_is_read_is_on_the_audit_log(team):
    assert team.ask("alice", "hello", "audited").status_code == 200
    team.server.wait_recorded(1)
    who = f"Authorization: Bearer {team.tokens['alice']}\r\n"

    def count() -> int:
        return team.server.rows("SELECT count(*) FROM team_audit WHERE action IN ('read', 'export')")[0][0]

    for target, header in ways(team.server, "/sessions/audited/export?format=json", "/x"):
        before = count()
        if is_served(ask(team.server, target, who + header)):
            assert count() == before + 1, (target, header)

"""What /healthz and /readyz say of a real server."""

import json

from tests.support.raw import RawClient
from tests.support.server import RunningServer, eventually


def readiness(server: RunningServer) -> tuple[int, str, list[str]]:
    status, _, body = server.get("/readyz")
    said = json.loads(body)
    return status, said["status"], said["problems"]


def test_a_server_that_works_is_ready(server):
    assert server.get("/healthz")[2] == b'{"status":"ok"}'
    eventually(lambda: readiness(server) == (200, "ready", []), "a recorder")


def test_a_recorder_that_does_not_come_after_is_a_problem_and_no_reason_to_send_nothing(start):
    server = start()
    eventually(lambda: readiness(server)[1] == "ready", "a recorder")
    server.children()["recorder"].suspend()
    with RawClient(server.port) as client:
        assert client.request().status == 200
    assert readiness(server)[:2] == (200, "ready")  # not so soon
    server.children()["recorder"].resume()


def test_a_database_that_is_gone_is_a_problem_and_no_reason_to_send_nothing(start, tmp_path):
    server = start()
    eventually(lambda: readiness(server)[1] == "ready", "a recorder")
    (server.home / "db.sqlite3").rename(tmp_path / "elsewhere")
    (server.home / "db.sqlite3").mkdir()
    for name in ("db.sqlite3-wal", "db.sqlite3-shm"):
        (server.home / name).unlink(missing_ok=True)
    status, said, problems = eventually(lambda: (r := readiness(server))[1] == "degraded" and r, "a problem")
    assert (status, said) == (200, "degraded")
    assert "database" in problems[0]
    with RawClient(server.port) as client:
        assert client.request().status == 200
    server.kill_tree()

"""A PostgreSQL that is gone, hangs, or lies behind a slow network: requests go on, and nothing is lost."""

import httpx
import pytest

from tests.faults.conftest import Site, Traffic
from tests.support.faulty import PASS, REFUSE, STALL
from tests.support.server import eventually


def get(site: Site, path: str, **headers: str) -> httpx.Response:
    return httpx.get(site.server.url + path, headers=headers, trust_env=False, timeout=30)


def test_requests_go_on_without_a_database_and_all_is_on_record_after(site):
    with Traffic(site.server.url) as traffic:
        traffic.more()
        site.database.be(REFUSE)
        traffic.more(60)
        assert traffic.failed == []
        eventually(lambda: "recording paused" in site.server.output(), "a word about it")
        ready = get(site, "/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded"), "requests are served all the same"
        assert "database" in " ".join(ready.json()["problems"])
        assert get(site, "/healthz").status_code == 200
        site.database.be(PASS)
        eventually(lambda: "recording resumed" in site.server.output(), "the end of it", 30)
        traffic.more()
    assert traffic.failed == []
    site.recorded(traffic)
    eventually(lambda: get(site, "/readyz").json()["status"] == "ready", "a ready server")
    assert site.server.output().count("recording paused") == 1


@pytest.mark.parametrize("path", ["/ui/", "/ui/sessions", "/ui/sessions/x", "/ui/analytics", "/ui/routing"])
def test_pages_say_that_the_database_is_gone(gone, path):
    page = get(gone, path, accept="text/html")
    assert page.status_code == 503, page.text[:300]
    assert page.headers["retry-after"] == "5"
    assert "database does not answer" in page.text


@pytest.mark.parametrize(
    "path", ["/sessions", "/sessions/x", "/sessions?text_search=y", "/api/stats/overview", "/api/budgets"]
)
def test_so_does_the_api(gone, path):
    answer = get(gone, path)
    assert answer.status_code == 503, answer.text[:300]
    assert "database does not answer" in answer.json()["detail"]


@pytest.fixture(scope="module")
def gone(tmp_path_factory, postgres_url, provider):
    """A server whose database went after the start."""
    from tests.support.databases import new_database
    from tests.support.faulty import FaultyProxy
    from tests.support.server import start_server

    with new_database(postgres_url) as url:
        proxy = FaultyProxy(f"{postgres_url.partition('host=')[2]}/.s.PGSQL.5432")
        name = url.partition("?")[0].rpartition("/")[2]
        server = start_server(
            tmp_path_factory.mktemp("gone"),
            provider.url,
            DATABASE_URL=f"postgres://postgres@127.0.0.1:{proxy.port}/{name}",
        )
        proxy.be(REFUSE)
        yield Site(server, proxy, proxy)
        server.stop()
        proxy.stop()
    assert "Traceback" not in server.output(), server.output()
    assert len(server.output().splitlines()) < 40, "the log is not filled with it"


def test_a_database_that_hangs_holds_up_no_request(site):
    with Traffic(site.server.url) as traffic:
        traffic.more()
        site.database.be(STALL)
        traffic.more(60)
        assert traffic.failed == []
        site.database.be(PASS)
        traffic.more()
    assert traffic.failed == []
    site.recorded(traffic)


def test_connections_that_break_now_and_then_lose_and_double_nothing(site):
    with Traffic(site.server.url) as traffic:
        for _ in range(8):
            traffic.more(12)
            site.database.cut(0.7)
    assert traffic.failed == []
    site.recorded(traffic)


def test_a_slow_network_to_the_database_slows_no_request(site):
    site.database.delay = 0.05
    with Traffic(site.server.url) as traffic:
        traffic.more(60)
    assert traffic.failed == []
    site.database.delay = 0.0
    site.recorded(traffic)


def test_a_start_without_a_database_says_so_in_one_line(tmp_path):
    from tests.site.test_commands import run
    from tests.support.server import free_port

    url = f"postgres://u:the-password@127.0.0.1:{free_port()}/x"
    done = run(tmp_path, "serve", DATABASE_URL=url, LUNAROUTE_PORT="0")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "database: connection failed" in done.stderr
    assert "the-password" not in done.stderr

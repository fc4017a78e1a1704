"""A real Prometheus scrapes a real server by the files under deploy/."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from tests.sessions.test_recording import converse
from tests.site.test_deploy import alerts, expressions
from tests.support.server import ROOT, RunningServer, eventually, free_port, start_server
from tests.support.tools import prometheus

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def scraped(tmp_path_factory, provider) -> Iterator[RunningServer]:
    provider.reset()
    server = start_server(tmp_path_factory.mktemp("scraped"), provider.url)
    converse(server)
    server.wait_recorded(6)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def api(scraped, tmp_path_factory):
    """Ask Prometheus' API for an address; gives its data."""
    folder = tmp_path_factory.mktemp("prometheus")
    written = (ROOT / "deploy/prometheus.yml").read_text()
    assert "localhost:8081" in written
    written = written.replace("localhost:8081", f"localhost:{scraped.port}").replace("interval: 5s", "interval: 1s")
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\n{written}")
    (folder / "alerts.yml").write_text((ROOT / "deploy/alerts.yml").read_text())
    port = free_port()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [prometheus(), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"],
            stdout=log, stderr=log,
        )  # fmt: skip

    def ask(address: str, **query: str):
        url = f"http://127.0.0.1:{port}/api/v1/{address}?{urllib.parse.urlencode(query)}"
        with _direct.open(url, timeout=15) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def is_scraped() -> bool:
        try:
            return bool(ask("query", query="lunaroute_requests_total")["result"])
        except OSError:
            return False

    try:
        eventually(is_scraped, "a scrape", 30)
        yield ask
    finally:
        process.terminate()
        process.wait(15)


def promtool(*arguments: str, given: bytes = b"") -> str:
    done = subprocess.run(
        [prometheus("promtool"), *arguments],
        input=given,
        cwd=ROOT / "deploy",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.decode()


def test_promtool_has_no_complaint(scraped):
    promtool("check", "config", "prometheus.yml")
    assert f"{len(alerts())} rules found" in promtool("check", "rules", "alerts.yml")
    promtool("check", "metrics", given=scraped.get("/metrics")[2])


def test_every_expression_can_be_evaluated(api):
    for title, expression in expressions():
        assert api("query", query=expression)["resultType"] == "vector", title


def test_what_was_counted_is_what_prometheus_has(api, scraped):
    for name in ("requests_total", "tokens_total", "cost_usd_total", "tool_calls_total"):
        result = api("query", query=f"sum(lunaroute_{name})")["result"]
        told = sum(
            float(line.rpartition(" ")[2])
            for line in scraped.get("/metrics")[2].decode().splitlines()
            if line.startswith(f"lunaroute_{name}{{")
        )
        assert float(result[0]["value"][1]) == pytest.approx(told)
        assert told > 0


def test_alerts_are_evaluated_and_quiet(api):
    def evaluated() -> list[dict]:
        (group,) = api("rules")["groups"]
        return group["rules"] if all(rule["health"] == "ok" for rule in group["rules"]) else []

    rules = eventually(evaluated, "an evaluation of all alerts")
    assert {rule["name"]: rule["state"] for rule in rules} == dict.fromkeys(alerts(), "inactive")


def test_exemplars_lead_to_exchanges(api, scraped):
    found = api(
        "query_exemplars", query="lunaroute_request_duration_seconds_bucket", start="2000-01-01T00:00:00Z",
        end="2100-01-01T00:00:00Z",
    )  # fmt: skip
    names = {exemplar["labels"]["request_id"] for series in found for exemplar in series["exemplars"]}
    known = {row[0] for row in scraped.rows("select request_id from exchanges")}
    assert names
    assert names <= known

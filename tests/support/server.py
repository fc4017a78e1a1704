"""The real server for tests: the whole process tree, on a port of its own, with a home of its own."""

import atexit
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
import psycopg

from tests.support import zygote
from tests.support.zygote import Forked

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


def free_port() -> int:
    """Return a port that nobody uses at the moment, and that no other test is about to be given."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def eventually(check: Callable[[], object], what: str, seconds: float = 15) -> object:
    """Wait until `check` gives something true; fail with `what` if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


@dataclass
class RunningServer:
    """A server under test."""

    process: subprocess.Popen | Forked
    home: Path
    port: int
    log: Path
    database_url: str = ""  # of a PostgreSQL; else the database lies in `home`
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """GET one of LunaRoute's own addresses: (status, headers, body)."""
        request = urllib.request.Request(self.url + path, headers=headers or {})
        try:
            with _direct.open(request, timeout=15) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def json(self, path: str) -> object:
        status, _, body = self.get(path)
        assert status == 200, (status, body[:500])
        return json.loads(body)

    def children(self) -> dict[str, psutil.Process]:
        """The processes of the tree by what they do: supervisor, then web and recorder in the order they started."""
        supervisor = psutil.Process(self.process.pid)
        found, others = {"supervisor": supervisor}, []
        for child in supervisor.children():
            try:
                listens = any(c.status == psutil.CONN_LISTEN for c in child.net_connections("tcp"))
                others.append((child.create_time(), child)) if not listens else found.update(web=child)
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue  # it has just ended
        if others:
            found["recorder"] = min(others, key=lambda pair: pair[0])[1]
        return found

    def rows(self, query: str, *parameters: object) -> list[tuple]:
        """Ask the database; `?` stands for a parameter."""
        if self.database_url:
            with psycopg.connect(self.database_url) as connection:
                return connection.execute(query.replace("?", "%s"), parameters).fetchall()
        connection = sqlite3.connect(f"file:{self.home / 'db.sqlite3'}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()

    def wait_recorded(self, count: int, seconds: float = 15) -> None:
        """Wait until `count` exchanges have ended in the record."""

        def recorded() -> bool:
            return self.rows("select count(*) from exchanges where success is not null")[0][0] >= count

        eventually(recorded, f"{count} exchanges on record", seconds)

    def lines(self, session_id: str | None = None) -> list[dict]:
        """The JSONL lines of a session, or of all."""
        found = []
        for path in sorted((self.home / "sessions").glob(f"*/session_{session_id or '*'}.jsonl")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return found

    def stop(self, seconds: float = 45) -> int:
        """SIGTERM; gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)

    def kill_tree(self) -> None:
        """SIGKILL to every process of the tree at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


_direct = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
)


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment for a server with that home."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "HOME": str(home), "LUNAROUTE_HOME": str(home / ".lunaroute"), **more}


# Whether servers may be forked of a process that has the libraries (tests/support/zygote.py). Benchmarks start fresh ones.
may_fork = False


def launch(
    home: Path, *arguments: str, environ: dict[str, str], log: Path, fork: bool = True, before: str = ""
) -> subprocess.Popen | Forked:
    """Start `manage.py` with `arguments`, in a process group of its own; `before` that it runs some Python, which makes time
    limits short, say."""
    if before:
        return zygote.launch_code(f"{before}\n{Path(ROOT, 'manage.py').read_text()}", list(arguments), environ, log)
    if may_fork and fork and not any(name.startswith("PYTHON") for name in environ):
        return zygote.launch(list(arguments), environ, log)
    with open(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


@cache
def _migrated_database() -> Path:
    """A database with all tables and nothing in them, made once in a process: to make the tables takes a while."""
    home = Path(tempfile.mkdtemp(prefix="lunaroute-migrated-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    zygote.run("manage.py", ["migrate"], environment(home)).check_returncode()
    return home / ".lunaroute" / "db.sqlite3"


def take_migrated_database(home: Path) -> None:
    """Make `home`, with such a database in it."""
    home.mkdir(mode=0o700)
    shutil.copyfile(_migrated_database(), home / "db.sqlite3")
    (home / "db.sqlite3").chmod(0o600)


def start_server(
    home: Path,
    upstream_url: str,
    *arguments: str,
    port: int = 0,
    worker: bool = False,
    scheme: str = "http",
    fork: bool = True,
    before: str = "",
    **environ: str,
) -> RunningServer:
    """Start a server on `home` whose providers are both at `upstream_url`, and wait until it answers."""
    port = port or free_port()
    home.mkdir(parents=True, exist_ok=True)
    if "DATABASE_URL" not in environ and not (home / ".lunaroute").exists():
        take_migrated_database(home / ".lunaroute")
    settings = {
        "LUNAROUTE_PORT": str(port),
        "LUNAROUTE_ANTHROPIC_BASE_URL": upstream_url,
        "LUNAROUTE_OPENAI_BASE_URL": f"{upstream_url}/v1",
        **environ,
    }
    log = home / "output.log"
    start = [*arguments] if "serve" in arguments else [*arguments, "serve"]
    process = launch(
        home, *start, *([] if worker else ["--no-worker"]),
        environ=environment(home, **settings), log=log, fork=fork, before=before,
    )  # fmt: skip
    server = RunningServer(process, home / ".lunaroute", port, log, environ.get("DATABASE_URL", ""))
    server.url = f"{scheme}://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}:\n{server.output()}")
        try:
            return server.get("/healthz")[0] == 200
        except OSError:
            return False

    try:
        eventually(answers, "an answer of /healthz", 30)
    except AssertionError:
        if process.poll() is None:
            server.kill_tree()
        raise AssertionError(server.output()) from None
    return server

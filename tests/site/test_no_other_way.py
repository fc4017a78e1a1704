"""With redaction on, no value that passes gets to the disk, by whatever way: everything is driven, then every byte read."""

import json
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import bytes_kept, zygote
from tests.support.live import open_socket
from tests.support.planting import PATHS, Planting
from tests.support.plants import EMPLOYEE, Plants
from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, environment, eventually

SESSION = "6f1d0f4e-7c7b-4b57-9a3e-0d6f4c1b2a90"
CONFIG = f"""
session_recording:
  pii:
    enabled: true
    redaction_mode: "tokenize"
    hmac_secret: "a secret of the tests"
    type_overrides:
      phone: {{redaction_mode: "mask"}}
      ssn: {{redaction_mode: "mask"}}
    custom_patterns:
      - {{name: "employee", pattern: '{EMPLOYEE}', confidence: 0.95}}
ui: {{delete_enabled: true, refresh_interval: 1}}
logging: {{level: "debug"}}
"""


class Drive:
    """One home, the servers that run on it one after the other, and what they answered and showed."""

    def __init__(self, start, upstream, tmp_path: Path, **options: str) -> None:
        self.plants = Plants()
        self.planting = Planting(self.plants, upstream)
        self.upstream, self.home = upstream, tmp_path / "home"
        self.seen: list[bytes_kept.Source] = []
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG)
        self.began = time.time()
        self.places = [self.home, temporary]
        self._start = lambda **more: start(
            "--config", str(config), home=self.home, TMPDIR=str(temporary), **options, **more
        )
        self.server = self.start(worker=True)

    def start(self, **more: object) -> RunningServer:
        self.server = self._start(**more)
        return self.server

    def get(self, path: str, **headers: str) -> bytes:
        """Read one of LunaRoute's own pages, and keep the answer to look through."""
        _, head, body = self.server.get(path, headers)
        self.seen.append((path, repr(head).encode() + body))
        return body

    def json(self, path: str) -> list | dict:
        return json.loads(self.get(path))

    def look_at_all(self) -> None:
        """Read every page, every address of the API and every export of what is recorded."""
        for path in ("/ui/", "/ui/sessions", "/ui/analytics", "/ui/settings", "/ui/pii/", "/sessions?page_size=500&sort=tokens",
                     "/ui/sessions?text_search=write", "/sessions?text_search=%22write+to%22", "/admin/login/", "/api/openapi.json",
                     "/sessions?client_ip=127.0.0.1", *(f"/api/stats/{name}" for name in ("overview", "tokens", "tools", "costs", "models", "hours", "spending")),
                     "/api/providers", "/api/rules"):  # fmt: skip
            self.get(path, accept="text/html" if path.startswith("/ui") else "*/*")
        for session_id in [session["session_id"] for session in self.json("/sessions?page_size=500")]:
            own = f"/sessions/{session_id}"
            exchanges = [row["request_id"] for row in self.json(f"{own}/exchanges")]
            for path in (own, f"{own}/tools", f"/ui{own}", f"/ui{own}/outline", f"/ui{own}/chart",
                         f"/ui{own}/diff?a={exchanges[0]}&b={exchanges[-1]}"):  # fmt: skip
                self.get(path, accept="text/html" if path.startswith("/ui") else "*/*")
            for kind in ("jsonl", "json", "markdown", "html", "csv"):
                self.get(f"{own}/export?format={kind}")
            for request_id in exchanges:
                one = f"{own}/exchanges/{request_id}"
                for path in (one, f"{one}/raw", f"{one}/raw?part=response", f"/ui{one}"):
                    self.get(path, accept="text/html" if path.startswith("/ui") else "*/*")

    def command(self, *arguments: str) -> None:
        environ = environment(
            self.home, **({"DATABASE_URL": self.server.database_url} if self.server.database_url else {})
        )
        done = zygote.run("manage.py", [*arguments], environ)
        self.seen.append((" ".join(arguments), (done.stdout + done.stderr).encode()))

    def watch(self, path: str) -> "Watch":
        return Watch(self, path)

    def left(self) -> list[str]:
        """Give what is left of planted values anywhere."""
        new = [path for path in Path("/tmp").iterdir() if _is_new(path, self.began)]
        return self.plants.look(chain(bytes_kept.files(*self.places, *new), bytes_kept.rows(self.server), self.seen))


def _is_new(path: Path, since: float) -> bool:
    """Whether something in /tmp may be the server's: other tests run there too."""
    try:
        is_ours = path.is_file() or path.name.startswith("tmp")  # as Python calls what is temporary
        return is_ours and path.stat().st_ctime >= since
    except OSError:
        return False


class Watch:
    """A page that follows, and keeps every frame that it gets."""

    def __init__(self, drive: Drive, path: str) -> None:
        self.name, self.frames = path, drive.seen
        self.count = 0
        self._socket = open_socket(drive.server, path)
        self._socket.send(b'{"have":{}}'.decode())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(ConnectionClosed, OSError):
            for frame in self._socket:
                self.frames.append((self.name, frame.encode()))
                self.count += '"partial"' in frame

    def close(self) -> None:
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def database(request) -> str:
    """SQLite, unless a test names another."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def cores() -> Iterator[None]:
    """Let crashes write cores, as far as the server does not see to it that they do not."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


class Slow:
    """A client whose answer comes as the gates open, cut within a value each time."""

    def __init__(self, drive: Drive, dialect: str, place: str, gates: int = 1) -> None:
        self.gates = [drive.upstream.event() for _ in range(gates)]
        self.session = f"slow-{dialect}-{place.replace(' ', '-')}"
        planting = drive.planting
        do = planting.streams(planting.stream(dialect, f"{dialect} {place}"), *self.gates)
        headers = {**planting.headers(f"{dialect} {place}", do), "x-session-id": self.session}
        request = planting.request(dialect, place, self.session)
        body = json.dumps({**request, "stream": True}).encode()
        self._thread = threading.Thread(
            target=planting.ask, args=(drive.server, PATHS[dialect], body, headers), daemon=True
        )
        self._thread.start()
        eventually(lambda: drive.server.rows("select 1 from exchanges e join sessions s on s.id = e.session_id "
                   "where s.session_id = ? and time_to_first_token_ms is not null", self.session), "the beginning of an answer")  # fmt: skip

    def end(self) -> None:
        for gate in self.gates:
            gate.open()
        self._thread.join(20)


def _replaced(drive: Drive, name: str, number: int) -> None:
    """Send a signal to a process of the tree, and wait for the one that comes in its place."""
    victim = drive.server.children()[name]
    victim.send_signal(number)
    psutil.wait_procs([victim], 10)

    def is_there() -> bool:
        with suppress(psutil.NoSuchProcess, OSError):
            found = drive.server.children()
            return found.get(name, victim).pid != victim.pid and drive.server.get("/healthz")[0] == 200
        return False

    eventually(is_there, f"another {name}", 30)


def _on_its_way(port: int) -> bool:
    """Whether a connection of that port has bytes that were not read yet (proc(5), /proc/net/tcp: queues by connection)."""
    ends = [line.split()[1:5] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(end[3] != "00000000:00000000" for end in ends if f":{port:04X}" in f"{end[0]} {end[1]}")


def _form_under_way(drive: Drive) -> RawClient:
    """Send a long form to the page that tries redaction, but for its end."""
    client = RawClient(drive.server.port)
    text = drive.planting.quoted_text("a form of LunaRoute's own").encode() * 400
    client.send(b"POST /ui/pii/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                b"content-length: %d\r\n\r\ntext=%b" % (len(text) + 6, text))  # fmt: skip
    eventually(lambda: not _on_its_way(client.sock.getsockname()[1]), "the form, as far as it was sent")
    drive.get("/healthz")  # what was read is dealt with
    return client


def test_no_value_gets_anywhere_but_to_its_receiver(start, upstream, tmp_path, cores):
    drive = Drive(start, upstream, tmp_path)
    planting, server = drive.planting, drive.server

    # Everything that passes, and everything that goes wrong.
    planting.with_sdks(server, SESSION)
    planting.in_codings(server)
    planting.odd(server)
    planting.failing(server)
    planting.over_websocket(server, SESSION)
    planting.huge(server)

    # Answers that come while somebody watches, and processes that die meanwhile.
    everyone = drive.watch("/ui/live")
    slow = [Slow(drive, dialect, "that is watched", gates=3) for dialect in PATHS]
    watches = [drive.watch(f"/ui/live/sessions/{one.session}") for one in slow]
    for number, end in enumerate((signal.SIGKILL, signal.SIGABRT)):
        seen = [watch.count for watch in watches]
        for one in slow:
            one.gates[number].open()
        eventually(lambda seen=seen: all(w.count > s for w, s in zip(watches, seen, strict=True)), f"text {number}")
        _replaced(drive, "recorder", end)
    for one in slow:
        one.end()
    for watch in (*watches, everyone):
        watch.close()
    torn = Slow(drive, "anthropic", "whose server dies")
    _replaced(drive, "web", signal.SIGKILL)
    torn.end()
    eventually(lambda: not server.rows("select 1 from exchanges where success is null"), "the end of all exchanges")

    # Everything that shows it.
    drive.look_at_all()
    drive.seen += bytes_kept.open_files(server)
    drive.command("stats")
    drive.command("status")
    assert server.rows("select count(*) from sessions")[0][0] > 5
    for path in ("/ui/sessions/", "/sessions/", "/ui/sessions?text_search=", "/sessions?text_search=", "/healthz?"):
        server.get(path + planting.quoted_text("an address of LunaRoute's own"))
    assert drive.json(f"/sessions?text_search={_token(drive)}")
    assert httpx.delete(f"{server.url}/sessions/{SESSION}", trust_env=False).status_code == 204

    # Ends: in the middle of an answer, orderly and not; and a provider that is not there.
    last = Slow(drive, "openai-chat", "that the end cuts")
    server.process.terminate()
    last.end()
    assert server.process.wait(40) == 0
    drive.start()
    cut = Slow(drive, "openai-responses", "that dies with all")
    drive.server.kill_tree()
    cut.end()
    drive.start(upstream_url="http://127.0.0.1:1")
    planting.ask(drive.server, "/v1/messages", planting.plants.text("a refused connection").encode(), {})
    eventually(lambda: drive.server.rows("select 1 from exchanges where error like 'upstream_connect%'"), "the refusal")
    assert drive.server.stop() == 0

    assert not list(ROOT.glob("core*")), "a crash left its memory"
    assert drive.left() == []


def _token(drive: Drive) -> str:
    """A token that stands for an address in what is recorded."""
    return next(b for _, a in drive.seen for b in [a.partition(b"[EMAIL:")[2][:8].decode()] if b)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_no_value_gets_into_postgresql(start, upstream, tmp_path, cores):
    drive = Drive(start, upstream, tmp_path)
    drive.planting.with_sdks(drive.server, SESSION)
    drive.planting.odd(drive.server)
    slow = Slow(drive, "anthropic", "whose recorder dies")
    _replaced(drive, "recorder", signal.SIGKILL)
    slow.end()
    eventually(
        lambda: not drive.server.rows("select 1 from exchanges where success is null"), "the end of all exchanges"
    )
    drive.look_at_all()
    assert drive.server.stop() == 0
    assert drive.server.rows("select count(*) from exchanges where dialect = 'anthropic'")[0][0] > 2
    assert not list(drive.home.rglob("db.sqlite3"))
    assert drive.left() == []

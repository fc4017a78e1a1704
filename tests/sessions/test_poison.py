"""What cannot be recorded: it costs its text, or waits; it stops nothing else, and is never said to be on record if it is not."""

import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from proxy.capture import ACK, HEADER, HELD, TROUBLE
from proxy.last_words import Missing, missing
from sessions import rows
from sessions.digest import Capture
from sessions.jsonl import JsonlWriter
from sessions.models import Exchange, Session
from sessions.recorder import Recorder
from sessions.store import Store
from tests.support.databases import sqlite_only
from tests.support.exchanges import compact, frames, packed

pytestmark = pytest.mark.usefixtures("both_databases")


def question(words: str) -> bytes:
    return compact({"model": "m", "messages": [{"role": "user", "content": words}]})


class Fails(Store):
    """A store that chokes on one exchange, `bad`: on its text, or on whatever is known of it (`is_hopeless`)."""

    bad, is_hopeless = "bad", False

    def _opened(self, batch, live) -> None:
        if live.begin.request_id == self.bad and (live.request or self.is_hopeless):
            raise ValueError("indigestible")
        super()._opened(batch, live)


@dataclass
class Run:
    """What a recorder came to that was handed frames until its web process and the supervisor had gone."""

    code: int
    acknowledged: list[int] = field(default_factory=list)
    troubles: list[dict] = field(default_factory=list)
    missing: Missing | None = None


def run(store: Store, *parts: bytes, letters: bytes = b"L", until: Callable[[Run], object] = lambda done: True) -> Run:
    """Hand `parts` to a recorder, and end it when it has said what makes `until` true."""
    control, theirs = socket.socketpair()
    line, end = socket.socketpair()
    socket.send_fds(control, [letters], [end.fileno()])
    end.close()
    line.sendall(b"".join(parts))
    done = Run(-1)

    def listen() -> None:
        while True:
            if until(done):
                for sock in (line, control):
                    with suppress(OSError):
                        sock.shutdown(socket.SHUT_WR)
            head = line.recv(HEADER.size, socket.MSG_WAITALL)
            if not head:
                return
            length, kind, number, _ = HEADER.unpack(head)
            payload = line.recv(length, socket.MSG_WAITALL) if length else b""
            if kind == ACK:
                done.acknowledged.append(number)
            elif kind == TROUBLE:
                done.troubles.append(json.loads(payload))

    listener = threading.Thread(target=listen)  # the recorder's database is this thread's
    listener.start()
    done.code = Recorder(theirs, store, 100, 0.0).run()
    listener.join(10)
    theirs.close()
    done.missing = missing(control.recv(4096))
    for sock in (line, control):
        sock.close()
    return done


def three(*names: str) -> list[bytes]:
    """The frames of three exchanges, the one in the middle is the bad one."""
    return [
        packed(number, frames(question(f"words of {name}"), session=f"s-{name}", request_id=name))
        for number, name in enumerate(("first", "bad", "last"), 1)
    ]


@pytest.fixture
def fails(tmp_path) -> Fails:
    return Fails("test", tmp_path, True, True)


def test_what_cannot_be_digested_is_recorded_without_its_text(fails, caplog):
    done = run(fails, *three())
    assert (done.code, sorted(done.acknowledged), done.missing) == (0, [1, 2, 3], Missing())
    assert Exchange.objects.get(request_id="bad").capture == "metadata"
    assert set(Exchange.objects.exclude(request_id="bad").values_list("capture", "success")) == {("full", True)}
    assert "exchange bad could not be digested: it is recorded without its text" in caplog.text


def test_where_that_fails_too_the_bare_facts_are_recorded(fails, caplog, tmp_path):
    fails.is_hopeless = True
    done = run(fails, *three())
    assert (done.code, sorted(done.acknowledged)) == (0, [1, 2, 3])
    row = Exchange.objects.select_related("session").get(request_id="bad")
    assert (row.success, row.error.partition(":")[0], row.status, row.capture) == (
        False,
        "unrecordable",
        200,
        "metadata",
    )
    assert row.duration_ms > 0
    assert (row.session.session_id, row.session.errors, row.session.requests) == ("bad", 1, 1)
    assert "it is recorded with its bare facts only" in caplog.text
    assert "without its text" not in caplog.text, "what was meant to be done is not told"
    (line,) = map(json.loads, next(tmp_path.glob("*/session_bad.jsonl")).read_bytes().splitlines())
    assert (line["type"], line["success"]) == ("completed", False)


def test_an_answer_that_cannot_be_digested_ends_an_exchange_that_was_begun(fails, monkeypatch, tmp_path):
    def end_row(row, live, facts) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("sessions.store.rows.end_row", end_row)
    open_exchange("begun", tmp_path)
    done = run(fails, packed(1, frames(question("x"), session="s-begun", request_id="begun")))
    assert (done.code, done.acknowledged) == (0, [1])
    row = Exchange.objects.get()
    assert (row.success, row.error.partition(":")[0], row.session.session_id) == (False, "unrecordable", "s-begun")


def test_what_cannot_be_recorded_at_all_is_not_acknowledged_and_others_are(fails, caplog, monkeypatch):
    def bare_row(live, identity):
        raise ValueError("not even that")

    fails.is_hopeless = True
    monkeypatch.setattr(rows, "bare_row", bare_row)
    done = run(fails, *three(), until=lambda done: done.troubles)
    assert sorted(done.acknowledged) == [1, 3]
    assert (done.code, done.missing) == (1, Missing(1, "not even that"))
    assert done.troubles[-1] == {"why": "not even that", "is_paused": False, "aside": 1}
    assert set(Exchange.objects.values_list("request_id", flat=True)) == {"first", "last"}
    assert "exchange bad cannot be recorded (not even that): it is held" in caplog.text
    assert " is recorded" not in caplog.text


def test_what_was_set_aside_is_recorded_as_it_is_when_that_goes_again(fails, caplog, monkeypatch):
    """A file that cannot be written holds up the other sessions no longer than it takes to see that."""
    fails.bad, tries = "", []

    def write(writer, path, data, write=JsonlWriter._write) -> None:
        if "s-bad" in str(path):
            tries.append(path)
            if len(tries) < 4:
                raise PermissionError(13, "Permission denied", str(path))
        write(writer, path, data)

    monkeypatch.setattr("sessions.jsonl.JsonlWriter._write", write)
    monkeypatch.setattr("sessions.recorder.ASIDE_EVERY", 0.0)
    done = run(fails, *three(), until=lambda done: len(done.acknowledged) == 3 and not done.troubles[-1]["why"])
    assert sorted(done.acknowledged[:2]) == [1, 3]
    assert (done.code, sorted(done.acknowledged)) == (0, [1, 2, 3])
    assert Exchange.objects.get(request_id="bad").capture == "full"
    assert done.troubles[-1] == {"why": "", "is_paused": False, "aside": 0}
    assert "all that could not be recorded is on record now" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_beginning_that_cannot_be_read_is_not_acknowledged(fails):
    broken = [(kind, when, b"{" if kind == 1 else payload) for kind, when, payload in frames(question("x"))]
    done = run(fails, packed(1, broken), packed(2, frames(question("y"))))
    assert done.acknowledged == [2]


def test_an_end_that_cannot_be_read_is_an_end_all_the_same(fails):
    broken = [(kind, when, b"{" if kind == 6 else payload) for kind, when, payload in frames(question("x"))]
    done = run(fails, packed(1, broken))
    assert (done.code, done.acknowledged) == (0, [1])
    assert Exchange.objects.get().error.startswith("internal")


def test_a_session_id_as_long_as_they_may_be_has_a_file_all_the_same(fails, tmp_path):
    done = run(
        fails, packed(1, frames(question("x"), session="a" * 255)), packed(2, frames(question("y"), session="a" * 254))
    )
    assert (done.code, sorted(done.acknowledged)) == (0, [1, 2])
    assert len(list(tmp_path.glob("*/session_aaa*.jsonl"))) == 2
    assert set(Session.objects.values_list("session_id", flat=True)) == {"a" * 255, "a" * 254}


# -- what nobody holds any more ------------------------------------------------------------------------------


def begun(name: str) -> bytes:
    return packed(1, frames(question("x"), session=f"s-{name}", request_id=name)[:-1])


def open_exchange(name: str, tmp_path, identity: str = "test") -> None:
    """One that a recorder before this one had begun."""
    store = Store(identity, tmp_path, True, True)
    for event in _events(frames(question("x"), session=f"s-{name}", request_id=name)[:-1]):
        store.apply([event])


def _events(some) -> list:
    capture = Capture()
    return [event for frame in some for event in capture.feed(*frame)]


def test_a_new_recorder_ends_what_no_web_process_holds_any_more(tmp_path):
    open_exchange("orphan", tmp_path)
    open_exchange("held", tmp_path)
    held = packed(7, frames(question("x"), session="s-held", request_id="held"))
    done = run(Store("test", tmp_path, True, True), held, HEADER.pack(0, HELD, 0, 0), letters=b"LA")
    assert done.acknowledged == [7]
    assert Exchange.objects.get(request_id="held").success is True
    orphan = Exchange.objects.select_related("session").get(request_id="orphan")
    assert (orphan.success, orphan.error.partition(":")[0], orphan.session.errors) == (False, "interrupted", 1)
    assert b'"completed"' in next(tmp_path.glob("*/session_s-orphan.jsonl")).read_bytes()


def test_it_waits_until_it_has_heard_what_each_of_them_holds(tmp_path):
    open_exchange("orphan", tmp_path)
    control, theirs = socket.socketpair()
    lines = [socket.socketpair() for _ in range(2)]
    recorder = Recorder(theirs, Store("test", tmp_path, True, True), 100, 0.0)
    for _, end in lines:
        socket.send_fds(control, [b"L"], [end.fileno()])
        recorder._from_supervisor()
    control.send(b"A")
    recorder._from_supervisor()
    first, second = recorder._lines
    first.has_all = True
    assert not recorder.has_heard_all()
    second.has_all = True
    assert recorder.has_heard_all()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_what_another_host_has_under_way_stays_so(tmp_path):
    open_exchange("theirs", tmp_path, "another-host:/home")
    run(Store("test", tmp_path, True, True), HEADER.pack(0, HELD, 0, 0), letters=b"LA")
    assert Exchange.objects.get(request_id="theirs").success is None


# -- files of others -----------------------------------------------------------------------------------------


@sqlite_only
def test_a_session_that_goes_on_without_its_database_keeps_its_file(tmp_path):
    """The database is gone, or another home's: what is in the file is nobody's to cut off."""
    run(Store("test", tmp_path, True, True), packed(1, frames(question("x"), session="s")))
    (path,) = tmp_path.glob("*/*.jsonl")
    before = path.read_bytes()
    Session.objects.all().delete()
    for words in ("y", "z"):
        assert run(Store("test", tmp_path, True, True), packed(1, frames(question(words), session="s"))).code == 0
    assert path.read_bytes() == before
    (beside,) = tmp_path.glob("*/session_s.2.jsonl")
    assert beside.read_bytes().count(b'"completed"') == 2


@sqlite_only
def test_a_copied_home_cuts_nothing_off_the_files_of_the_one_it_was_copied_from(tmp_path):
    run(Store("test", tmp_path / "original", True, True), packed(1, frames(question("x"), session="s")))
    (path,) = tmp_path.glob("original/*/*.jsonl")
    path.write_bytes(path.read_bytes() + b'{"type":"started","written":"since"}\n')
    store = Store("test:/copy", tmp_path / "copy", True, True)
    store.recover(interrupt=True)
    assert run(store, packed(1, frames(question("y"), session="s"))).code == 0
    assert path.read_bytes().endswith(b'"since"}\n')


@pytest.fixture(autouse=True)
def heard(caplog) -> None:
    caplog.set_level(logging.WARNING)

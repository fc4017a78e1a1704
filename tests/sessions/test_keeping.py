"""The store keeps itself in bounds: what is old is compressed or deleted, what is in use or has a star is not."""

import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
import zstandard
from django.db import connection
from django.test import Client
from django.utils import timezone

from sessions import keeping
from sessions.deletion import delete_session
from sessions.export.jsonl_export import jsonl
from sessions.importing import Importer, files_of
from sessions.keeping import files, running, sizes
from sessions.keeping.planning import AGE, SIZE
from sessions.models import Blob, JsonlFile, RetentionRun, Session
from sessions.store import Store
from tests.support.databases import default_database, new_database
from tests.support.exchanges import compact, events
from tests.support.server import take_migrated_database

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def own_database(request, database, tmp_path_factory, django_db_setup, django_db_blocker):
    """A database of this test's own, outside of any transaction: nothing is given back within one."""
    with django_db_blocker.unblock(), ExitStack() as stack:
        if database == "sqlite":
            home = tmp_path_factory.mktemp("home")
            take_migrated_database(home / ".lunaroute")
            url = f"sqlite:///{home}/.lunaroute/db.sqlite3"
        else:
            url = stack.enter_context(new_database(request.getfixturevalue("postgres_url")))
        with default_database(url):
            yield


@pytest.fixture
def store(own_database, tmp_path) -> Store:
    return Store("test", tmp_path, write_jsonl=True, keep_user_agent=True)


@pytest.fixture
def talk(store, tmp_path):
    """Record an exchange of a session, which ended some days ago."""

    def one(session_id: str, days: float = 0, words: str = "some words", ended: bool = True) -> Session:
        body = {"model": "m", "messages": [{"role": "user", "content": f"{session_id} {words}"}]}
        found = events(compact(body), session=session_id)
        store.apply(found if ended else found[:-1])
        session = Session.objects.get(session_id=session_id)
        if ended:
            Session.objects.filter(pk=session.pk).update(completed_at=timezone.now() - days * DAY)
        return session

    return one


@pytest.fixture
def keep(tmp_path):
    """Run retention with some limits."""

    def run(**limits) -> RetentionRun:
        return keeping.run(policy(tmp_path, **limits), tmp_path, "command")

    return run


def policy(folder: Path, **limits) -> keeping.Policy:
    return keeping.Policy(folder, "test", **limits)


def names() -> set[str]:
    return set(Session.objects.values_list("session_id", flat=True))


def path_of(session: Session) -> Path:
    return Path(session.files.get().path)


# -- compression --------------------------------------------------------------------------------------------------


def test_a_file_is_compressed_after_its_time_and_reads_as_before(talk, keep):
    old, new = talk("old", 8), talk("new", 6)
    path, before = path_of(old), path_of(old).read_bytes()
    done = keep(compress_after_days=7)
    assert (done.compressed_files, done.compressed_before, done.problems) == (1, len(before), [])
    assert not path.exists()
    assert path_of(new).exists()
    small = files.packed(path)
    assert stat.S_IMODE(small.stat().st_mode) == 0o600
    assert done.compressed_after == small.stat().st_size < len(before)
    head = zstandard.get_frame_parameters(small.read_bytes())
    assert (head.content_size, head.has_checksum) == (len(before), True)
    assert zstandard.ZstdDecompressor().decompress(small.read_bytes()) == before
    assert b"".join(jsonl(old)) == before
    assert keep(compress_after_days=7).compressed_files == 0


def test_zstdcat_and_jq_read_it(talk, keep, tmp_path):
    path = path_of(talk("old", 8))
    keep(compress_after_days=7)
    (tmp_path / "zstdcat").write_text(
        f"#!{sys.executable}\nimport sys, zstandard\n"
        "zstandard.ZstdDecompressor().copy_stream(open(sys.argv[1], 'rb'), sys.stdout.buffer)\n"
    )
    (tmp_path / "jq").write_text(
        f"#!{sys.executable}\nimport sys, json\nfor line in sys.stdin: print(json.loads(line)['type'])\n"
    )
    for name in ("zstdcat", "jq"):
        (tmp_path / name).chmod(0o700)
    done = subprocess.run(
        ["bash", "-c", f"zstdcat {path}.zst | jq"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == "started"
    assert done.stdout.split()[-1] == "completed"


def test_it_can_be_imported_and_deleted(talk, keep, tmp_path):
    session = talk("old", 8)
    path = path_of(session)
    keep(compress_after_days=7)
    copy = tmp_path / "elsewhere" / "session_old.jsonl.zst"
    copy.parent.mkdir()
    copy.write_bytes(files.packed(path).read_bytes())
    assert delete_session("old")
    assert not files.packed(path).exists()
    importer = Importer("test", tmp_path / "new", {"anthropic": "anthropic"}, lambda line: pytest.fail(line), None)
    for found in files_of([copy.parent]):
        importer.take(found)
    assert names() == {"old"}


def test_a_session_that_goes_on_has_its_file_back(talk, keep, store):
    path = path_of(talk("old", 8))
    before = path.read_bytes()
    keep(compress_after_days=7)
    talk("old", words="more words")  # by the recorder that has its size at hand
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) > len(before)
    assert not files.packed(path).exists()
    assert all(orjson.loads(line) for line in path.read_bytes().splitlines())
    assert JsonlFile.objects.get().size == path.stat().st_size


def test_it_has_it_back_with_another_recorder_too(talk, keep, tmp_path):
    path = path_of(talk("old", 8))
    before = path.read_bytes()
    keep(compress_after_days=7)
    store = Store("test", tmp_path, write_jsonl=True, keep_user_agent=True)
    store.recover(interrupt=True)
    body = compact({"model": "m", "messages": [{"role": "user", "content": "again"}]})
    store.apply(events(body, session="old"))
    assert path.read_bytes().startswith(before)
    assert path.read_bytes() != before
    assert not files.packed(path).exists()
    assert b"".join(jsonl(Session.objects.get())) == path.read_bytes()


def test_a_batch_that_is_rolled_back_leaves_the_file_whole(talk, keep, store, monkeypatch):
    path = path_of(talk("old", 8))
    before = path.read_bytes()
    keep(compress_after_days=7)
    real = store._jsonl.append

    def failing(pieces) -> None:
        real(pieces)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._jsonl, "append", failing)
    body = compact({"model": "m", "messages": [{"role": "user", "content": "again"}]})
    with pytest.raises(OSError, match="No space"):
        store.apply(events(body, session="old"))
    assert path.read_bytes() == before


def test_while_both_are_there_the_plain_one_counts(talk, keep):
    session = talk("old", 8)
    path = path_of(session)
    files.packed(path).write_bytes(b"half of a")
    assert b"".join(jsonl(session)) == path.read_bytes()
    before = path.read_bytes()
    assert keep(compress_after_days=7).compressed_files == 1
    assert zstandard.ZstdDecompressor().decompress(files.packed(path).read_bytes()) == before


def test_one_that_runs_or_has_more_than_is_certain_is_left_alone(talk, keep):
    running_, torn = talk("running", 8), talk("torn", 8)
    talk("running", ended=False)
    Session.objects.update(completed_at=timezone.now() - 8 * DAY)
    with path_of(torn).open("ab") as file:
        file.write(b'{"type": "sta')
    assert keep(compress_after_days=7).compressed_files == 0
    assert path_of(running_).exists()
    assert path_of(torn).exists()


def test_what_cannot_be_read_is_named_and_the_rest_is_done(talk, keep, monkeypatch):
    one, other = path_of(talk("one", 8)), path_of(talk("other", 8))
    real = files._create

    def full(path: Path):
        if path.name.startswith(one.name):
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(files, "_create", full)
    done = keep(compress_after_days=7)
    assert done.problems == [f"{one}: No space left on device"]
    assert done.compressed_files == 1
    assert one.exists()
    assert files.packed(other).exists()


def test_a_compressed_file_that_reads_differently_takes_no_ones_place(talk, keep, monkeypatch):
    path = path_of(talk("old", 8))
    before = path.read_bytes()
    monkeypatch.setattr(files, "_sync", lambda file: (file.seek(-3, 1), file.write(b"\0\0\0"), file.flush()))
    done = keep(compress_after_days=7)
    assert len(done.problems) == 1
    assert "cannot be read again" in done.problems[0]
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


# -- deletion -----------------------------------------------------------------------------------------------------


def test_old_sessions_go_with_all_they_had(talk, keep):
    old = talk("old", 31)
    talk("new", 29)
    path = path_of(old)
    done = keep(max_age_days=30)
    assert (done.deleted_sessions, done.error) == (1, "")
    assert done.deleted == [{"session_id": "old", "title": "old some words", "why": AGE}]
    assert names() == {"new"}
    assert not path.exists()
    assert not any(b"old some words" in bytes(blob.data) for blob in Blob.objects.filter(codec=0))


def test_a_star_and_a_running_exchange_keep_a_session(talk, keep, tmp_path):
    talk("starred", 99).pin(True)
    talk("running", 99)
    talk("running", ended=False)
    Session.objects.filter(session_id="running").update(completed_at=timezone.now() - 99 * DAY)
    talk("old", 99)
    plan = keeping.plan(policy(tmp_path, max_age_days=30), timezone.now())
    assert [due.session_id for due in plan.delete] == ["old"]
    assert (plan.pinned, plan.running) == (1, 1)
    assert keep(max_age_days=30, max_total_bytes=0).deleted_sessions == 1
    assert names() == {"starred", "running"}


def test_one_that_was_used_or_got_its_star_since_the_plan_stays(talk, tmp_path, keep, monkeypatch):
    talk("a", 99)
    talk("b", 98)
    real = running.due

    def stale(*arguments):
        found = real(*arguments)
        Session.objects.filter(session_id="a").update(pinned=True)
        Session.objects.filter(session_id="b").update(completed_at=timezone.now())
        return found

    monkeypatch.setattr(running, "due", stale)
    assert keep(max_age_days=30).deleted_sessions == 0
    assert names() == {"a", "b"}


def test_over_the_size_the_oldest_go_first(talk, keep, tmp_path):
    for number in range(12):
        talk(f"s{number:02}", 12 - number, words=os.urandom(20_000).hex())
    size = sizes.measure(tmp_path)
    done = keep(max_total_bytes=size.used // 2)
    left = sorted(names())
    assert 0 < len(left) < 12
    assert left == [f"s{number:02}" for number in range(12 - len(left), 12)]
    assert {entry["why"] for entry in done.deleted} == {SIZE}
    assert sizes.measure(tmp_path).used <= size.used // 2
    assert keep(max_total_bytes=size.used // 2).deleted_sessions == 0


def test_what_sessions_share_is_deleted_with_the_last_of_them_and_the_size_is_met(talk, keep, tmp_path):
    shared = os.urandom(150_000).hex()
    for number in range(6):
        body = {"model": "m", "system": shared, "messages": [{"role": "user", "content": os.urandom(10_000).hex()}]}
        Store("test", tmp_path, True, True).apply(events(compact(body), session=f"s{number}"))
        Session.objects.filter(session_id=f"s{number}").update(completed_at=timezone.now() - (6 - number) * DAY)
    limit = sizes.measure(tmp_path).used // 3
    keep(max_total_bytes=limit)
    assert sizes.measure(tmp_path).used <= limit


def test_empty_days_and_what_a_killed_process_left_go(talk, keep, tmp_path):
    path = path_of(talk("old", 99))
    for name in (files.PACKING, files.UNPACKING):
        left = path.with_name(f"session_x.jsonl{name}")
        left.write_bytes(b"half")
        os.utime(left, (0, 0))
    (tmp_path / "2020-01-01").mkdir()
    os.utime(tmp_path / "2020-01-01", (0, 0))
    mine = tmp_path / "2020-01-02" / "notes.new"
    mine.parent.mkdir()
    mine.write_text("mine")
    os.utime(mine, (0, 0))
    keep(max_age_days=30)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["retention.lock", "notes.new"]
    assert not (tmp_path / "2020-01-01").exists()


def test_nothing_to_do_is_noted_and_changes_nothing(talk, keep, tmp_path):
    talk("old", 999)
    done = keep()
    assert (done.deleted_sessions, done.compressed_files, done.freed_bytes) == (0, 0, 0)
    assert names() == {"old"}


def test_a_plan_changes_nothing(talk, tmp_path):
    talk("old", 99)
    path = path_of(talk("older", 8))
    plan = keeping.plan(policy(tmp_path, max_age_days=30, compress_after_days=7), timezone.now())
    assert [(due.session_id, due.why) for due in plan.delete] == [("old", AGE)]
    assert plan.compress == (1, path.stat().st_size)
    assert names() == {"old", "older"}
    assert not RetentionRun.objects.exists()


def test_two_at_once_do_no_harm(talk, keep, tmp_path):
    talk("old", 99)
    with running._alone(tmp_path):
        if connection.vendor == "sqlite":
            with pytest.raises(keeping.AnotherRuns):
                keep(max_age_days=30)
    assert keep(max_age_days=30).deleted_sessions == 1


def test_a_run_that_was_killed_is_noted_as_such(talk, keep):
    left = RetentionRun.objects.create(started_at=timezone.now(), trigger="schedule")
    keep()
    left.refresh_from_db()
    assert left.error == "interrupted"


def test_the_last_runs_are_remembered(keep, monkeypatch):
    monkeypatch.setattr(running, "REMEMBERED", 3)
    for _ in range(5):
        last = keep()
    assert RetentionRun.objects.count() == 3
    assert RetentionRun.objects.first() == last


# -- seen ---------------------------------------------------------------------------------------------------------


def test_api_and_page_say_what_would_go_and_what_went(talk, keep, settings, tmp_path):
    settings.ALLOWED_HOSTS = ["*"]
    recording = settings.LUNAROUTE.session_recording
    limits = recording.cleanup.retention.model_copy(update={"max_age_days": 30, "max_total_size_gb": 1.0})
    cleanup = recording.cleanup.model_copy(update={"retention": limits})
    recording = recording.model_copy(update={"cleanup": cleanup, "sessions_dir": tmp_path})
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"session_recording": recording})
    talk("old", 99)
    talk("gone", 999)
    Session.objects.filter(session_id="old").update(pinned=True)
    said = Client().get("/api/retention").json()
    assert [due["session_id"] for due in said["due"]] == ["gone"]
    assert (said["max_age_days"], said["max_total_bytes"], said["kept_pinned"], said["runs"]) == (30, 10**9, 1, [])
    page = Client().get("/ui/store").content.decode()
    assert "gone some words" in page
    assert "1 with a star" in page
    keep(max_age_days=30)
    said = Client().get("/api/retention").json()
    assert said["due"] == []
    assert said["runs"][0]["deleted_sessions"] == 1
    assert "gone some words" in Client().get("/ui/store").content.decode()

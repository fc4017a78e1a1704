"""Backups made while a server records, and homes made of them."""

import io
import json
import os
import sqlite3
import stat
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from lunaroute_site.upkeep import archive
from tests.sessions.test_recording import converse
from tests.site.test_commands import run
from tests.support.raw import RawClient
from tests.support.server import start_server, take_migrated_database


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, provider):
    provider.reset()
    server = start_server(tmp_path_factory.mktemp("backed-up"), provider.url)
    converse(server)
    server.wait_recorded(6)
    yield server
    assert server.stop() == 0


@pytest.fixture
def backup(recorded, tmp_path) -> Path:
    target = tmp_path / "copy.tar.zst"
    done = run(recorded.home.parent, "backup", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert "files," in done.stdout
    return target


def rows(home: Path, query: str) -> list:
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return database.execute(query).fetchall()


def test_a_backup_becomes_a_home_that_goes_on(recorded, backup, tmp_path, provider):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    other = tmp_path / "other"
    done = run(other_home(other), "restore", str(backup))
    assert (done.returncode, done.stderr) == (0, "")
    home = other / ".lunaroute"
    for path in (home, *home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert (home / "secret_key").read_text() == (recorded.home / "secret_key").read_text()
    (before,), (after,) = (sorted((h / "sessions").rglob("*.jsonl")) for h in (recorded.home, home))
    assert after.read_bytes() == before.read_bytes()
    provider.reset()
    server = start_server(other, provider.url)
    try:
        assert [s["requests"] for s in server.json("/sessions")] == [6]
        converse(server)
        server.wait_recorded(12)
        lines = after.read_bytes()
        assert lines.startswith(before.read_bytes())
        assert lines.count(b'"type":"completed"') == 12
        assert run(other, "doctor", "--offline", LUNAROUTE_PORT=str(server.port)).returncode == 0
    finally:
        assert server.stop() == 0


def other_home(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_it_is_of_one_moment_and_holds_up_nobody(start, tmp_path):
    server = start()
    stop, times = threading.Event(), []

    def talk() -> None:
        number = 0
        with RawClient(server.port) as client:
            while not stop.is_set():
                number += 1
                body = json.dumps(
                    {"model": "m", "messages": [{"role": "user", "content": f"{number} {os.urandom(2000).hex()}"}]}
                )
                assert client.request(body=body.encode(), headers=b"session_id: s%d\r\n" % (number % 7)).status == 200
                times.append(number)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        for number in range(3):
            target = tmp_path / f"{number}.tar.zst"
            assert run(tmp_path, "backup", str(target)).returncode == 0
            home = other_home(tmp_path / f"home{number}") / ".lunaroute"
            archive.read(target, home, home / "sessions", "me")
            assert rows(home, "PRAGMA integrity_check") == [("ok",)]
            for path, size in rows(home, "SELECT path, size FROM jsonl_files WHERE size > 0"):
                data = Path(path).read_bytes()
                assert len(data) == size
                assert data.endswith(b"\n")
            ended = rows(home, "SELECT count(*) FROM exchanges WHERE success")[0][0]
            lines = b"".join(path.read_bytes() for path in (home / "sessions").rglob("*.jsonl"))
            assert lines.count(b'"type":"completed"') == ended
    finally:
        stop.set()
        thread.join(20)
    assert times[-1] > 3
    assert not list(server.home.glob(".backup-*"))


def test_nothing_is_replaced_unless_asked_for(recorded, backup):
    done = run(recorded.home.parent, "backup", str(backup))
    assert done.returncode == 1
    assert "--force replaces it" in done.stderr
    assert run(recorded.home.parent, "backup", str(backup), "--force").returncode == 0


def test_a_home_that_holds_a_record_is_left_alone(recorded, backup):
    done = run(recorded.home.parent, "restore", str(backup))
    assert done.returncode == 1
    assert "stop` first" in done.stderr


def pack(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(zstandard.ZstdCompressor().compress(data.getvalue()))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "a path upwards": entry("sessions/../../evil"),
    "an absolute path": entry("/tmp/evil"),
    "a link": entry("sessions/x", tarfile.SYMTYPE, "/etc/passwd"),
    "a device": entry("sessions/x", tarfile.CHRTYPE),
    "another file": entry("config.yaml"),
}


@pytest.mark.parametrize("info", HOSTILE.values(), ids=HOSTILE)
def test_no_archive_writes_elsewhere(tmp_path, info):
    home = tmp_path / "home"
    with pytest.raises(archive.ArchiveProblem, match="has an entry"):
        archive.read(pack(tmp_path / "evil.tar.zst", (info, b"evil")), home, home / "sessions", "me")
    assert list(home.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_damaged_archive_makes_no_home(backup, tmp_path):
    data = backup.read_bytes()
    home = tmp_path / "home"
    for number, damaged in enumerate(
        (data[: len(data) // 2], data[:2000] + b"\0" * 64 + data[2064:], b"", b"no archive")
    ):
        path = tmp_path / f"{number}.damaged"
        path.write_bytes(damaged)
        with pytest.raises(archive.ArchiveProblem):
            archive.read(path, home, home / "sessions", "me")
        assert list(home.iterdir()) == []


def test_what_cannot_be_written_is_said(recorded, tmp_path):
    done = run(recorded.home.parent, "backup", str(tmp_path / "nowhere" / "x.tar.zst"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


# -- without a server --------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path) -> Path:
    take_migrated_database(tmp_path / "home")
    return tmp_path / "home"


def note_file(home: Path, path: Path, content: bytes, *recorders: str, packed: bool = False) -> None:
    """Write a JSONL file that each of `recorders` has a row of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path.with_name(f"{path.name}.zst").write_bytes(zstandard.ZstdCompressor().compress(content))
    else:
        path.write_bytes(content)
    with closing(sqlite3.connect(home / "db.sqlite3")) as database, database:
        for recorder in recorders:
            database.execute(
                "INSERT INTO jsonl_files (recorder, path, size) VALUES (?, ?, ?)", (recorder, str(path), len(content))
            )


def there_and_back(home: Path, tmp_path: Path) -> Path:
    written = archive.write(tmp_path / "x.tar.zst", home, home / "sessions", home / "db.sqlite3")
    assert written.left_out == ()
    other = tmp_path / "other"
    archive.read(tmp_path / "x.tar.zst", other, other / "sessions", "me")
    return other


def test_a_machine_that_was_renamed_has_each_file_once(home, tmp_path):
    note_file(home, home / "sessions" / "2026-01-01" / "session_a.jsonl", b"{}\n", "old:h", "new:h", "me")
    other = there_and_back(home, tmp_path)
    place = other / "sessions" / "2026-01-01" / "session_a.jsonl"
    assert rows(other, "SELECT recorder, path, size FROM jsonl_files") == [("me", str(place), 3)]
    assert place.read_bytes() == b"{}\n"


def test_files_from_before_sessions_dir_was_another_come_along(home, tmp_path):
    note_file(home, tmp_path / "before" / "2026-01-01" / "session_a.jsonl", b"{}\n", "me")
    note_file(home, home / "sessions" / "deep" / "2026-01-02" / "session_b.jsonl", b"{}\n{}\n", "me", packed=True)
    other = there_and_back(home, tmp_path)
    assert sorted(rows(other, "SELECT path FROM jsonl_files")) == [
        (str(other / "sessions" / "2026-01-01" / "session_a.jsonl"),),
        (str(other / "sessions" / "deep" / "2026-01-02" / "session_b.jsonl"),),
    ]
    assert (other / "sessions" / "deep" / "2026-01-02" / "session_b.jsonl.zst").is_file()


def test_of_two_files_of_one_name_the_second_is_named(home, tmp_path):
    for folder in ("one", "two"):
        note_file(home, tmp_path / folder / "2026-01-01" / "session_a.jsonl", folder.encode(), "me")
    written = archive.write(tmp_path / "x.tar.zst", home, home / "sessions", home / "db.sqlite3")
    assert written.left_out == (str(tmp_path / "two" / "2026-01-01" / "session_a.jsonl"),)
    archive.read(tmp_path / "x.tar.zst", tmp_path / "other", tmp_path / "other" / "sessions", "me")


def test_the_log_of_a_database_that_is_gone_is_not_restored_over(home, tmp_path):
    archive.write(tmp_path / "x.tar.zst", home, home / "sessions", home / "db.sqlite3")
    other = other_home(tmp_path / "other")
    (other / "db.sqlite3-wal").write_bytes(b"x")
    with pytest.raises(archive.ArchiveProblem, match=r"db\.sqlite3-wal"):
        archive.read(tmp_path / "x.tar.zst", other, other / "sessions", "me")


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"format": 1}', b'{"format": 1, "files": {"a": 1}}', b"\xff"])
def test_a_list_of_files_that_is_none_is_said(tmp_path, manifest):
    path = pack(tmp_path / "x.tar.zst", (entry("manifest.json"), manifest))
    with pytest.raises(archive.ArchiveProblem, match="its list of files"):
        archive.read(path, tmp_path / "home", tmp_path / "home" / "sessions", "me")


def test_the_home_to_make_and_the_database_may_be_elsewhere(home, tmp_path):
    elsewhere = tmp_path / "elsewhere.sqlite3"
    (home / "db.sqlite3").rename(elsewhere)
    (tmp_path / ".lunaroute").symlink_to(home)
    done = run(tmp_path, "backup", str(tmp_path / "x.tar.zst"), DATABASE_URL=f"sqlite:///{elsewhere}")
    assert (done.returncode, done.stderr) == (0, "")
    done = run(tmp_path, "restore", str(tmp_path / "x.tar.zst"), "--home", str(tmp_path / "third"))
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(tmp_path / "third", "SELECT count(*) FROM sessions") == [(0,)]

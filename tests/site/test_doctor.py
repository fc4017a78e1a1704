"""`doctor`: each thing is broken for real, named, mended, and then fine."""

import json
import os
import resource
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import zstandard

from lunaroute_site import doctor_commands
from lunaroute_site.pidfile import take
from lunaroute_site.upkeep import surroundings
from sessions.store import Store
from tests.site.test_commands import run
from tests.support import planted
from tests.support.databases import default_database
from tests.support.planted import record
from tests.support.server import free_port, start_server, take_migrated_database


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, django_db_setup, django_db_blocker) -> Path:
    """A directory with a home that has a record."""
    folder = tmp_path_factory.mktemp("doctor")
    home = folder / ".lunaroute"
    take_migrated_database(home)
    with django_db_blocker.unblock(), default_database(f"sqlite:///{home}/db.sqlite3"):
        from django.conf import settings

        identity = settings.LUNAROUTE.identity.partition(":")[0] + f":{home}"
        record(Store(identity, home / "sessions", True, True), planted.conversation())
    for path in (home, *home.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


@pytest.fixture
def place(recorded, tmp_path) -> Path:
    """A copy of it; its files are known by their new places."""
    folder = tmp_path / "here"
    shutil.copytree(recorded, folder)
    home = folder / ".lunaroute"
    with closing(sqlite3.connect(home / "db.sqlite3")) as database, database:
        old = str(recorded / ".lunaroute")
        database.execute(
            "UPDATE jsonl_files SET path = replace(path, ?, ?), recorder = replace(recorder, ?, ?)",
            (old, str(home)) * 2,
        )
        database.execute("UPDATE exchanges SET recorder = replace(recorder, ?, ?)", (old, str(home)))
    for path in home.glob("db.sqlite3*"):
        path.chmod(0o600)
    return folder


@pytest.fixture
def doctor(place):
    def once(*arguments: str, **environ: str) -> tuple[int, dict[str, list[dict]]]:
        environ = {"LUNAROUTE_PORT": str(free_port()), **environ}
        done = run(place, "doctor", "--offline", "--json", *arguments, **environ)
        found: dict[str, list[dict]] = {}
        for finding in json.loads(done.stdout):
            found.setdefault(finding["check"], []).append(finding)
        return done.returncode, found

    return once


def levels(found: dict) -> dict[str, str]:
    return {f["check"]: f["level"] for findings in found.values() for f in findings if f["level"] != "ok"}


def change(place: Path, *statements: str) -> None:
    with closing(sqlite3.connect(place / ".lunaroute" / "db.sqlite3")) as database, database:
        for statement in statements:
            database.execute(statement)


def some_file(place: Path) -> Path:
    return next(iter(sorted((place / ".lunaroute" / "sessions").rglob("*.jsonl"))))


def test_what_is_sound_is_called_so(doctor):
    code, found = doctor()
    assert (code, levels(found)) == (0, {"variables": "warning"})
    assert found["variables"][0]["remedy"].startswith("export ANTHROPIC_BASE_URL=http://localhost:")


def test_a_home_that_others_can_read_is_closed(doctor, place):
    some_file(place).chmod(0o644)
    code, found = doctor()
    assert (code, found["home"][0]["level"]) == (1, "problem")
    code, found = doctor("--fix")
    assert (code, found["home"][0]["level"]) == (0, "ok")
    assert some_file(place).stat().st_mode & 0o777 == 0o600


def test_an_index_that_lost_documents_is_written_anew(doctor, place):
    change(place, "DELETE FROM search_documents WHERE id IN (SELECT id FROM search_documents LIMIT 3)")
    code, found = doctor()
    assert (code, found["index"][0]["level"]) == (1, "problem")
    assert doctor("--fix")[0] == 0
    assert levels(doctor()[1]) == {"variables": "warning"}


def test_sessions_that_are_not_indexed_are(doctor, place):
    change(
        place,
        "INSERT INTO search_index (search_index) VALUES ('delete-all')",
        "DELETE FROM search_documents",
        "DELETE FROM search_sessions",
    )
    code, found = doctor()
    assert (code, found["index"][0]["level"]) == (0, "warning")
    assert "6 sessions are not indexed" in found["index"][0]["text"]
    assert levels(doctor("--fix")[1]) == {"variables": "warning"}


def test_files_that_are_torn_short_gone_or_strange_are_named(doctor, place):
    torn, short, gone, *_ = sorted((place / ".lunaroute" / "sessions").rglob("*.jsonl"))
    with torn.open("ab") as file:
        file.write(b'{"type":"sta')
    os.truncate(short, 10)
    strange = gone.with_name("session_strange.jsonl")
    gone.rename(strange)
    code, found = doctor()
    texts = [finding["text"] for finding in found["files"]]
    assert code == 1
    assert any(str(gone) in text and "are gone" in text for text in texts)
    assert any(str(short) in text and "shorter" in text for text in texts)
    assert any(str(torn) in text and "torn" in text for text in texts)
    assert any(str(strange) in text and "in no database" in text for text in texts)
    doctor("--fix")
    assert not torn.read_bytes().endswith(b'"sta')


def test_compressed_files_are_read(doctor, place):
    path = some_file(place)
    data = zstandard.ZstdCompressor().compress(path.read_bytes())
    path.unlink()
    packed = path.with_name(f"{path.name}.zst")
    packed.touch(0o600)
    packed.write_bytes(data)
    assert levels(doctor()[1]) == {"variables": "warning"}
    for damaged in (data[: len(data) // 2], b"nothing"):
        packed.write_bytes(damaged)
        code, found = doctor()
        assert (code, "are damaged" in found["files"][0]["text"]) == (1, True)


def test_a_file_that_is_being_rewritten_is_not_short(doctor, place):
    change(place, f"UPDATE jsonl_files SET size = {(1 << 63) - 1}")
    assert levels(doctor()[1]) == {"variables": "warning"}


def test_files_from_before_the_machine_was_renamed_are_its_own(doctor, place):
    change(place, "UPDATE jsonl_files SET recorder = 'old:home'")
    assert levels(doctor()[1]) == {"variables": "warning"}
    path = some_file(place)
    whole = path.read_bytes()
    home = place / ".lunaroute"
    change(
        place, f"INSERT INTO jsonl_files (recorder, path, size) VALUES ('{socket.gethostname()}:{home}', '{path}', 0)"
    )
    with path.open("ab") as file:
        file.write(b"torn")
    assert levels(doctor()[1]) == {"files": "warning", "variables": "warning"}
    doctor("--fix")
    assert path.read_bytes() == whole


def test_rows_that_refer_to_nothing_are_counted(doctor, place):
    change(place, "UPDATE tool_calls SET exchange_id = 999999 WHERE id = (SELECT min(id) FROM tool_calls)")
    code, found = doctor()
    assert (code, found["database"][0]["level"]) == (1, "problem")
    assert "1 rows refer to others that are gone (of tool_calls)" in found["database"][0]["text"]


def test_contents_that_are_missing_or_of_no_use_are_counted(doctor, place):
    change(place, "INSERT INTO blobs (key, size, codec, data) VALUES (x'00', 1, 0, x'41')")
    code, found = doctor()
    assert (code, found["contents"][0]["level"]) == (0, "warning")
    assert levels(doctor("--fix")[1]) == {"variables": "warning"}
    change(place, "DELETE FROM blobs WHERE key IN (SELECT recipe FROM exchanges LIMIT 1)")
    code, found = doctor()
    assert (code, found["contents"][0]["level"]) == (1, "problem")
    assert "db rebuild" in found["contents"][0]["remedy"]


def test_a_damaged_database_is_a_line_and_no_traceback(doctor, place):
    path = place / ".lunaroute" / "db.sqlite3"
    data = bytearray(path.read_bytes())
    data[8192:24576] = os.urandom(16384)
    path.write_bytes(data)
    code, found = doctor()
    assert code == 1
    assert any(f["level"] == "problem" for check in ("database", "migrations") for f in found.get(check, []))
    path.write_bytes(b"no database at all" * 1000)
    code, found = doctor()
    assert (code, found["migrations"][0]["level"]) == (1, "problem")


def test_a_newer_database_is_named(doctor, place):
    change(
        place,
        "INSERT INTO django_migrations (app, name, applied) VALUES ('record', '9999_from_tomorrow', '2030-01-01')",
    )
    code, found = doctor()
    assert code == 1
    assert "record.9999_from_tomorrow" in found["migrations"][0]["text"]


def test_the_clock_is_compared_with_the_record(doctor, place):
    change(place, "UPDATE exchanges SET started_at = '2099-01-01 00:00:00'")
    assert "still to come" in doctor()[1]["clock"][0]["text"]


def test_what_was_cut_off_is_counted(doctor, place):
    change(place, "UPDATE exchanges SET success = NULL WHERE id = (SELECT max(id) FROM exchanges)")
    assert "1 exchanges were cut off" in doctor()[1]["record"][0]["text"]


def test_a_port_that_somebody_has_is_named(doctor):
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, found = doctor(LUNAROUTE_PORT=str(other.getsockname()[1]))
    assert code == 1
    assert "cannot be had" in found["server"][1]["text"]


def test_a_server_that_runs_is_found_and_one_that_hangs_is_a_problem(doctor, place, provider):
    server = start_server(place, provider.url)
    try:
        code, found = doctor(LUNAROUTE_PORT=str(server.port))
        assert (code, "runs (process" in found["server"][0]["text"]) == (0, True)
    finally:
        assert server.stop() == 0
    with take(place / ".lunaroute") as lock:
        (place / ".lunaroute" / "server.json").write_text(
            json.dumps({"pid": os.getpid(), "url": f"http://127.0.0.1:{free_port()}", "recording": "off"})
        )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        code, found = doctor()
        assert (code, "does not answer" in found["server"][0]["text"]) == (1, True)


def test_providers_are_reached_or_named(place, provider):
    environ = {"LUNAROUTE_ANTHROPIC_BASE_URL": provider.url, "LUNAROUTE_OPENAI_BASE_URL": "http://nowhere.invalid/v1"}
    done = run(place, "doctor", LUNAROUTE_PORT=str(free_port()), **environ)
    assert done.returncode == 1
    assert f"✓ provider anthropic: {provider.url} answers" in done.stdout
    assert "✗ provider openai: http://nowhere.invalid/v1 cannot be reached" in done.stdout


def test_a_configuration_that_is_wrong_is_one_line(place):
    done = run(place, "doctor", LUNAROUTE_PORT="many")
    assert done.returncode == 1
    assert done.stdout.startswith("✗ configuration: environment: LUNAROUTE_PORT")
    assert len(done.stdout.splitlines()) == 1
    (finding,) = json.loads(run(place, "doctor", "--json", LUNAROUTE_PORT="many").stdout)
    assert (finding["check"], finding["level"]) == ("configuration", "problem")


def test_the_port_of_another_kind_of_address_can_be_had():
    from types import SimpleNamespace

    for host in ("localhost", "0.0.0.0", "::1", "::"):
        found = list(doctor_commands.serving(SimpleNamespace(host=host, port=free_port()), None))
        assert [finding.level for finding in found] == ["ok"], host


def test_the_port_of_another_lunaroute_is_named(server):
    from types import SimpleNamespace

    _, finding = doctor_commands.serving(SimpleNamespace(host="127.0.0.1", port=server.port), None)
    assert finding.remedy.startswith("a LunaRoute of another home has it")


def test_a_server_that_is_older_than_the_files_is_named(tmp_path):
    (tmp_path / "server.json").touch()
    assert [f.level for f in doctor_commands.program(tmp_path, "a server")] == ["ok"]
    os.utime(tmp_path / "server.json", (1, 1))
    _, finding = doctor_commands.program(tmp_path, "a server")
    assert "older version" in finding.text


def test_packages_that_are_others_are_named(monkeypatch, tmp_path):
    from importlib import metadata

    (finding,) = doctor_commands.program(tmp_path, None)
    assert finding.level == "ok"
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "django" else version(name))
    (finding,) = doctor_commands.program(tmp_path, None)
    assert (finding.level, "django is 1.0, tested with" in finding.text) == ("warning", True)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (None, "ok"),
        ("", "ok"),
        ('[model_providers.a]\nbase_url = "http://localhost:8081/v1"', "ok"),
        ('[model_providers.a]\nbase_url = "https://api.openai.com/v1"', "warning"),
        ('openai_base_url = "http://localhost:8082/v1"', "warning"),
        ("model_providers = 3", "ok"),
        ("no toml", "warning"),
    ],
)
def test_the_file_of_codex_names_this_server_or_is_named(tmp_path, text, level):
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    (finding,) = doctor_commands.codex(path, 8081)
    assert finding.level == level


def test_without_a_home_it_says_what_to_do(tmp_path):
    done = run(tmp_path, "doctor", "--offline", LUNAROUTE_PORT=str(free_port()))
    assert done.returncode == 1
    assert "there is no record yet" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ANTHROPIC_BASE_URL": "http://localhost:8081/v1"}, "export ANTHROPIC_BASE_URL=http://localhost:8081"),
        ({"ANTHROPIC_BASE_URL": "http://localhost:8081/v1"}, "must have no path"),
        ({"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}, "which is not this server"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8081"}, "export OPENAI_BASE_URL=http://localhost:8081/v1"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "export NO_PROXY=localhost,127.0.0.1"),
    ],
)
def test_variables_that_lead_elsewhere_are_named(environ, words):
    from types import SimpleNamespace

    found = list(doctor_commands.variables(SimpleNamespace(port=8081, host="127.0.0.1"), environ))
    assert any(words in f"{finding.text} {finding.remedy}" for finding in found)


def test_variables_that_are_right_are_so():
    from types import SimpleNamespace

    environ = {"ANTHROPIC_BASE_URL": "http://localhost:8081", "OPENAI_BASE_URL": "http://127.0.0.1:8081/v1/"}
    found = doctor_commands.variables(SimpleNamespace(port=8081, host="127.0.0.1"), environ)
    assert {finding.level for finding in found} == {"ok"}


@pytest.mark.parametrize(
    ("soft", "hard", "level", "words"),
    [
        (1024, 1_048_576, "ok", "1,024 files and connections for each process, 1,048,576 where it asks for more"),
        (256, resource.RLIM_INFINITY, "ok", "256 files and connections for each process, any number of where"),
        (1024, 1024, "warning", "1,024 where it asks for more"),
    ],
)
def test_the_limit_of_open_files_is_said_and_warned_of_where_it_is_low(monkeypatch, soft, hard, level, words):
    monkeypatch.setattr(surroundings.resource, "getrlimit", lambda _: (soft, hard))
    (found,) = surroundings.limits()
    assert (found.level, words in found.text) == (level, True)


def test_of_a_server_that_runs_its_own_limit_counts(server):
    web = server.children()["web"]
    (found,) = surroundings.limits(server.process.pid)
    assert found.text == f"{web.rlimit(psutil.RLIMIT_NOFILE)[0]:,} files and connections for each process"


def test_a_check_that_breaks_is_a_finding(monkeypatch, tmp_path):
    from lunaroute_site.config import load

    monkeypatch.setattr(doctor_commands, "disk", lambda folder: 1 / 0)
    found = {f.check: f for f in doctor_commands.examine(load({"LUNAROUTE_HOME": str(tmp_path)}), True)}
    assert (found["disk"].level, found["disk"].text) == ("problem", "cannot be checked: division by zero")

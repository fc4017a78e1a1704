"""How processes learn that something has changed."""

import stat
import subprocess
import sys
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction

from routing import revision, sources
from routing.models import Provider, Reset, Rest, Revision, Rule
from routing.revision import Counter, Listener, Watch
from tests.support import zygote
from tests.support.databases import new_database
from tests.support.server import ROOT, environment, eventually

VALUES = {"provider_type": "openai", "base_url": "http://h"}


def taken(counter: Counter) -> Watch:
    watch = Watch(counter)
    watch.take(watch.mark())
    return watch


def test_what_was_never_loaded_has_changed(tmp_path):
    assert Watch(Counter(tmp_path / "r")).changed()


def test_a_change_is_seen_until_it_is_taken(tmp_path):
    counter = Counter(tmp_path / "r")
    watch = taken(counter)
    assert not watch.changed()
    counter.bump()
    assert watch.changed()
    assert watch.changed()
    watch.take(watch.mark())
    assert not watch.changed()


def test_what_changes_while_it_is_loaded_is_loaded_again(tmp_path):
    counter = Counter(tmp_path / "r")
    watch = Watch(counter)
    mark = watch.mark()
    counter.bump()
    watch.take(mark)
    assert watch.changed()


def test_another_process_sees_a_change_at_once(tmp_path):
    watch = taken(Counter(tmp_path / "r"))
    code = (
        f"from pathlib import Path; from routing.revision import Counter; Counter(Path({str(tmp_path / 'r')!r})).bump()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert watch.changed()


def test_no_change_is_lost_where_many_raise_the_number(tmp_path):
    code = (
        "import sys; from pathlib import Path; from routing.revision import Counter\n"
        f"c = Counter(Path({str(tmp_path / 'r')!r}))\nfor _ in range(2000): c.bump()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        counter = Counter(tmp_path / "r")
        list(pool.map(lambda _: [counter.bump() for _ in range(500)], range(2)))
    assert [process.wait(60) for process in processes] == [0, 0]
    assert int.from_bytes(counter.value(), "little") == 5000


def test_one_process_at_a_time_raises_the_number(tmp_path):
    counter = Counter(tmp_path / "r")
    code = f"import fcntl; fcntl.lockf(open({str(tmp_path / 'r')!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with revision._locked(counter._file):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "BlockingIOError" in other.stderr


def test_the_file_is_for_its_owner_alone_and_kept(tmp_path):
    Counter(tmp_path / "r").bump()
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o600
    assert Counter(tmp_path / "r").value() == (1).to_bytes(8, "little")


def test_a_home_that_cannot_be_written_leaves_the_process_its_own_number(tmp_path, caplog):
    (tmp_path / "home").write_text("a file")
    counter = Counter(tmp_path / "home" / "r")
    watch = taken(counter)
    counter.bump()
    assert watch.changed()
    assert "this process only" in caplog.text


def test_loading_that_failed_is_tried_again_later(tmp_path):
    watch = taken(Counter(tmp_path / "r"))
    watch.again_in(0.01)
    eventually(watch.changed, "another try")


@pytest.mark.alone
def test_asking_costs_next_to_nothing(tmp_path):
    watch = taken(Counter(tmp_path / "r"))
    assert min(timeit.repeat(watch.changed, number=20_000, repeat=5)) / 20_000 < 0.6e-6


@pytest.fixture
def watch(home) -> Watch:
    """What a process of this home knows, with all taken."""
    return taken(revision.counter())


CHANGES = {
    "save": lambda: Provider.objects.create(name="new", **VALUES),
    "change": lambda: Provider.objects.get().save(update_fields=["enabled"]),
    "update": lambda: Provider.objects.update(enabled=False),
    "bulk_update": lambda: Provider.objects.bulk_update(Provider.objects.all(), ["enabled"]),
    "bulk_create": lambda: Rule.objects.bulk_create([Rule(name="r", providers=["a"])]),
    "delete": lambda: Provider.objects.get().delete(),
    "delete of many": lambda: Provider.objects.all().delete(),
    "rule": lambda: Rule.objects.create(name="r", providers=["a"]),
    "reset": lambda: sources.reset("a"),
}


@pytest.mark.usefixtures("both_databases")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_way_to_change_is_told_after_the_commit(change, watch, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        Provider.objects.create(name="p", **VALUES)
    watch.take(watch.mark())
    with django_capture_on_commit_callbacks(execute=True):
        change()
        assert not watch.changed()
    assert watch.changed()


@pytest.mark.usefixtures("both_databases")
def test_what_is_rolled_back_is_not_told(watch, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError), transaction.atomic():
        Provider.objects.create(name="p", **VALUES)
        raise RuntimeError
    assert not watch.changed()


@pytest.mark.usefixtures("both_databases")
def test_rests_are_no_change(watch, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        Rest.objects.create(provider="p", until=1, why="w", limits=1)
    assert not watch.changed()


CHANGE = """
import django; django.setup()
from routing.models import Provider
Provider.objects.create(name="elsewhere", provider_type="openai", base_url="http://h")
"""


def change_elsewhere(home: Path, **environ: str) -> None:
    """Change a provider in a process of its own."""
    settings = {"DJANGO_SETTINGS_MODULE": "lunaroute_site.settings", **environ}
    zygote.run(zygote.CODE, [CHANGE], environment(home, **settings)).check_returncode()


def test_a_process_on_the_same_sqlite_hears_of_it(tmp_path):
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, check=True, env=environment(tmp_path), timeout=60)
    watch = taken(Counter(tmp_path / ".lunaroute" / revision.FILE))
    change_elsewhere(tmp_path)
    assert watch.changed()


@pytest.fixture
def other_host(postgres_url, tmp_path):
    """A database, and the counter of a home that listens to it; the counter does not hear of local changes."""
    with new_database(postgres_url) as url:
        counter = Counter(tmp_path / "other" / "r")
        with psycopg.connect(url, autocommit=True) as admin:
            listener = Listener({"conninfo": url}, counter, poll_every=60)
            listener.start()
            watch = Watch(counter)
            eventually(lambda: counter.value() != bytes(8), "the first look")  # it tells once when it begins
            watch.take(watch.mark())
            yield url, watch, admin, listener
            listener.stop()
            admin.execute(f"NOTIFY {revision.CHANNEL}")
            listener.join(10)
            assert not listener.is_alive()


def test_another_host_on_the_same_postgres_hears_of_it(other_host, tmp_path):
    url, watch, _, _ = other_host
    change_elsewhere(tmp_path, DATABASE_URL=url)
    eventually(watch.changed, "news of the change")


def test_a_lost_connection_is_made_again_and_what_changed_meanwhile_is_found(other_host, monkeypatch):
    _, watch, admin, _ = other_host
    monkeypatch.setattr(revision, "RETRY_AFTER", 0.05)
    admin.execute("INSERT INTO routing_revision (id, number) VALUES (1, 7)")  # and nobody is notified
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    eventually(watch.changed, "news of the change")


def test_without_a_notification_the_number_is_looked_at(postgres_url, tmp_path):
    with new_database(postgres_url) as url, psycopg.connect(url, autocommit=True) as admin:
        counter = Counter(tmp_path / "r")
        listener = Listener({"conninfo": url}, counter, poll_every=0.05)
        listener.start()
        eventually(lambda: counter.value() != bytes(8), "the first look")
        watch = taken(counter)
        admin.execute("INSERT INTO routing_revision (id, number) VALUES (1, 7)")
        eventually(watch.changed, "news of the change")
        listener.stop()
        listener.join(10)


@pytest.mark.usefixtures("both_databases")
def test_the_number_grows_on_postgres_alone(home):
    Provider.objects.create(name="a", **VALUES)
    Reset.objects.create(provider="a")
    numbers = list(Revision.objects.values_list("number", flat=True))
    assert numbers == ([2] if connection.vendor == "postgresql" else [])


@pytest.mark.usefixtures("both_databases")
def test_only_postgres_has_other_hosts_to_listen_to(watch):
    listener = revision.listen(poll_every=0.05)
    if connection.vendor == "sqlite":
        assert listener is None
        return
    eventually(watch.changed, "the first look, by the settings of Django's own connection")
    listener.stop()
    listener.join(10)
    assert not listener.is_alive()

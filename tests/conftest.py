"""What all tests share: a fake provider, and a real server in front of it."""

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from whitenoise.middleware import WhiteNoiseMiddleware

# Before Django's settings are read: a home of its own, and nothing of the developer's environment.
for _name in list(os.environ):
    if _name.startswith("LUNAROUTE_") or _name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DATABASE_URL"):
        del os.environ[_name]
os.environ["LUNAROUTE_HOME"] = tempfile.mkdtemp(prefix="lunaroute-test-")

from tests.support import server as support_server  # noqa: E402
from tests.support.raw import RawClient  # noqa: E402
from tests.support.server import RunningServer, start_server  # noqa: E402
from tests.support.upstream import FakeUpstream  # noqa: E402

support_server.may_fork = True

# No test waits on a stopwatch: other work may take this machine's time.
# Who has changed a parser asks for more: HYPOTHESIS_PROFILE=thorough.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))


# A shell starts what runs in its background without SIGINT, nohup without SIGHUP; what the tests start must hear them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# Python looks for garbage the more often the more is made, and collecting makes much that stays: a fifth of its time.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, among what is made from now on."""
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Let each process begin to collect at another file: what one has compiled, the others take as it is."""
    if hasattr(config, "workerinput") and config.args == ["tests"]:
        files = sorted(str(path) for path in Path("tests").rglob("test_*.py"))
        number = int(config.workerinput["workerid"].removeprefix("gw"))
        first = len(files) * number // config.workerinput["workercount"]
        config.args = files[first:] + files[:first]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only the tests that run alone are wanted, leave the other files be."""
    if config.option.markexpr == "alone" and collection_path.suffix == ".py":
        return "mark.alone" not in collection_path.read_text() or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run the tests of a module that share something: else each would make it for itself."""
    items.sort(key=lambda item: item.path)  # all processes have the same order
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(definitions[-1].scope == "module" for definitions in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_looked_for_once() -> Iterator[None]:
    """Let Django's own client, of which a test has one or more, not look through all static files for each."""
    look, found = WhiteNoiseMiddleware.add_files_from_finders, {}

    def once(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            look(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    WhiteNoiseMiddleware.add_files_from_finders = once
    yield
    WhiteNoiseMiddleware.add_files_from_finders = look


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeUpstream]:
    """The fake provider of this process."""
    upstream = FakeUpstream().start()
    yield upstream
    upstream.stop()


@pytest.fixture
def upstream(provider: FakeUpstream) -> Iterator[FakeUpstream]:
    """The fake provider, with nothing left of the test before."""
    provider.reset()
    yield provider
    assert not provider.errors, "a script of the test itself failed"


@pytest.fixture(scope="session")
def postgres_url(django_db_setup, django_db_blocker) -> Iterator[str]:
    """A PostgreSQL server with LunaRoute's tables, for this process."""
    from tests.support.databases import migrated, postgres

    with postgres() as url:
        with django_db_blocker.unblock():
            migrated(url)
        yield url


@pytest.fixture
def database() -> str:
    """Which database a test's servers have: tests/sessions/conftest.py takes both."""
    return "sqlite"


@pytest.fixture
def database_url(database: str, request) -> Iterator[str]:
    """DATABASE_URL for this test's own servers, whose tables are empty; "" for SQLite, which lies in their home."""
    if database == "sqlite":
        yield ""
        return
    from tests.support.databases import new_database

    with new_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture(scope="session")
def shared_server(provider: FakeUpstream, tmp_path_factory) -> Iterator[RunningServer]:
    server = start_server(tmp_path_factory.mktemp("home"), provider.url)
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture(scope="session")
def shared_postgres_server(provider: FakeUpstream, postgres_url: str, tmp_path_factory) -> Iterator[RunningServer]:
    from tests.support.databases import new_database

    with new_database(postgres_url) as url:
        server = start_server(tmp_path_factory.mktemp("home"), provider.url, DATABASE_URL=url)
        yield server
        assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def server(database: str, upstream: FakeUpstream, request) -> RunningServer:
    """A server that records, shared by the tests that need nothing special of it."""
    return request.getfixturevalue("shared_server" if database == "sqlite" else "shared_postgres_server")


@pytest.fixture
def start(tmp_path: Path, upstream: FakeUpstream, database_url: str) -> Iterator[Callable[..., RunningServer]]:
    """Start servers of this test's own: start(*arguments, home=…, **environ)."""
    started: list[RunningServer] = []

    def begin(*arguments: str, home: Path = tmp_path, upstream_url: str = upstream.url, **options) -> RunningServer:
        if database_url:
            options.setdefault("DATABASE_URL", database_url)
        server = start_server(home, upstream_url, *arguments, **options)
        started.append(server)
        return server

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.kill_tree()


@pytest.fixture
def unread(tmp_path: Path) -> str:
    """A configuration in which nobody reads what passes: a recorder holds on to what it has not taken yet."""
    path = tmp_path / "unread.yaml"
    path.write_text("session_recording: {enabled: false, counting: false}\n")
    return str(path)


@pytest.fixture
def raw(server: RunningServer) -> Iterator[RawClient]:
    """A bare connection to the shared server."""
    with RawClient(server.port) as client:
        yield client

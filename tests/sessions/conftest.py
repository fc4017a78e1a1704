"""The record in a test's own database, on SQLite and on PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessions.models import Exchange
from sessions.store import Store
from tests.support.exchanges import events


@pytest.fixture
def store(both_databases: str, tmp_path: Path) -> Store:
    """A recorder's store with no exchange in it; its files are under ``tmp_path``."""
    return Store("test", tmp_path, write_jsonl=True, keep_user_agent=True)


@pytest.fixture
def record(store: Store) -> Callable[..., Exchange]:
    """Record one exchange: record(body, answer, session=…), see tests/support/exchanges.py."""

    def one(body: bytes, *answer: object, **options: object) -> Exchange:
        store.apply(events(body, *answer, **{"session": "s", **options}))
        return Exchange.objects.latest("pk")

    return one

"""The record that is in memory alone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions import memory
from sessions.memory import MIN_SESSIONS, MemoryStore
from sessions.models import Exchange, Session
from tests.support.databases import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("both_databases")]


@pytest.fixture
def store(tmp_path) -> MemoryStore:
    return MemoryStore("test", tmp_path, False, True, None, max_sessions=0)


def add_sessions(count: int) -> None:
    now = timezone.now()
    for number in range(count):
        at = now - timedelta(hours=count - number)
        session = Session.objects.create(session_id=f"s{number}", started_at=at, completed_at=at)
        Exchange.objects.create(session=session, request_id=f"r{number}", started_at=at, success=True)


def kept() -> set[str]:
    return set(Session.objects.values_list("session_id", flat=True))


def test_it_keeps_the_sessions_that_were_used_last(store):
    add_sessions(MIN_SESSIONS + 3)
    store.forget()
    assert kept() == {f"s{number}" for number in range(3, MIN_SESSIONS + 3)}


def test_one_that_runs_stays_however_old_it_is(store):
    add_sessions(MIN_SESSIONS + 3)
    Exchange.objects.filter(request_id="r0").update(success=None)
    store.forget()
    assert kept() == {"s0"} | {f"s{number}" for number in range(4, MIN_SESSIONS + 3)}


def test_it_holds_no_more_than_its_size(store, monkeypatch):
    add_sessions(5)
    monkeypatch.setattr(memory, "MAX_SIZE", 0)
    store.forget()
    assert not kept()


def test_it_looks_by_itself(store, monkeypatch):
    add_sessions(MIN_SESSIONS + 3)
    monkeypatch.setattr(memory, "LOOK_EVERY", 1)
    store.apply([])
    assert len(kept()) == MIN_SESSIONS

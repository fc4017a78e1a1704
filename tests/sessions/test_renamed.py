"""A machine that was renamed, or a home that was moved: what was recorded before stays, and goes on."""

import orjson
import pytest

from sessions.export.jsonl_export import jsonl
from sessions.models import Exchange, JsonlFile, Session
from sessions.store import Store
from tests.support.databases import sqlite_only
from tests.support.exchanges import compact, events

pytestmark = [sqlite_only, pytest.mark.usefixtures("both_databases")]


def say(store: Store, words: str, ended: bool = True) -> None:
    found = events(compact({"model": "m", "messages": [{"role": "user", "content": words}]}), session="s")
    store.apply(found if ended else found[:-1])


def renamed(tmp_path, name: str = "new-name:/home") -> Store:
    store = Store(name, tmp_path, True, True)
    store.recover(interrupt=True)
    return store


def test_a_session_that_goes_on_keeps_its_lines(tmp_path):
    say(Store("old-name:/home", tmp_path, True, True), "before")
    (file,) = JsonlFile.objects.all()
    before = open(file.path, "rb").read()
    say(renamed(tmp_path), "after")
    after = open(file.path, "rb").read()
    assert after.startswith(before)
    assert [orjson.loads(line)["type"] for line in after.splitlines()].count("completed") == 2
    (row,) = JsonlFile.objects.all()
    assert (row.recorder, row.size) == ("new-name:/home", len(after))
    assert b"".join(jsonl(Session.objects.get())) == after


def test_what_has_two_rows_already_gets_one(tmp_path):
    say(Store("old-name:/home", tmp_path, True, True), "before")
    (file,) = JsonlFile.objects.all()
    JsonlFile.objects.create(recorder="new-name:/home", path=file.path, size=10)
    before = open(file.path, "rb").read()
    renamed(tmp_path)
    (row,) = JsonlFile.objects.all()
    assert (row.size, row.session_id) == (len(before), file.session_id)
    assert open(file.path, "rb").read() == before


def test_what_was_cut_off_under_the_old_name_is_marked(tmp_path):
    say(Store("old-name:/home", tmp_path, True, True), "before", ended=False)
    renamed(tmp_path)
    assert Exchange.objects.get().error.startswith("interrupted")

"""What was recorded without redaction becomes what it would have been with it, and nothing else changes."""

import json
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from django.db import connection

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import reading, rebuild
from sessions.models import Blob, Exchange, JsonlFile, Node, SearchDocument, SearchSession, Session, ToolCall
from sessions.queries import SessionFilter, find
from sessions.redaction import Redaction
from sessions.redoing import Elsewhere, Redoing
from sessions.store import Store
from tests.sessions.test_redaction import everything
from tests.support import planted
from tests.support.exchanges import Frame
from tests.support.planted import EMAIL, ID, SSN, VALUES, record


@pytest.fixture(scope="module")
def conversation() -> list[list[Frame]]:
    return planted.conversation()


def redacting(root: Path, **policy: object) -> Store:
    return Store("test", root, True, True, Redaction(Redactor(Policy(**policy))))


def redo_all(**policy: object) -> int:
    """Redo what is waiting; gives how many sessions that were."""
    redoing = Redoing(Redactor(Policy(**policy)), "test")
    waiting = redoing.waiting()
    for key in waiting:
        redoing.redo(key)
    return len(waiting)


NAMES = {Session: "session_id", Exchange: "request_id", ToolCall: "call_id", Node: "key", Blob: "key"}


def rows(model: type, *left_out: str) -> list[dict]:
    """All rows of a table, without numbers that the database gave."""
    found = []
    for row in model.objects.order_by(NAMES[model]):
        names = {f.attname for f in model._meta.concrete_fields} - {
            "id",
            "session_id",
            "parent_id",
            "exchange_id",
            "result_exchange_id",
            *left_out,
        }
        values = {name: getattr(row, name) for name in names}
        values = {name: bytes(v) if isinstance(v, memoryview) else v for name, v in values.items()}
        if model is Exchange:
            values |= {
                "session": row.session.session_id, "parent": row.parent and row.parent.request_id,
                "body": reading.request_body(row), "answered": reading.answers([row])[row.pk], "raw": reading.response_body(row),
            }  # fmt: skip
            values = {
                **values,
                "request_headers": [list(p) for p in row.request_headers],
                "response_headers": [list(p) for p in row.response_headers],
            }
        if model is ToolCall:
            values |= {"text": reading.texts([row.arguments, row.result]), "by": row.exchange.request_id,
                       "brought": row.result_exchange and row.result_exchange.request_id}  # fmt: skip
        found.append(values)
    return found


def state() -> list[list[dict]]:
    return [rows(model) for model in NAMES]


def delete_all() -> None:
    from sessions.deletion import delete

    delete(list(Session.objects.values_list("pk", flat=True)))


def test_what_was_recorded_becomes_what_redaction_would_have_recorded(store, tmp_path, conversation):
    # Without redaction nobody looks into a body that came packed: what is known of it stays little.
    conversation = [some for some in conversation if b"content-encoding" not in some[0][2]]
    record(store, conversation)
    assert EMAIL.encode() in everything(tmp_path)
    assert redo_all() == 5
    redone = state()
    documents = SearchDocument.objects.count()
    text = everything(tmp_path)
    for value in VALUES:
        assert value.encode() not in text, value
    delete_all()
    assert not Blob.objects.exists()
    record(redacting(tmp_path), conversation)
    for mine, expected in zip(redone, state(), strict=True):
        assert len(mine) == len(expected)
        for one, other in zip(mine, expected, strict=True):
            assert one == other
    assert documents == SearchDocument.objects.count()


def test_nothing_but_texts_changes(store, tmp_path, conversation):
    record(store, conversation)
    Session.objects.get(session_id=ID).pin(True)
    Exchange.objects.filter(session__session_id=ID).update(cost_usd=12.5)
    keys = [set(model.objects.values_list("pk", flat=True)) for model in (Session, Exchange, ToolCall)]
    texts = {
        Session: ("title", "project", "tags", "user_agent", "error"),
        Exchange: ("path", "error", "user_agent", "metadata", "project", "request_headers", "response_headers", "redactions", "redacted_by", "leaf", "system",
                   "tools", "recipe", "patches", "body_sha256", "response", "body", "answered", "raw", "routing"),
        ToolCall: ("arguments", "result", "input_bytes", "output_bytes", "text"),
    }  # fmt: skip

    def kept() -> list:
        return [
            [{k: v for k, v in row.items() if k not in names} for row in rows(model)] for model, names in texts.items()
        ]

    before = kept()
    redo_all()
    assert kept() == before
    assert [set(model.objects.values_list("pk", flat=True)) for model in (Session, Exchange, ToolCall)] == keys
    assert Session.objects.get(session_id=ID).pinned


def test_what_only_columns_hold_is_redacted_too(store, conversation):
    record(store, conversation[-3:-2])
    address = "me@a-b.org"
    Exchange.objects.update(
        method=address, model_requested=address, model_used=f"m-{address}", finish_reason=address, error=address
    )
    # Nothing tells where the end of this title was cut off: it may be within a value.
    Session.objects.update(
        title="call 555 0134 …", model_used=f"m-{address}", model_tokens={f"m-{address}": 3}, error=address
    )
    redo_all(mode="mask")
    row = Exchange.objects.get()
    texts = [row.method, row.model_requested, row.model_used, row.finish_reason, row.error, row.session.title]
    texts += [row.session.model_used, *row.session.model_tokens, row.session.error]
    assert not any(address in text for text in texts)
    assert texts[0] == texts[4] == texts[-1] == "[EMAIL]"
    assert row.session.title == ""


def test_doing_it_twice_changes_nothing(store, tmp_path, conversation):
    record(store, conversation)
    redo_all()
    before, files = state(), {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert redo_all() == 0
    redoing = Redoing(Redactor(Policy()), "test")
    for key in Session.objects.values_list("pk", flat=True):
        assert not redoing.redo(key)
    assert state() == before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")} == files


def test_another_policy_redoes_what_the_first_left(store, tmp_path, conversation):
    record(store, conversation)
    redo_all(types=("SSN", "CREDIT_CARD"))
    text = everything(tmp_path)
    assert SSN.encode() not in text
    assert EMAIL.encode() in text
    assert redo_all(mode="tokenize", secret="s") == 6
    assert redo_all(mode="tokenize", secret="another") == 0
    text = everything(tmp_path)
    assert EMAIL.encode() not in text
    assert b"[EMAIL:" in text
    # A body that was decoded when it was redacted is still one.
    packed = Exchange.objects.get(session__session_id="packed")
    assert json.loads(reading.request_body(packed))["messages"][0]["content"].startswith("I am [EMAIL:")
    (row,) = Exchange.objects.filter(session__session_id="plain")
    assert row.redactions == {"SSN": 1, "EMAIL": 1}


def test_what_is_recorded_with_redaction_is_not_waiting(both_databases, tmp_path, conversation):
    store = redacting(tmp_path)
    record(store, conversation[:2])
    assert Redoing(Redactor(Policy()), "test").waiting() == []
    # One that went on without redaction is.
    record(Store("test", tmp_path, True, True), conversation[2:3])
    assert redo_all() == 1
    assert EMAIL.encode() not in everything(tmp_path)


def test_the_index_finds_marks_and_no_values(store, conversation):
    record(store, conversation)
    redo_all(mode="tokenize", secret="s")
    token = (
        reading.request_body(Exchange.objects.filter(session__session_id="chat").first())
        .split(b"for [EMAIL:")[1][:8]
        .decode()
    )
    assert [s.session_id for s in find(SessionFilter(text_search=token, session_id="chat"))] == ["chat"]
    assert not find(SessionFilter(text_search="corp"))
    assert not find(SessionFilter(text_search=f'"{SSN}"'))
    assert SearchSession.objects.count() == Session.objects.count()
    assert not SearchSession.objects.exclude(upto=None).exists()


def test_files_are_whole_again_and_rebuild_every_body(store, tmp_path, conversation):
    record(store, conversation)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    (path,) = tmp_path.rglob("session_chat.jsonl")
    packed = Path(f"{path}.zst")
    packed.write_bytes(zstandard.compress(path.read_bytes()[:900]) + zstandard.compress(path.read_bytes()[900:]))
    path.unlink()
    (lost,) = tmp_path.rglob("session_plain.jsonl")
    lost.unlink()
    redo_all()
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before - {path, lost} | {packed}
    for file in JsonlFile.objects.exclude(path=str(lost)):
        at = Path(file.path)
        data = (
            at.read_bytes()
            if at.is_file()
            else zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
        )
        assert file.size == len(data)
        for value in VALUES:
            assert value.encode() not in data
        assert (at if at.is_file() else packed).stat().st_mode & 0o777 == 0o600
        rebuilt = {body.request_id: body for body in rebuild.bodies(data.splitlines(keepends=True))}
        for row in file.session.exchanges.all():
            assert rebuilt[row.request_id].is_exact
            assert rebuilt[row.request_id].data == reading.request_body(row)


def test_a_recorder_goes_on_where_a_file_was_written_anew(store, tmp_path, conversation):
    record(store, conversation[:3])
    redo_all()
    record(redacting(tmp_path), conversation[3:7])
    (file,) = JsonlFile.objects.all()
    data = Path(file.path).read_bytes()
    assert file.size == len(data)
    assert all(body.is_exact for body in rebuild.bodies(data.splitlines(keepends=True)))
    rows = Exchange.objects.order_by("pk")
    assert [row.messages_from for row in rows] == [0, 0, 1, 0, 3, 3, 5]


def test_without_files_there_is_nothing_to_write(both_databases, tmp_path, conversation):
    record(Store("test", tmp_path, False, True), conversation)
    redo_all()
    assert list(tmp_path.iterdir()) == []
    assert EMAIL.encode() not in everything(tmp_path)


def test_a_failure_leaves_everything_as_it_was(store, tmp_path, conversation, monkeypatch):
    record(store, conversation)
    before, files = state(), {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            redo_all()
    assert state() == before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")} == files
    assert redo_all() == 6
    assert EMAIL.encode() not in everything(tmp_path)
    assert not list(tmp_path.rglob("*.new"))


def test_what_another_host_has_on_its_disk_is_left_to_it(both_databases, tmp_path, conversation):
    record(Store("far:/home", tmp_path / "far", True, True), conversation[:3])
    if connection.vendor == "sqlite":
        (tmp_path / "far").rename(tmp_path / "moved")
        assert redo_all() == 1  # nobody else can have it
        return
    assert redo_all() == 1  # its file is in reach
    (tmp_path / "far").rename(tmp_path / "moved")
    with pytest.raises(Elsewhere, match="far:/home"):
        redo_all(types=("EMAIL",))


def test_to_count_changes_nothing(store, tmp_path, conversation):
    record(store, conversation)
    before = state()
    redoing = Redoing(Redactor(Policy()), "test")
    counts = sum((redoing.redo(key, write=False) for key in redoing.waiting()), start=Counter())
    assert state() == before
    delete_all()
    record(redacting(tmp_path), conversation)
    stored = Counter()
    for row in Exchange.objects.all():
        stored.update(row.redactions)
    assert counts == stored

"""An import with redaction on: nothing of what lines say is written before it is redacted."""

import json
from pathlib import Path

import pytest

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import reading, rebuild
from sessions.deletion import delete
from sessions.importing import Importer, files_of
from sessions.models import Blob, Exchange, JsonlFile, Session
from sessions.store import Store
from tests.sessions.test_redaction import everything
from tests.support import planted
from tests.support.planted import CARD, EMAIL, ID, VALUES, record


@pytest.fixture
def files(both_databases: str, tmp_path: Path) -> Path:
    """Files of what was recorded without redaction, and nothing of it in the database."""
    record(Store("test", tmp_path / "before", True, True), planted.conversation())
    delete_rows()
    return tmp_path / "before"


def delete_rows() -> None:
    JsonlFile.objects.update(session=None, size=0)
    JsonlFile.objects.all().delete()
    delete(list(Session.objects.values_list("pk", flat=True)))
    assert not Blob.objects.exists()


def take(source: Path, root: Path, redactor: Redactor | None) -> Importer:
    importer = Importer("test", root, {}, lambda line: pytest.fail(line), redactor)
    for path in files_of([source]):
        importer.take(path)
    return importer


def test_nothing_unredacted_is_written(files, tmp_path):
    root = tmp_path / "record"
    counts = take(files, root, Redactor(Policy())).counts
    assert (counts.exchanges, counts.skipped) == (14, 0)
    text = everything(root)
    for value in VALUES:
        assert value.encode() not in text, value
    for row in Exchange.objects.all():
        assert row.redacted_by == Policy().fingerprint()
    broken = Exchange.objects.get(session__session_id="broken")
    assert b"[EMAIL]" in reading.request_body(broken)
    failed = Exchange.objects.filter(session__session_id=ID, error__startswith="upstream_broken").get()
    assert failed.error == "upstream_broken: [EMAIL] hung up"
    assert failed.redactions["EMAIL"] > 1


def test_a_hash_of_what_was_there_before_is_not_kept(files, tmp_path):
    take(files, tmp_path / "plain", None)
    before = {row.request_id: (bytes(row.body_sha256), reading.request_body(row)) for row in Exchange.objects.all()}
    delete_rows()
    take(files, tmp_path / "record", Redactor(Policy()))
    for row in Exchange.objects.all():
        digest, body = before[row.request_id]
        assert (bytes(row.body_sha256) == digest) == (reading.request_body(row) == body)
    assert Exchange.objects.filter(session__session_id="plain").get().request_id in before


def test_values_are_counted_as_when_they_are_recorded(files, tmp_path):
    take(files, tmp_path / "record", Redactor(Policy()))
    row = Exchange.objects.filter(session__session_id="chat").order_by("pk").first()
    assert row.redactions == {"EMAIL": 3}


def test_a_file_of_the_record_itself_is_written_anew(files, tmp_path):
    take(files, files, Redactor(Policy()))
    assert JsonlFile.objects.count() == 6
    for file in JsonlFile.objects.all():
        data = Path(file.path).read_bytes()
        assert file.size == len(data)
        assert not any(value.encode() in data for value in VALUES)
        for body in rebuild.bodies(data.splitlines(keepends=True)):
            assert body.is_exact
            assert body.data == reading.request_body(Exchange.objects.get(request_id=body.request_id))
    # Of an answer, of which an import has the object and no bytes, the new file has it, too.
    (path,) = files.rglob("session_responses.jsonl")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    answers = [line["response_text"] for line in lines if line["type"] == "response_recorded"]
    assert answers == ["you are [EMAIL]", "you are [EMAIL]"]


def test_a_file_of_which_lines_were_skipped_stays_out_of_the_record(files):
    (path,) = files.rglob("session_chat.jsonl")
    path.write_bytes(path.read_bytes() + b"torn")
    said: list[str] = []
    Importer("test", files, {}, said.append, Redactor(Policy())).take(path)
    number = path.read_bytes().count(b"\n") + 1
    assert said == [
        f"{path}, line {number}: the line is torn",
        f"{path}: lines were skipped, so it stays as it is, unredacted, and the record does not know it",
    ]
    assert not JsonlFile.objects.exists()
    assert EMAIL.encode() not in everything(files / "none")


def test_an_import_without_redaction_is_as_it_was(files, tmp_path):
    take(files, tmp_path / "record", None)
    assert CARD.encode() in everything(tmp_path / "record")
    assert set(Exchange.objects.values_list("redacted_by", flat=True)) == {""}

"""What is recorded has no personal data in it, wherever a value stood in what passed."""

import gzip
import json
from pathlib import Path
from tempfile import mkdtemp

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import reading
from sessions.models import Exchange
from sessions.redaction import Redaction
from sessions.store import Store
from tests.pii.test_events import STREAMS, framed
from tests.support.exchanges import compact, events
from tests.support.planted import CARD, EMAIL, ID, SSE, SSN, deltas
from tests.support.plants import OWN_PATTERN, Plants


def redacting(root: Path, **policy: object) -> Store:
    return Store("test", root, True, True, Redaction(Redactor(Policy(**policy))))


@pytest.fixture
def store(both_databases: str, tmp_path: Path) -> Store:
    return redacting(tmp_path)


def everything(root: Path) -> bytes:
    """All that the database and the files hold, unpacked."""
    found = [path.read_bytes() + str(path).encode() for path in root.rglob("*.jsonl")]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if not table.startswith(("django_", "auth_", "search_index_")):
                cursor.execute(f'SELECT * FROM "{table}"')
                found += [repr(row).encode() for row in cursor.fetchall()]
    for row in Exchange.objects.all():
        found += [reading.request_body(row) or b"", reading.response_body(row) or b"", compact(row.request_headers)]
        found += [compact(row.response_headers), compact(reading.answers([row])[row.pk])]
    return b"\n".join(found)


def test_the_guides_example_is_recorded_as_the_guide_prints_it(both_databases, tmp_path):
    store = redacting(tmp_path, mode="tokenize", secret="a secret")
    said = f"My email is john.doe@example.com and SSN is {SSN}"
    body = compact({"model": "m", "messages": [{"role": "user", "content": said}]})
    store.apply(events(body, session="s"))
    row = Exchange.objects.get()
    (message,) = json.loads(reading.request_body(row))["messages"]
    assert message["content"].startswith("My email is [EMAIL:")
    assert " and SSN is [SSN:" in message["content"]
    assert row.session.title == message["content"]
    assert row.redactions == {"EMAIL": 1, "SSN": 1}


def test_nothing_is_left_of_values_anywhere_in_a_conversation(store, tmp_path):
    tools = [{"name": "Mail", "description": f"write to {EMAIL}", "input_schema": {"properties": {EMAIL: {}}}}]
    first = {
        "model": "m", "system": f"You work for {EMAIL}", "tools": tools,
        "metadata": {"user_id": f"user_x_account__session_{ID}", "note": EMAIL},
        "messages": [{"role": "user", "content": [{"type": "text", "text": f"ssn {SSN}", "cache_control": {"type": "ephemeral"}}]}],
    }  # fmt: skip
    store.apply(events(compact(first), deltas("write to john", ".doe@corp", "-mail.org, card 4111 11", "11 1111 1111")
                       , answer_headers=[*SSE, ("x-who", EMAIL)], headers=[("x-mail", EMAIL), ("user-agent", f"me {EMAIL}")]))  # fmt: skip
    first["messages"] += [
        {"role": "assistant", "content": [{"type": "text", "text": f"write to {EMAIL}, card {CARD}"}]},
        {"role": "user", "content": f"\\u0041 {CARD} and {EMAIL} \U0001f600"},
    ]
    store.apply(events(compact(first), deltas('{"command": "mail jo', "hn.doe@cor", 'p-mail.org", "', EMAIL, '": 1}', kind="input_json"),
                       answer_headers=SSE, error="upstream_broken", error_message=f"{EMAIL} hung up"))  # fmt: skip
    first["messages"] += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": f"mail {EMAIL}"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": f"sent to {EMAIL}"}]},
    ]  # fmt: skip
    failed = compact({"type": "error", "error": {"type": "invalid_request_error", "message": f"who is {EMAIL}?"}})
    store.apply(events(compact(first), failed))
    rows = list(Exchange.objects.order_by("pk"))
    assert [row.session.session_id for row in rows] == [ID] * 3
    assert [row.message_count for row in rows] == [1, 3, 5]
    assert [row.messages_from for row in rows] == [0, 1, 3]
    assert [row.parent_id for row in rows] == [None, rows[0].pk, rows[1].pk]
    text = everything(tmp_path)
    for value in (EMAIL, EMAIL.split("@")[0], "corp-mail", SSN, CARD, "1111 1111"):
        assert value.encode() not in text, value
    assert b"[EMAIL]" in text
    assert b"[CREDIT_CARD]" in text
    body = json.loads(reading.request_body(rows[2]))
    assert list(body) == list(first)
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    call = rows[1].tool_calls.get()
    assert json.loads(reading.texts([call.arguments])[bytes(call.arguments)]) == {
        "command": "mail [EMAIL]",
        "[EMAIL]": 1,
    }
    for name in tmp_path.rglob("*.jsonl"):
        for line in name.read_text().splitlines():
            json.loads(line)


@pytest.mark.parametrize("name", ["x-project-id", "X-Session-Context", "x-session-tags"])
def test_what_names_a_project_or_a_tag_is_none_of_somebodys_numbers(store, tmp_path, name):
    card = "4008904294322729"  # behind a name that ends in "id" it might be one
    body = compact({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    store.apply(events(body, session="s", headers=[(name, card)]))
    row = Exchange.objects.get()
    assert card.encode() not in everything(tmp_path)
    assert "[CREDIT_CARD]" in (row.project, *row.metadata.get("tags", ()))


def test_what_has_no_value_in_it_is_recorded_byte_for_byte(store):
    body = b'{"model": "m",  "messages": [ {"role":"user","content":"plain 1.0 \\u00e9 text"} ] }'
    answer = b"".join(deltas("nothing ", "in here"))
    store.apply(events(body, answer, session="s", answer_headers=SSE))
    row = Exchange.objects.get()
    assert reading.request_body(row) == body
    assert reading.response_body(row) == answer
    assert row.redactions == {}


@pytest.mark.parametrize("keep", [False, True])
def test_a_coded_body_is_read_and_a_binary_one_kept_as_its_size(both_databases, tmp_path, keep):
    store = redacting(tmp_path, keep_binary=keep)
    packed = gzip.compress(compact({"model": "m", "messages": [{"role": "user", "content": f"I am {EMAIL}"}]}))
    store.apply(events(packed, session="s", headers=[("content-encoding", "gzip")]))
    store.apply(events(packed, session="s", headers=[("content-encoding", "unheard-of")]))
    store.apply(events(b"\x89PNG\0\0" + EMAIL.encode(), session="s", path="/v1/files"))
    bodies = [reading.request_body(row) for row in Exchange.objects.order_by("pk")]
    assert json.loads(bodies[0])["messages"][0]["content"] == "I am [EMAIL]"
    assert bodies[1] == b"[REDACTION FAILED]"
    assert EMAIL.encode() not in everything(tmp_path)
    assert bodies[2].startswith(b"\x89PNG" if keep else b"[BINARY 28 bytes sha256:")


@pytest.mark.parametrize("keep", [False, True])
def test_of_an_answer_that_stops_to_decode_nothing_later_is_kept(both_databases, tmp_path, keep):
    pieces = [gzip.compress(b"well", mtime=0)[:-8], b"\xff" * 30, EMAIL.encode()]
    store = redacting(tmp_path, keep_binary=keep)
    store.apply(events(b"{}", pieces, session="s", answer_headers=[("content-encoding", "gzip")]))
    assert EMAIL.encode() not in everything(tmp_path)
    assert reading.response_body(Exchange.objects.get()) == b"well"


def test_an_answer_in_an_unknown_coding_is_withheld(store, tmp_path):
    store.apply(events(b"{}", EMAIL.encode(), session="s", answer_headers=[("content-encoding", "unheard-of")]))
    assert reading.response_body(Exchange.objects.get()) == b"[REDACTION FAILED]"
    assert EMAIL.encode() not in everything(tmp_path)


def test_a_detector_that_fails_withholds_the_text(store, tmp_path, monkeypatch, caplog):
    def broken(*_: object) -> None:
        raise RuntimeError(f"cannot read {EMAIL}")

    monkeypatch.setattr("pii.detectors.find", broken)
    monkeypatch.setattr("pii.redactor._known_failures", set())
    body = compact({"model": "m", "messages": [{"role": "user", "content": f"I am {EMAIL}"}]})
    store.apply(events(body, deltas("hello"), session="s", answer_headers=SSE))
    text = everything(tmp_path)
    assert EMAIL.encode() not in text
    assert b"[REDACTION FAILED]" in text
    assert EMAIL not in caplog.text
    assert "RuntimeError" in caplog.text
    assert Exchange.objects.get().redactions["FAILED"] > 0


PATHS = {
    "anthropic": ("/v1/messages", "anthropic", "messages"),
    "openai-chat": ("/v1/chat/completions", "openai", "messages"),
    "openai-responses": ("/v1/responses", "openai", "input"),
}
# What passed is redacted before a database is asked: each dialect on one of them, and one on both.
ON = [*(("sqlite", dialect) for dialect in PATHS), ("postgres", "anthropic")]
# Anything that JSON holds; True stands for what is put in its place.
NESTED = st.recursive(
    st.one_of(st.just(True), st.integers(), st.text('ab é\n"\\\U0001f600', max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("xyz", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
# A test's database serves all examples: what each of them records is rolled back.
many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def filled(nested: object, text: str) -> object:
    if isinstance(nested, dict):
        return {name: filled(value, text) for name, value in nested.items()} | {text: 1}
    if isinstance(nested, list):
        return [filled(value, text) for value in nested]
    return text if nested is True else nested


def conversation(dialect: str, text: str, nested: object, seed: int) -> tuple[bytes, bytes, dict]:
    """Give a request that says `text` wherever it can, its streamed answer, and where it goes."""
    path, provider, name = PATHS[dialect]
    arguments = {"a": text, "nested": nested, "inner": json.dumps(nested)}
    messages = [{"role": "user", "content": text}]
    if dialect == "anthropic":
        messages.append(
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": arguments}]}
        )
        messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]})
    body = compact({"model": "m", name: messages, "nested": nested, "system": text, "tools": [nested]})
    answer = framed(STREAMS[dialect](text, json.dumps(arguments), seed))
    return body, answer, {"path": path, "provider": provider, "answer_headers": SSE, "session": "s"}


@pytest.mark.parametrize(("database", "dialect"), ON, indirect=["database"])
@many
@given(seed=st.integers(0, 9999), nested=NESTED, mode=st.sampled_from(["mask", "remove", "tokenize"]))
def test_no_value_survives_any_cuts_and_any_nesting(both_databases, tmp_path, dialect, seed, nested, mode):
    plants, root = Plants(), Path(mkdtemp(dir=tmp_path))
    text = plants.text("a conversation")
    body, answer, where = conversation(dialect, text, filled(nested, text), seed)
    with transaction.atomic():
        store = redacting(root, mode=mode, secret="a secret", custom_patterns=(OWN_PATTERN,))
        cuts = sorted({seed % len(answer), seed * 7 % len(answer), seed * 31 % len(answer)})
        pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
        store.apply(events(body, pieces, **where))
        assert plants.look([("the record", everything(root))]) == []
        row = Exchange.objects.get()
        assert json.loads(reading.request_body(row))["model"] == "m"
        assert row.redactions["EMAIL"] > 1
        transaction.set_rollback(True)


@pytest.mark.parametrize(("database", "dialect"), ON, indirect=["database"])
@many
@given(seed=st.integers(0, 9999), nested=NESTED, text=st.text('ab é.,\n"\\\U0001f600', max_size=40))
def test_what_holds_no_value_survives_byte_for_byte(both_databases, tmp_path, dialect, seed, nested, text):
    body, answer, where = conversation(dialect, text, filled(nested, text), seed)
    with transaction.atomic():
        redacting(Path(mkdtemp(dir=tmp_path))).apply(events(body, answer, **where))
        row = Exchange.objects.get()
        assert reading.request_body(row) == body
        assert reading.response_body(row) == answer
        assert row.redactions == {}
        transaction.set_rollback(True)

"""From what was recorded to documents, and from documents back to their texts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sessions import content, reading
from sessions.dialects import parse_request
from sessions.dialects.facts import Message
from sessions.dialects.messages import parse_message
from sessions.models import Exchange, SearchDocument, SearchSession
from sessions.search.documents import Kind, Texts, kind_of, session_of, texts_of, texts_of_answer, texts_of_message

# Rows of exchanges are wide; this is what the texts need.
_NEEDED = (
    "request_id", "dialect", "kind", "error", "answer", "response", "response_headers", "status", "transport", "leaf", "recipe",
    "system", "tools", "patches", "capture",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What an exchange adds: the texts of one message or answer. ``blob`` is empty where the exchange has them itself."""

    exchange: Exchange
    blob: bytes
    texts: Texts


def said_in_request(exchange: Exchange, messages: Sequence[bytes], parsed: Sequence[Message] = ()) -> Iterator[Said]:
    """Give what is new in a request. `messages` are those that the session did not have, as they are stored, and
    `parsed` says the same where that is at hand; where the request was not taken apart, `parsed` are those of its body."""
    is_answer_sent_back = exchange.messages_from > 0
    if len(parsed) != len(messages) and messages:
        parsed = [parse_message(exchange.dialect, raw) for raw in messages]
    for raw, message in zip(messages, parsed, strict=False):
        is_answer_sent_back = is_answer_sent_back and message.role == "assistant"
        if not is_answer_sent_back and exchange.dialect:
            yield Said(exchange, content.key_of(raw), texts_of(message))
    if not exchange.leaf and parsed:
        yield Said(exchange, b"", texts_of(*parsed))


def said_in_answer(exchange: Exchange, assembled: Any) -> Iterator[Said]:
    """Give what an exchange's end adds: its answer (as the vendor's API gives it without streaming), and why it failed."""
    if assembled:
        yield Said(exchange, bytes(exchange.answer or exchange.response), texts_of_answer(exchange.dialect, assembled))
    if exchange.error:
        yield Said(exchange, b"", {Kind.ERROR: exchange.error})


def said_in(exchanges: Sequence[Exchange]) -> Iterator[Said]:
    """Give what recorded exchanges added, in order."""
    messages = reading.new_messages(exchanges)
    answers = reading.answers(exchanges)
    for exchange in exchanges:
        yield from said_in_request(exchange, messages[exchange.pk], () if exchange.leaf else _whole(exchange))
        if exchange.success is not None:
            yield from said_in_answer(exchange, answers[exchange.pk])


def _whole(exchange: Exchange) -> tuple[Message, ...]:
    body = reading.request_body(exchange) if exchange.dialect else None
    return parse_request(exchange.dialect, exchange.kind, body).messages if body else ()


def texts_of_documents(documents: Iterable[SearchDocument]) -> dict[int, tuple[str, str]]:
    """Read the whole texts that documents stand in: document's id → (text, request id). What is gone is left out."""
    documents = list(documents)
    contents = content.get_many(document.blob for document in documents)
    exchanges = {row.pk: row for row in _exchanges({d.exchange_id for d in documents if d.exchange_id})}
    titles = dict(
        SearchSession.objects.filter(pk__in={session_of(d.id) for d in documents if d.exchange_id is None})
        .values_list("pk", "title")
    )  # fmt: skip
    known: dict[tuple[int | None, bytes], Texts] = {}
    found = {}
    for document in documents:
        kind, blob = kind_of(document.id), bytes(document.blob)
        exchange = exchanges.get(document.exchange_id)
        if kind is Kind.TITLE:
            text = titles.get(session_of(document.id))
        elif exchange is None:
            continue
        elif kind is Kind.ERROR:
            text = exchange.error
        else:
            place = (exchange.pk, blob)
            if place not in known:
                known[place] = _texts(exchange, blob, contents.get(blob))
            text = known[place].get(kind)
        if text is not None:
            found[document.id] = (text, exchange.request_id if exchange else "")
    return found


def _exchanges(keys: set[int]) -> Iterator[Exchange]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), content.AT_ONCE):
        yield from Exchange.objects.filter(pk__in=ordered[start : start + content.AT_ONCE]).only(*_NEEDED)


def _texts(exchange: Exchange, blob: bytes, data: bytes | None) -> Texts:
    if not blob:
        return texts_of(*_whole(exchange))
    if data is None:
        return {}
    if blob == bytes(exchange.answer or exchange.response):
        return texts_of_answer(exchange.dialect, reading.answer_of(exchange, data))
    return texts_of_message(exchange.dialect, data)

"""The record, read back: request bodies as they were sent, and the pieces that pages and API show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import connection

from routing.heads import header
from sessions.browser.marks import marks
from sessions.content import AT_ONCE, get_many
from sessions.dialects import response_parser
from sessions.dialects.facts import ResponseFacts
from sessions.dialects.parsing import loads
from sessions.models import Exchange
from sessions.rows import unpack_patches
from sessions.split import Parts, join


def _chains(leaves: dict[bytes, int]) -> dict[bytes, list[bytes]]:
    """Give, for each leaf, the blob keys of its messages from index `leaves[leaf]` on."""
    chains: dict[bytes, list[bytes]] = {leaf: [] for leaf in leaves}
    wanted = list(leaves.items())
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        ends = ", ".join(["(%s, CAST(%s AS integer))"] * len(some))
        with connection.cursor() as cursor:
            # From the last message back to the first that is asked for: one query, however deep.
            cursor.execute(
                f"WITH RECURSIVE ends(leaf, known) AS (VALUES {ends}), chain(leaf, known, parent, blob, depth) AS ("
                " SELECT e.leaf, e.known, n.parent, n.blob, n.depth FROM ends e JOIN nodes n ON n.key = e.leaf"
                " WHERE n.depth > e.known"
                " UNION ALL"
                " SELECT c.leaf, c.known, n.parent, n.blob, n.depth FROM chain c JOIN nodes n ON n.key = c.parent"
                " WHERE c.depth - 1 > c.known"
                ") SELECT leaf, blob FROM chain ORDER BY depth",
                [value for pair in some for value in pair],
            )
            for leaf, blob in cursor.fetchall():
                chains[bytes(leaf)].append(bytes(blob))
    return chains


def new_messages(exchanges: Sequence[Exchange]) -> dict[int, list[bytes]]:
    """Give each exchange's messages that the session did not have before, as JSON: primary key → messages."""
    leaves: dict[bytes, int] = {}
    for exchange in exchanges:
        if exchange.leaf:
            leaf = bytes(exchange.leaf)
            leaves[leaf] = min(exchange.messages_from, leaves.get(leaf, exchange.messages_from))
    chains = _chains(leaves)
    contents = get_many(key for keys in chains.values() for key in keys)
    found = {}
    for exchange in exchanges:
        leaf = bytes(exchange.leaf)
        keys = chains.get(leaf, [])[exchange.messages_from - leaves.get(leaf, 0) :]
        found[exchange.pk] = [contents[key] for key in keys if key in contents]
    return found


def answers(exchanges: Sequence[Exchange]) -> dict[int, Any]:
    """Give each exchange's answer as the object that the vendor's API gives without streaming, or None."""
    contents = get_many(exchange.answer or exchange.response for exchange in exchanges)
    return {e.pk: answer_of(e, contents.get(bytes(e.answer or e.response))) for e in exchanges}


def answer_of(exchange: Exchange, data: bytes | None) -> Any:
    """Give an answer as one object from `data`: what is stored under the exchange's ``answer``, else ``response``."""
    if data is None or exchange.answer:
        return loads(data) if data is not None else None
    return facts_of(exchange, data).content


def answer_bytes(exchange: Exchange) -> bytes:
    """Give what is stored of an answer under ``response``, else ``answer``; empty where nothing is."""
    return next(iter(get_many([exchange.answer or exchange.response]).values()), b"")


def facts_of(exchange: Exchange, data: bytes) -> ResponseFacts:
    """Read an answer once more, as the recorder did: from `data`, which is stored under ``response`` (or ``answer``)."""
    content_type = header(exchange.response_headers, "content-type")
    if exchange.transport == "ws":
        content_type = "text/event-stream"
    if exchange.answer:
        content_type = "application/json"
    parser = response_parser(exchange.dialect, content_type, exchange.status or 200)
    parser.feed(data)
    return parser.finish()


def texts(keys: Iterable[bytes]) -> dict[bytes, str]:
    """Give contents as text."""
    return {key: data.decode("utf-8", "replace") for key, data in get_many(keys).items()}


def request_body(exchange: Exchange) -> bytes | None:
    """Give a request's body byte for byte, or None where it was not kept."""
    if not exchange.recipe:
        return b"" if exchange.capture == "full" else None
    leaf = bytes(exchange.leaf)
    keys = _chains({leaf: 0})[leaf] if leaf else []
    return body_from(exchange, keys, get_many([*keys, exchange.recipe, exchange.system, exchange.tools]))


def body_from(exchange: Exchange, keys: Iterable[bytes], contents: Mapping[bytes, bytes]) -> bytes:
    """Put a request's body together: `keys` are those of its messages, `contents` what they and its other keys stand for."""
    parts = Parts(
        template=contents[bytes(exchange.recipe)],
        system=contents.get(bytes(exchange.system), b""),
        tools=contents.get(bytes(exchange.tools), b""),
        messages=tuple(contents[key] for key in keys),
        patches=tuple((number, offset, mark) for number, offset, mark in unpack_patches(bytes(exchange.patches))),
    )
    return join(parts)


def response_body(exchange: Exchange) -> bytes | None:
    """Give an answer's bytes, decoded from their content coding, or None where they were not kept."""
    if not exchange.response:
        # An imported exchange has its answer, but not the bytes in which that came.
        return b"" if exchange.capture == "full" and not exchange.response_bytes else None
    return get_many([exchange.response]).get(bytes(exchange.response))


def redactions_in(exchange: Exchange, *bodies: bytes | None) -> Mapping[str, int]:
    """Say what was replaced in an exchange, by type; where nothing was, count the marks that its `bodies` have.

    A conversation is sent again and again, and what a request repeats has been replaced and counted before.
    """
    if exchange.redactions or not _may_have_marks(exchange):
        return exchange.redactions
    return sum((marks().count(body.decode("utf-8", "replace")) for body in bodies if body), Counter())


def _may_have_marks(exchange: Exchange) -> bool:
    """Whether marks in an exchange are likely those of redaction, and not somebody's words."""
    if settings.LUNAROUTE.session_recording.pii.enabled:
        return True
    return Exchange.objects.filter(session=exchange.session_id).exclude(redactions={}).exists()

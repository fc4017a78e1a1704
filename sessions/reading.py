"""The record, read back: request bodies as they were sent, and the pieces that pages and API show."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from sessions.content import AT_ONCE, get_many
from sessions.dialects.parsing import loads
from sessions.models import Exchange, Node
from sessions.split import Parts, join


def _chains(leaves: dict[bytes, int]) -> dict[bytes, list[bytes]]:
    """Give, for each leaf, the blob keys of its messages from index `leaves[leaf]` on."""
    chains: dict[bytes, list[bytes]] = {leaf: [] for leaf in leaves}
    at = {leaf: leaf for leaf in leaves}  # where the walk to the first message has come
    while at:
        wanted = list(set(at.values()))
        nodes = {}
        for start in range(0, len(wanted), AT_ONCE):
            for node in Node.objects.filter(key__in=wanted[start : start + AT_ONCE]):
                nodes[bytes(node.key)] = node
        following = {}
        for leaf, key in at.items():
            node = nodes.get(key)
            if node is None or node.depth <= leaves[leaf]:
                continue
            chains[leaf].append(bytes(node.blob))
            if node.parent and node.depth - 1 > leaves[leaf]:
                following[leaf] = bytes(node.parent)
        at = following
    return {leaf: keys[::-1] for leaf, keys in chains.items()}


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
    contents = get_many(exchange.answer for exchange in exchanges)
    return {e.pk: loads(contents[bytes(e.answer)]) if bytes(e.answer) in contents else None for e in exchanges}


def texts(keys: Iterable[bytes]) -> dict[bytes, str]:
    """Give contents as text."""
    return {key: data.decode("utf-8", "replace") for key, data in get_many(keys).items()}


def request_body(exchange: Exchange) -> bytes | None:
    """Give a request's body byte for byte, or None where it was not kept."""
    if not exchange.recipe:
        return b"" if exchange.capture == "full" else None
    leaf = bytes(exchange.leaf)
    keys = _chains({leaf: 0})[leaf] if leaf else []
    contents = get_many([*keys, exchange.recipe, exchange.system, exchange.tools])
    patches = msgspec.msgpack.decode(bytes(exchange.patches)) if exchange.patches else ()
    parts = Parts(
        template=contents[bytes(exchange.recipe)],
        system=contents.get(bytes(exchange.system), b""),
        tools=contents.get(bytes(exchange.tools), b""),
        messages=tuple(contents[key] for key in keys),
        patches=tuple((number, offset, mark) for number, offset, mark in patches),
    )
    return join(parts)


def response_body(exchange: Exchange) -> bytes | None:
    """Give an answer's bytes, decoded from their content coding, or None where they were not kept."""
    if not exchange.response:
        return b"" if exchange.capture == "full" else None
    return get_many([exchange.response]).get(bytes(exchange.response))

"""A request body in parts, and together again, byte for byte.

A coding assistant sends its conversation, its system prompt and its tools with every request. Here a body becomes a
*template* (all that is left when those are cut out) with holes, the system prompt's bytes, the tool list's bytes, and
each message's bytes. Cache marks (``cache_control``), which wander from message to message, are cut out of messages as
*patches*, and a text that is the only block of a list becomes a string, so that a message has the same bytes in each
request that sends it.

``split`` never fails: what it cannot take apart, or cannot put together again exactly, stays whole. Pure functions.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate

import msgspec

# Member names of the three big parts, by dialect.
PARTS = {
    "anthropic": ("system", "tools", "messages"),
    "openai-chat": (None, "tools", "messages"),
    "openai-responses": ("instructions", "tools", "input"),
}
SYSTEM, TOOLS, MESSAGES = 0, 1, 2

# What stands before a member's value.
_KEY = re.compile(rb'\s*,?\s*"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*:\s*')
# A cache mark after another member. An unescaped `,"cache_control":` cannot stand inside of a JSON string.
_MARK = re.compile(rb',\s*"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
_NAME = b'"cache_control"'
# A text as the only block of a list, or as a string: clients change between the two where they set a cache mark.
_ONE_BLOCK = re.compile(rb'"content":\[\{"type":"text","text":("[^"\\]*+(?:\\.[^"\\]*+)*+")\}\]')
_STRING = re.compile(rb'"content":("[^"\\]*+(?:\\.[^"\\]*+)*+")')
# Stands for a patch's offset where a message's text was the only block of a list, and for its message where that holds
# of all whose text follows on the patch's bytes, but for those that are named.
WRAPPED = -1
RULE = -1
# A message's text that begins later has no rule.
MAX_START = 64

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Parts:
    """A body taken apart. ``template`` is a list of literal bytes and holes (numbers; ``MESSAGES`` with its framing)."""

    template: bytes  # msgpack: [bytes | 0 | 1 | [open, separator, close], …]
    system: bytes = b""
    tools: bytes = b""
    messages: tuple[bytes, ...] = ()
    patches: tuple[tuple[int, int, bytes], ...] = ()  # (message, offset in it, bytes to put back), in order
    is_split: bool = True
    # The body with `null` for the parts: small, and the same JSON in all else. The body itself where it is not split.
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Taken:
    """A body taken apart, and what it takes to take apart another one that begins with the same messages."""

    parts: Parts
    body: bytes = b""
    start: int = 0  # of the first message
    separator: bytes = b","
    ends: tuple[int, ...] = ()  # of each message
    wrapped: frozenset[int] = frozenset()  # messages whose text was the only block of a list
    starts: tuple[bytes, ...] = ()  # of each message, see _start


def split(body: bytes, dialect: str) -> Parts:
    """Take `body` apart. ``join`` of the result gives `body` again, in any case."""
    return take_apart(body, dialect).parts


def take_apart(body: bytes, dialect: str, before: Taken | None = None) -> Taken:
    """Take `body` apart, as ``split``. Of messages with which `before`, a body of the same dialect, begins too, nothing
    is done again."""
    if dialect in PARTS:
        try:
            known = _common(body, before) if before is not None else 0
            taken = _appended(body, before, known) if known else None
            if taken is not None:
                return taken
            taken = _continued(body, PARTS[dialect], before, known) if known else None
            if taken is None:
                if not body.isascii():
                    body.decode()  # what is not UTF-8 is no JSON
                taken = _split(body, PARTS[dialect])
            parts = taken.parts
            if (parts.messages or parts.system or parts.tools) and join(parts) == body:
                return taken
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            pass
    return Taken(Parts(template=msgspec.msgpack.encode([body]), is_split=False, head=body))


def _appended(body: bytes, before: Taken, known: int) -> Taken | None:
    """Take apart the messages of `body` after the first `known`, where all else is what it is in `before`; else None."""
    separator, after = before.separator, before.body[before.ends[-1] :]
    first, end = before.ends[known - 1] + len(separator), len(body) - len(after)
    if first >= end or not body.endswith(after):
        return None
    middle = body[first:end]
    if not middle.isascii():
        middle.decode()
    try:
        elements = tuple(bytes(element) for element in _raw_list.decode(b"[%b]" % middle))
    except msgspec.DecodeError:  # messages end where they do not seem to
        return None
    stripped, wrapped, marks = _strip(elements)
    patches = (*((number, WRAPPED, b"") for number in wrapped), *marks)
    alone = Parts(b"", messages=stripped, patches=patches)
    if not elements or separator.join(_restored(alone)) != middle:
        return None
    new = Taken(alone, body, first, separator, _ends(elements, first, separator), frozenset(wrapped), _starts(stripped))
    return _together(body, before, known, new, before.parts)


def _continued(body: bytes, names: tuple[str | None, str, str], before: Taken, known: int) -> Taken | None:
    """Take apart what `body` has beyond the `known` messages with which `before` begins; None where that cannot be told.

    Up to the end of such a message both are in the same place of the same JSON: without these messages, the rest is
    what it was with them.
    """
    start, separator = before.start, before.separator
    end = before.ends[known - 1]
    shorter = body[:start] + body[end + len(separator) :]
    if not shorter.isascii():
        shorter.decode()
    new = _split(shorter, names)
    count = len(new.parts.messages)
    if new.start != start or (count > 1 and new.separator != separator):
        return None
    rest = new.parts
    if count == 1:  # whose separator is not to be seen
        pieces = msgspec.msgpack.decode(rest.template)
        rest = replace(rest, template=msgspec.msgpack.encode(
            [[piece[0], separator, piece[2]] if isinstance(piece, list) else piece for piece in pieces]
        ))  # fmt: skip
    shift = end + len(separator) - start
    return _together(body, before, known, replace(new, ends=tuple(end + shift for end in new.ends)), rest)


def _together(body: bytes, before: Taken, known: int, new: Taken, rest: Parts) -> Taken:
    """Give `body` taken apart: `known` messages of `before`, those of `new`, and the `rest` of its parts."""
    messages = (*before.parts.messages[:known], *new.parts.messages)
    starts = (*before.starts[:known], *new.starts)
    wrapped = frozenset(n for n in before.wrapped if n < known) | {n + known for n in new.wrapped}
    marks = [p for p in before.parts.patches if p[1] != WRAPPED and p[0] < known]
    marks += [(number + known, offset, mark) for number, offset, mark in new.parts.patches if offset != WRAPPED]
    parts = Parts(
        rest.template, rest.system, rest.tools, messages, (*_wraps(starts, wrapped), *marks), head=rest.head
    )  # fmt: skip
    return Taken(parts, body, before.start, before.separator, (*before.ends[:known], *new.ends), wrapped, starts)


def _common(body: bytes, before: Taken) -> int:
    """Give with how many messages both bodies begin, where another one follows in each."""
    low, high, step = 0, len(before.ends), 1
    while low < high:  # mostly it is all, or all but one or two
        middle = max(high - step, low)
        if _goes_on(body, before, middle + 1):
            low = middle + 1
        else:
            high = middle
        step = step * 2 if low == 0 else (high - low + 1) // 2
    return low


def _goes_on(body: bytes, before: Taken, count: int) -> bool:
    end = before.ends[count - 1]
    return body.startswith(before.separator, end) and body.startswith(memoryview(before.body)[:end])


def _split(body: bytes, names: tuple[str | None, str, str]) -> Taken:
    places = _places(body)
    contents, listed = [b"", b"", b""], _List()
    holes: list[tuple[int, int, object]] = []  # start, end, hole
    for hole, name in enumerate(names):
        start, end = places.get(name, (0, 0))
        raw, framing = body[start:end], hole
        if hole == MESSAGES and raw[:1] == b"[":
            listed = _messages(raw, start)
            framing = [raw[: listed.start - start], listed.separator, raw[listed.end - start :]]
        if not raw or raw == b"null" or (hole == MESSAGES and not listed.elements):
            continue
        contents[hole] = raw
        holes.append((start, end, framing))
    template: list[object] = []
    literals: list[bytes] = []
    at = 0
    for start, end, hole in sorted(holes, key=lambda h: h[0]):
        literals.append(body[at:start])
        template += (literals[-1], hole)
        at = end
    literals.append(body[at:])
    template.append(literals[-1])
    stripped, wrapped, marks = _strip(listed.elements)
    starts = _starts(stripped)
    parts = Parts(
        msgspec.msgpack.encode(template), contents[SYSTEM], contents[TOOLS], stripped,
        (*_wraps(starts, wrapped), *marks), head=b"null".join(literals),
    )  # fmt: skip
    return Taken(parts, body, listed.start, listed.separator, listed.ends, frozenset(wrapped), starts)


def _places(body: bytes) -> dict[str, tuple[int, int]]:
    """Give where each member's value begins and ends; raises ValueError where a name comes twice with other values."""
    places = {}
    at = body.find(b"{") + 1
    for name, value in _raw_object.decode(body).items():
        key = _KEY.match(body, at)
        raw = bytes(value)
        if key is None or not body.startswith(raw, key.end()):
            raise ValueError("a name comes twice")
        at = key.end() + len(raw)
        places[name] = (key.end(), at)
    return places


@dataclass(frozen=True, slots=True)
class _List:
    """A list's elements, and where they stand in the body."""

    elements: tuple[bytes, ...] = ()
    start: int = 0
    separator: bytes = b","
    ends: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        return self.ends[-1] if self.ends else self.start


def _messages(raw: bytes, at: int) -> _List:
    """Take a list's elements; it stands `at` a place in the body. Raises ValueError where separators differ."""
    elements = tuple(bytes(element) for element in _raw_list.decode(raw))
    if not elements:
        return _List()
    first, separator = raw.index(elements[0]), b","
    after = first + len(elements[0])
    if len(elements) > 1:
        separator = raw[after : raw.index(elements[1], after)]
        inner = separator.join(elements)
        if raw[first : first + len(inner)] != inner:
            raise ValueError("separators differ")
    return _List(elements, at + first, separator, _ends(elements, at + first, separator))


def _ends(elements: Sequence[bytes], start: int, separator: bytes) -> tuple[int, ...]:
    """Give where elements end, the first of which begins at `start`."""
    return tuple(accumulate((len(element) + len(separator) for element in elements), initial=start - len(separator)))[
        1:
    ]


def _strip(messages: Sequence[bytes]) -> tuple[tuple[bytes, ...], set[int], list[tuple[int, int, bytes]]]:
    """Give messages the form in which they are stored, which of them were wrapped, and their cache marks."""
    stripped, marks = [], []
    wrapped: set[int] = set()
    for number, message in enumerate(messages):
        if _NAME in message:
            kept, at = [], 0
            for mark in _marks(message):
                kept.append(message[at : mark.start()])
                marks.append((number, sum(map(len, kept)), mark.group()))
                at = mark.end()
            message = b"".join((*kept, message[at:]))
        plain = unwrapped(message)
        if plain is not None:
            message = plain
            wrapped.add(number)
        stripped.append(message)
    return tuple(stripped), wrapped, marks


def _marks(message: bytes) -> Iterator[re.Match[bytes]]:
    """Find cache marks: as the expression would, which takes longer to look through text."""
    at = message.find(_NAME)
    while at >= 0:
        start = at - 1
        while message[start : start + 1].isspace():
            start -= 1
        mark = _MARK.match(message, max(start, 0))
        if mark is not None:
            yield mark
        at = message.find(_NAME, mark.end() if mark is not None else at + 1)


def unwrapped(message: bytes) -> bytes | None:
    """Give a message whose text is the only block of a list with its text alone, or None if it is none."""
    at = message.find(b'"content":[{"type":"text"')
    block = _ONE_BLOCK.match(message, at) if at >= 0 else None
    if block is None:
        return None
    plain = b"".join((message[: block.start()], b'"content":', block[1], message[block.end() :]))
    return plain if _wrap(plain) == message else None


def _wrap(message: bytes) -> bytes:
    text = _STRING.search(message)
    return b"".join(
        (message[: text.start()], b'"content":[{"type":"text","text":', text[1], b"}]", message[text.end() :])
    )


def _wraps(starts: Sequence[bytes], wrapped: Set[int]) -> list[tuple[int, int, bytes]]:
    """Say which messages are wrapped: what begins alike mostly is or mostly is not, so only exceptions are listed."""
    if not wrapped:
        return []
    alike, own = Counter(starts), Counter(starts[number] for number in wrapped)
    found = [(number, WRAPPED, b"") for number in sorted(wrapped) if not starts[number]]
    for start, count in alike.items():
        if not start:
            continue
        is_rule = own[start] * 2 > count
        if is_rule:
            found.append((RULE, WRAPPED, start))
        if own[start] != is_rule * count:
            numbers = (number for number, other in enumerate(starts) if other == start)
            found += [(number, WRAPPED, b"") for number in numbers if (number in wrapped) != is_rule]
    return found


def _starts(messages: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(map(_start, messages))


def _start(message: bytes) -> bytes:
    """What stands before a message's text, where that is a string (not one of something inside of it); else nothing."""
    at = message.find(b'"content":"', 0, MAX_START)
    return message[:at] if at > 0 else b""


def join(parts: Parts, change: Callable[[bytes], bytes] = lambda part: part) -> bytes:
    """Put a body together again, its system prompt, tool list and messages (as they were sent) as `change` gives them."""
    out: list[bytes] = []
    for piece in msgspec.msgpack.decode(parts.template):
        if isinstance(piece, bytes):
            out.append(piece)
        elif piece == SYSTEM:
            out.append(change(parts.system))
        elif piece == TOOLS:
            out.append(change(parts.tools))
        else:
            opening, separator, closing = piece
            out += (opening, separator.join(map(change, _restored(parts))), closing)
    return b"".join(out)


def _restored(parts: Parts) -> list[bytes]:
    """Give the messages as they were sent."""
    messages = list(parts.messages)
    rules = {text for number, offset, text in parts.patches if number == RULE}
    exceptions = {number for number, offset, _ in parts.patches if offset == WRAPPED and number != RULE}
    numbers = range(len(messages)) if rules else exceptions
    for number in numbers:
        is_rule = bool(rules) and _start(messages[number]) in rules
        if is_rule != (number in exceptions):
            messages[number] = _wrap(messages[number])
    marks: dict[int, list[tuple[int, bytes]]] = {}
    for number, offset, mark in parts.patches:
        if offset != WRAPPED:
            marks.setdefault(number, []).append((offset, mark))
    for number, own in marks.items():
        message, pieces, at = messages[number], [], 0
        for offset, mark in own:
            pieces += (message[at:offset], mark)
            at = offset
        messages[number] = b"".join((*pieces, message[at:]))
    return messages


@dataclass(frozen=True, slots=True)
class Chain:
    """Messages with the key of each one's blob, and of its place: H(key of the place before ‖ key of the blob)."""

    messages: tuple[bytes, ...] = ()
    blobs: tuple[bytes, ...] = ()
    nodes: tuple[bytes, ...] = ()


def place_after(place: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Give the key of a message's blob, and of its place after `place` (empty for the first)."""
    blob = blake2b(message, digest_size=16).digest()
    return blob, blake2b(place + blob, digest_size=16).digest()


def chain(messages: tuple[bytes, ...], before: Chain | None = None) -> Chain:
    """Give the keys of `messages`. What begins as in `before` is compared with it, which takes less than hashing."""
    blobs, nodes, node = [], [], b""
    if before is not None:
        known = 0
        for mine, other in zip(messages, before.messages, strict=False):
            if mine != other:
                break
            known += 1
        blobs, nodes = list(before.blobs[:known]), list(before.nodes[:known])
        node = nodes[-1] if nodes else b""
    for message in messages[len(nodes) :]:
        blob, node = place_after(node, message)
        blobs.append(blob)
        nodes.append(node)
    return Chain(messages, tuple(blobs), tuple(nodes))

"""A session as it is read: its exchanges in order, each with what was new in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sessions import reading
from sessions.dialects.facts import Block
from sessions.dialects.messages import blocks_of_answer, parse_message
from sessions.dialects.parsing import dumps, items, loads, mapping
from sessions.dialects.people import words
from sessions.models import Exchange, Session, ToolCall

# Characters shown of a text before the rest is folded.
SHOWN = 3000
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its end folded away if it is long."""

    head: str
    rest: str = ""

    @classmethod
    def of(cls, value: str, shown: int = SHOWN) -> "Text":
        if len(value) <= shown * 1.2:
            return cls(value)
        cut = value.rfind("\n", shown // 2, shown) + 1 or shown
        return cls(value[:cut], value[cut:])


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call with its result."""

    name: str
    summary: str
    arguments: Text
    result: Text | None
    row: ToolCall | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to show. ``kind`` names its partial: text, context, thinking, call, result, image, note."""

    kind: str
    text: Text = Text("")
    name: str = ""
    call: Call | None = None
    is_error: bool = False
    image: str = ""


@dataclass(slots=True)
class Turn:
    """An exchange: new messages as (role, pieces), and the answer's pieces."""

    row: Exchange
    number: int
    messages: list[tuple[str, list[Piece]]] = field(default_factory=list)
    answer: list[Piece] = field(default_factory=list)
    error: Text = Text("")
    label: str = ""


def turns(session: Session, exchanges: Sequence[Exchange], first_number: int) -> list[Turn]:
    """Read `exchanges` of `session` for display, in a constant number of queries."""
    calls = list(session.tool_calls.filter(exchange__in=exchanges))
    texts = reading.texts(key for call in calls for key in (call.arguments, call.result))
    by_exchange: dict[int, dict[str, ToolCall]] = {}
    for call in calls:
        by_exchange.setdefault(call.exchange_id, {})[call.call_id] = call
    shown = set(session.tool_calls.exclude(result_exchange=None).values_list("call_id", flat=True))
    messages, answers = reading.new_messages(exchanges), reading.answers(exchanges)
    found = []
    for number, row in enumerate(exchanges, first_number):
        turn = Turn(row, number)
        for raw in messages[row.pk]:
            message = parse_message(row.dialect, raw)
            if message.role == "assistant" and row.messages_from:
                continue  # the answer before this one, sent back
            pieces = [piece for block in message.blocks for piece in _pieces(block, shown)]
            if pieces:
                turn.messages.append((message.role, pieces))
        for block in blocks_of_answer(row.dialect, answers[row.pk]):
            if block.kind == "tool_call":
                call = by_exchange.get(row.pk, {}).get(block.id)
                turn.answer.append(Piece("call", call=_call(block, call, texts)))
            else:
                turn.answer += _pieces(block, set())
        turn.error = Text.of(row.error)
        turn.label = _label(turn)
        found.append(turn)
    return found


def _pieces(block: Block, shown: set[str]) -> list[Piece]:
    """Give what is shown of a block. Results in `shown` stand at their call."""
    if block.kind == "text":
        own = words(block.text)
        if own == block.text.strip():
            return [Piece("text", Text.of(block.text.strip("\n")))] if own else []
        pieces = [Piece("text", Text.of(own))] if own else []
        return [*pieces, Piece("context", Text.of(block.text.strip(), 20_000))]
    if block.kind == "thinking":
        return [Piece("thinking", Text.of(block.text))] if block.text.strip() else []
    if block.kind == "redacted_thinking":
        return [Piece("note", Text("Thinking that the provider keeps to itself."))]
    if block.kind == "tool_result":
        return (
            [] if block.id in shown else [Piece("result", Text.of(block.text), name=block.id, is_error=block.is_error)]
        )
    if block.kind == "tool_call":
        return [Piece("call", call=_call(block, None, {}))]
    if block.kind == "image" and block.name in IMAGES and block.text.startswith("data:"):
        return [Piece("image", name=block.name, image=block.text)]
    if block.kind in ("image", "document"):
        return [Piece("note", Text(f"[{block.kind} {block.name}]"))]
    if block.kind == "refusal":
        return [Piece("text", Text.of(block.text), name="refusal", is_error=True)]
    return [Piece("result", Text.of(block.text), name=block.name)]


def _call(block: Block, row: ToolCall | None, texts: dict[bytes, str]) -> Call:
    arguments = texts.get(bytes(row.arguments), block.text) if row else block.text
    result = None
    if row is not None and row.result_exchange_id:
        result = Text.of(texts.get(bytes(row.result), ""), 1200)
    return Call(block.name, _summary(arguments), Text.of(_pretty(arguments), 1500), result, row)


def _pretty(arguments: str) -> str:
    """Arguments one a line; texts in them as they are, not as JSON escapes them."""
    value = loads(arguments) if arguments else {}
    if not isinstance(value, dict):
        return arguments
    lines = []
    for name, item in value.items():
        shown = item if isinstance(item, str) else dumps(item)
        lines.append(f"{name}:\n{_indent(shown)}" if "\n" in shown else f"{name}: {shown}")
    return "\n".join(lines)


def _indent(value: str) -> str:
    return "\n".join("  " + line for line in value.splitlines())


def _summary(arguments: str) -> str:
    """What a call is about, in a line: the argument that says it best."""
    value = loads(arguments) if arguments else None
    if not isinstance(value, dict):
        return arguments[:120]
    for name in ("file_path", "filePath", "path", "command", "cmd", "pattern", "query", "url", "description", "prompt"):
        item = value.get(name)
        if isinstance(item, list):
            item = " ".join(str(part) for part in item)
        if isinstance(item, str) and item.strip():
            return " ".join(item.split())[:160]
    return ""


def _label(turn: Turn) -> str:
    """A line for the outline."""
    for role, pieces in turn.messages:
        if role == "user":
            for piece in pieces:
                if piece.kind == "text":
                    return " ".join(piece.text.head.split())[:80]
    names = [piece.call.name for piece in turn.answer if piece.call]
    if names:
        return ", ".join(names)[:80]
    for piece in turn.answer:
        if piece.kind == "text":
            return " ".join(piece.text.head.split())[:80]
    return f"{turn.row.method} {turn.row.path}" if turn.row.kind != "model" else turn.row.finish_reason


@dataclass(frozen=True, slots=True)
class Frame:
    """What a session's requests carry beside their messages: system prompt, and tools as (name, description)."""

    system: Text
    tools: list[tuple[str, str]]


def frame_of(session: Session) -> Frame:
    """Read the system prompt and the tools that the session's requests with tools carry."""
    row = session.exchanges.exclude(tools=b"").order_by("pk").first() or session.exchanges.order_by("pk").first()
    if row is None:
        return Frame(Text(""), [])
    contents = reading.texts((row.system, row.tools))
    value = loads(contents.get(bytes(row.system), "") or "null")
    system = value if isinstance(value, str) else "\n\n".join(str(mapping(b).get("text", "")) for b in items(value))
    tools = []
    for item in items(loads(contents.get(bytes(row.tools), "") or "null")):
        item = mapping(item)
        function = mapping(item.get("function")) or item
        tools.append((str(function.get("name") or item.get("type") or "?"), str(function.get("description") or "")))
    return Frame(Text.of(system, 20_000), tools)

"""A session as it is read: its exchanges in order, each with what was new in it."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.safestring import SafeString

from routing.people import words
from sessions import content, reading
from sessions.browser.diffs import FileDiff, edits_of
from sessions.browser.marks import marks
from sessions.browser.rendering import code, cut_markdown, markdown, numbered
from sessions.browser.threads import Thread
from sessions.dialects.facts import Block
from sessions.dialects.messages import blocks_of_answer, parse_message
from sessions.dialects.parsing import dumps, items, loads, mapping
from sessions.models import Exchange, Session, ToolCall

# Characters shown of a text before the rest is folded, and of the rest before it is left to the raw view.
SHOWN, MAX_REST = 3000, 200_000
PATHS = ("file_path", "filePath", "path")
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its end folded away if it is long. `kind` is its class: plain, md (Markdown) or code."""

    head: str
    rest: str = ""
    kind: str = "plain"
    more: int = 0  # characters of the rest
    cut: int = 0  # characters that are not on the page at all
    language: str = ""
    path: str = ""  # of the file that it is from

    @classmethod
    def of(cls, value: str, shown: int = SHOWN, kind: str = "plain", language: str = "", path: str = "") -> "Text":
        if len(value) <= shown * 1.2:
            return cls(value, "", kind, language=language, path=path)
        at = value.rfind("\n", shown // 2, shown) + 1 or shown
        more, cut = len(value) - at, max(len(value) - at - MAX_REST, 0)
        return cls(value[:at], value[at : at + MAX_REST], kind, more, cut, language, path)

    @classmethod
    def markdown(cls, value: str) -> "Text":
        """What a model wrote."""
        head, rest = cut_markdown(value, SHOWN * 2)
        return cls(head, rest, "md", len(rest))

    @classmethod
    def code(cls, value: str, shown: int = 1200, path: str = "", language: str = "") -> "Text":
        """What a tool gave or got: lines of the file at `path`, or whatever it looks like."""
        if not language and value[:1] in "{[" and loads(value) is not None:
            language = "json"
        return cls.of(value, shown, "code", language, path)

    @property
    def shown(self) -> SafeString:
        """What is shown at once, as HTML."""
        return self._html(self.head)

    @property
    def folded(self) -> SafeString:
        """What is folded away, as HTML."""
        return self._html(self.rest)

    @property
    def exported(self) -> SafeString:
        """All of it as HTML for a page that stands alone."""
        if self.kind != "md":
            return marks().html(self.head + self.rest, links=False)
        return markdown(self.head, links=False) + markdown(self.rest, links=False)

    def _html(self, value: str) -> SafeString:
        if self.kind == "md":
            return markdown(value)
        if self.kind == "code":
            # Only numbered lines are the file's own; all else that came for it is a tool's words.
            return (numbered(value, self.path) if self.path else None) or code(value, self.language)
        return marks().html(value)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call with its result."""

    name: str
    summary: str
    arguments: Text
    result: Text | None
    row: ToolCall | None
    edits: tuple[FileDiff, ...] = ()


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
    thread: Thread | None = None
    cache_lost: int = 0  # tokens that had been cached and were paid for again

    @property
    def version(self) -> str:
        """What a live page has of this exchange."""
        calls = [piece.call for piece in self.answer if piece.call is not None]
        results = sum(call.row is not None and call.row.result_exchange_id is not None for call in calls)
        row = self.row
        return version(self.number, row.success, row.time_to_first_token_ms, results, self.thread, self.cache_lost)


def version(
    number: int,
    success: bool | None,
    first_token_ms: float | None,
    results: int,
    thread: Thread | None,
    cache_lost: int,
) -> str:
    """Say how far exchange `number` has come: its state, how many of its tool calls have their result, and its place.

    Later exchanges may change its place: which thread is the conversation itself shows as it grows.
    """
    step = "ended" if success is not None else "answering" if first_token_ms is not None else "open"
    place = f"-{thread.kind}-{thread.name}" if thread is not None and thread.name else ""
    return f"{number}-{step}-{results}{place}" + (f"-{cache_lost}" if cache_lost else "")


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
            written = message.role == "assistant"
            key = content.key_of(raw).hex()
            pieces = [
                piece
                for at, block in enumerate(message.blocks)
                for piece in _pieces(block, shown, written, f"/ui/images/{key}/{row.dialect}/{at}")
            ]
            if pieces:
                turn.messages.append((message.role, pieces))
        for block in blocks_of_answer(row.dialect, answers[row.pk]):
            if block.kind == "tool_call":
                call = by_exchange.get(row.pk, {}).get(block.id)
                turn.answer.append(Piece("call", call=_call(block, call, texts)))
            else:
                turn.answer += _pieces(block, set(), True)
        turn.error = Text.of(row.error)
        turn.label = _label(turn)
        found.append(turn)
    return found


def _pieces(block: Block, shown: set[str], by_model: bool, image: str = "") -> list[Piece]:
    """Give what is shown of a block. Results in `shown` stand at their call; a model writes Markdown; `image` is the
    address of the block's picture."""
    if block.kind == "text" and by_model:
        return [Piece("text", Text.markdown(block.text))] if block.text.strip() else []
    if block.kind == "text":
        own = words(block.text)
        if own == block.text.strip():
            return [Piece("text", Text.of(block.text.strip("\n")))] if own else []
        pieces = [Piece("text", Text.of(own))] if own else []
        return [*pieces, Piece("context", Text.of(block.text.strip(), 20_000, "code"))]
    if block.kind == "thinking":
        return [Piece("thinking", Text.markdown(block.text))] if block.text.strip() else []
    if block.kind == "redacted_thinking":
        return [Piece("note", Text("Thinking that the provider keeps to itself."))]
    if block.kind == "tool_result":
        return (
            []
            if block.id in shown
            else [Piece("result", Text.code(block.text), name=block.id, is_error=block.is_error)]
        )
    if block.kind == "tool_call":
        return [Piece("call", call=_call(block, None, {}))]
    if block.kind == "image" and image and image_of(block):
        return [Piece("image", name=block.name, image=image)]
    if block.kind in ("image", "document"):
        return [Piece("note", Text(f"[{block.kind} {block.name}]"))]
    if block.kind == "refusal":
        return [Piece("text", Text.of(block.text), name="refusal", is_error=True)]
    return [Piece("result", Text.code(block.text), name=block.name)]


def image_of(block: Block) -> tuple[str, bytes] | None:
    """Give an image block's media type and bytes; None where it is none that a page may show."""
    if block.kind != "image" or block.name not in IMAGES or not block.text.startswith("data:"):
        return None
    try:
        return block.name, b64decode(block.text.partition(",")[2], validate=True)
    except ValueError:
        return None


def labels(session: Session) -> dict[int, str]:
    """Give a line for each exchange of a session, by primary key: a person's words, else the tools, else the answer."""
    rows = list(session.exchanges.defer("request_headers"))
    names: dict[int, list[str]] = {}
    for key, name in session.tool_calls.order_by("exchange_id", "position").values_list("exchange_id", "name"):
        names.setdefault(key, []).append(name)
    messages = reading.new_messages(rows)
    spoken = reading.answers([row for row in rows if row.kind == "model" and row.pk not in names])
    found = {}
    for row in rows:
        said = ""
        for raw in messages[row.pk]:
            message = parse_message(row.dialect, raw)
            if message.role == "user":
                said = next(filter(None, (words(b.text) for b in message.blocks if b.kind == "text")), said)
        if not said and row.pk in spoken:
            blocks = blocks_of_answer(row.dialect, spoken[row.pk])
            said = next((b.text.strip() for b in blocks if b.kind == "text" and b.text.strip()), "")
        beside = f"{row.method} {row.path}" if row.kind != "model" else row.finish_reason
        found[row.pk] = " ".join((said or ", ".join(names.get(row.pk, ())) or beside).split())[:80]
    return found


def _call(block: Block, row: ToolCall | None, texts: dict[bytes, str]) -> Call:
    arguments = texts.get(bytes(row.arguments), block.text) if row else block.text
    value = mapping(loads(arguments)) if arguments[:1] == "{" else {}
    result = None
    if row is not None and row.result_exchange_id:
        path = next((value[name] for name in PATHS if isinstance(value.get(name), str)), "")
        result = Text.code(texts.get(bytes(row.result), ""), path=path)
    edits = tuple(edits_of(arguments))
    shown = Text("") if edits else Text.of(_pretty(arguments), 1500, "code")
    return Call(block.name, _summary(arguments), shown, result, row, edits)


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
    return Frame(Text.of(system, 20_000, "code"), tools)

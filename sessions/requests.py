"""What a request says, read from its parts: of a conversation that is sent again and again, only what is new is parsed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sessions.dialects import parse_request
from sessions.dialects.facts import RequestFacts
from sessions.dialects.messages import parse_message
from sessions.dialects.parsing import items, loads
from sessions.dialects.people import words_of
from sessions.split import Parts

# Facts of system prompts and tool lists that are at hand.
MAX_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """What a conversation has told up to a place: the last words that a person wrote, whether a system prompt came."""

    words: str = ""
    has_system: bool = False


def words(dialect: str, messages: Iterable[bytes]) -> str:
    """Give the first words that a person wrote in `messages` (each as JSON), or an empty text."""
    for raw in messages:
        if found := words_of((parse_message(dialect, raw),))[1]:
            return found
    return ""


class RequestReader:
    """Reads requests in parts. Remembers of system prompts and tool lists, by their key, what there is to know of them."""

    def __init__(self) -> None:
        self._tool_counts: dict[bytes, int] = {}
        self._has_system: dict[bytes, bool] = {}

    def read(
        self, dialect: str, kind: str, parts: Parts, known: int, nodes: Sequence[bytes], told: Mapping[bytes, Told],
        keys: Mapping[str, bytes],
    ) -> RequestFacts:  # fmt: skip
        """Give the facts of a request whose messages before index `known` are known.

        `nodes` are the places of its messages, `told` says what is known of places, `keys` are the keys of its parts.
        ``messages``, ``tool_results`` and ``first_user_text`` are of the new messages alone; ``system`` only says
        whether there is one.
        """
        facts = parse_request(dialect, kind, parts.head, parts.messages[known:] if parts.messages else None)
        if not parts.is_split:
            return facts
        before = next((told[node] for node in reversed(nodes[:known]) if node in told), None)
        if before is None:  # a conversation whose beginning is only in the database
            role = parse_message(dialect, parts.messages[0]).role if known else ""
            before = Told(words(dialect, parts.messages[:known][::-1]), role == "system")
        has_system = bool(facts.system) or before.has_system or self._system(keys.get("system", b""), parts.system)
        return replace(
            facts,
            system="yes" if has_system else "",
            message_count=len(parts.messages) or facts.message_count,
            tool_count=self._count(keys.get("tools", b""), parts.tools) if parts.tools else facts.tool_count,
            user_text=facts.user_text or before.words,
        )

    def _count(self, key: bytes, tools: bytes) -> int:
        if key not in self._tool_counts:
            _make_room(self._tool_counts)
            self._tool_counts[key] = len(items(loads(tools)))
        return self._tool_counts[key]

    def _system(self, key: bytes, system: bytes) -> bool:
        if not system:
            return False
        if key not in self._has_system:
            _make_room(self._has_system)
            value = loads(system)
            blocks = value if isinstance(value, list) else [value]
            texts = [block.get("text") if isinstance(block, dict) else block for block in blocks]
            self._has_system[key] = any(text for text in texts if isinstance(text, str))
        return self._has_system[key]


def _make_room(known: dict) -> None:
    if len(known) >= MAX_KNOWN:
        known.clear()

"""A session's JSONL lines: those of its files, or, where these are not at hand, made again from the rows."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from pathlib import Path

import zstandard

from sessions import lines, reading
from sessions.bodies import Bodies
from sessions.dialects import parse_request
from sessions.digest import Live
from sessions.export.parts import parts
from sessions.models import Exchange, JsonlFile, Session, ToolCall
from sessions.rows import begin_of
from sessions.split import Chain, Parts, chain

CHUNK = 1 << 16


def jsonl(session: Session) -> Generator[bytes, None, None]:
    """Give the session's lines.

    Made again, they are in the order of their times and have all fields; headers, texts, and messages that repeat an
    answer stand in full, where the file's own lines may refer to earlier ones.
    """
    files = [at_hand(row) for row in JsonlFile.objects.filter(session=session, size__gt=0).order_by("pk")]
    if files and all(files):
        for path, size in filter(None, files):
            yield from _read(path, size)
    else:
        yield from from_rows(session)


def at_hand(row: JsonlFile) -> tuple[Path, int] | None:
    """Give where a file is, compressed or not, and how much of it is certain; None where it is not."""
    for path in (Path(row.path), Path(f"{row.path}.zst")):
        if path.is_file():
            return path, row.size
    return None


def _read(path: Path, size: int) -> Iterator[bytes]:
    """Read what is certain of a file: beyond `size` a recorder may be writing."""
    with path.open("rb") as file:
        # A file may be compressed in several frames.
        source = (
            file if path.suffix != ".zst" else zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        )
        while size > 0 and (data := source.read(min(CHUNK, size))):
            size -= len(data)
            yield data


def from_rows(session: Session, body_of: Callable[[Exchange], bytes | None] = reading.request_body) -> Iterator[bytes]:
    """Make a session's lines from its rows. `body_of` gives the body of a request."""
    maker = _Maker(body_of)
    for rows in parts(session):
        found: list[tuple[datetime, int, bytes]] = []
        calls = list(
            session.tool_calls.filter(exchange__in=rows).select_related("result_exchange").order_by("position")
        )
        texts = reading.texts(call.arguments for call in calls)
        for row in rows:
            row.session = session
            found += maker.lines_of(row, [c for c in calls if c.exchange_id == row.pk], texts)
        # At one moment: results first, then the request that brought them.
        found.sort(key=lambda entry: entry[:2])
        yield b"".join(line for _, _, line in found)


class _Maker:
    """Makes lines of one exchange after another. What a request has as the one before it is not taken apart again."""

    def __init__(self, body_of: Callable[[Exchange], bytes | None]) -> None:
        self._body_of = body_of
        self._bodies, self._chain = Bodies(), Chain()
        self._written: set[bytes] = set()

    def lines_of(
        self, row: Exchange, calls: list[ToolCall], texts: dict[bytes, str]
    ) -> list[tuple[datetime, int, bytes]]:
        """Give (time, rank among lines of that time, line) for each line of an exchange."""
        body = self._body_of(row) or b""
        parts_of = Parts(template=b"", is_split=False)
        if body:
            parts_of = self._bodies.take_apart(body, row.dialect, row.request_headers)
        new_parts = {}
        for name, column in (("template", "recipe"), ("system", "system"), ("tools", "tools")):
            key = bytes(getattr(row, column))
            if key and parts_of.is_split and key not in self._written:
                self._written.add(key)
                new_parts[name] = getattr(parts_of, name)
        known = row.messages_from
        self._chain = chain(parts_of.messages, self._chain)
        new = lines.New(new_parts, self._chain.nodes[known - 1] if known else b"", {})
        request = parse_request(row.dialect, row.kind, body)
        found = [
            (row.started_at, 0, lines.started(row, _live(row, body))),
            (row.started_at, 2, lines.request_recorded(row, request, body, parts_of, new, request.user_text)),
        ]
        if row.time_to_first_token_ms is not None:
            found.append((row.started_at, 3, lines.stream_started(row)))
        for call in calls:
            if call.result_exchange is not None:
                ended = call.result_exchange.started_at
                found.append(
                    (ended, 1, lines.tool_call_recorded(row, call, texts.get(bytes(call.arguments), ""), ended))
                )
        if row.success is None or row.completed_at is None:
            return found
        if row.status is not None:
            facts = reading.facts_of(row, reading.answer_bytes(row))
            answered = lines.response_recorded(row, facts, lines.answer_json(facts))
            found.append((row.completed_at, 4, answered))
        found.append((row.completed_at, 5, lines.completed(row, dict(Counter(call.name for call in calls)))))
        return found


def _live(row: Exchange, body: bytes) -> Live:
    """What lines ask of an exchange on its way: its head and its body."""
    return Live(begin_of(row), row.dialect, row.kind, row.transport, body, row.capture)

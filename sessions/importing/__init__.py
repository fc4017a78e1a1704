"""Rebuilds the database from JSONL files. What is there already is left as it is."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zstandard
from django.db import transaction
from django.db.models import Max

from pii.redactor import Redactor
from routing.session_ids import valid_session_id
from sessions import rewriting
from sessions.dialects.parsing import loads
from sessions.digest import ENDED, OPENED, Event
from sessions.importing.exchanges import ImportStore, Session
from sessions.models import Exchange, JsonlFile
from sessions.models import Session as Row
from sessions.redaction import Redaction

# Events that are written in one transaction.
AT_ONCE = 100
TYPES = ("started", "stream_started", "request_recorded", "response_recorded", "tool_call_recorded", "completed")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(slots=True)
class Counts:
    """What came of an import."""

    files: int = 0
    exchanges: int = 0
    known: int = 0
    inexact: int = 0  # whose request body could not be put together byte for byte
    skipped: int = 0  # lines, and files that could not be read


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Give the JSONL files, compressed or not, of `paths` and of the directories among them. Raises FileNotFoundError."""
    found = []
    for path in paths:
        if path.is_dir():
            found += [p for p in path.rglob("*.jsonl*") if p.name.endswith((".jsonl", ".jsonl.zst")) and p.is_file()]
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(path)
    return sorted(found)


class Importer:
    """Takes files; `report` gets a line for each thing that is skipped."""

    def __init__(
        self, identity: str, sessions_dir: Path, provider_types: dict[str, str], report: Callable[[str], None],
        redactor: Redactor | None = None,
    ) -> None:  # fmt: skip
        self._identity, self._root = identity, sessions_dir.resolve()
        self._redactor = redactor
        redaction = Redaction(redactor) if redactor is not None else None
        self._store = ImportStore(identity, sessions_dir, False, True, redaction)
        self._types, self._report = provider_types, report
        self.counts = Counts()

    def take(self, path: Path) -> None:
        """Import a file. Raises DatabaseError."""
        self.counts.files += 1
        sessions: dict[str, Session] = {}
        events: list[Event] = []
        size, skipped = 0, self.counts.skipped
        try:
            for number, raw in enumerate(_lines(path), 1):
                try:
                    line, session = self._session(raw, sessions)
                    members = _object.decode(raw)
                    events += session.take(
                        line,
                        raw,
                        bytes(members.get("request_json", b"null")),
                        bytes(members.get("response_json", b"null")),
                    )
                except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                    self._skip(f"{path}, line {number}: {_reason(error)}")
                    continue
                size += len(raw)
                if len(events) >= AT_ONCE:
                    events = self._write(path, events)
        except (OSError, zstandard.ZstdError) as error:
            self._skip(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
        self._write(path, events, is_last=True)
        for name, session in sessions.items():
            for request_id in session.unfinished():
                self._skip(f"{path}: exchange {request_id} of session {name} has no end")
        self._own(path, list(sessions), size, is_whole=self.counts.skipped == skipped)

    def _session(self, raw: bytes, sessions: dict[str, Session]) -> tuple[dict, Session]:
        if not raw.endswith(b"\n"):
            raise ValueError("the line is torn")
        line = loads(raw)
        if not isinstance(line, dict) or line.get("type") not in TYPES:
            raise ValueError("is no line of a session")
        name, request_id = line.get("session_id"), line.get("request_id")
        if not valid_session_id(name) or not valid_session_id(request_id) or len(request_id) > 64:
            raise ValueError("expected session_id and request_id of A-Z a-z 0-9 _ -")
        if name not in sessions:
            sessions[name] = Session(self._types, self._redactor)
        return line, sessions[name]

    def _skip(self, message: str) -> None:
        self.counts.skipped += 1
        self._report(message)

    def _write(self, path: Path, events: list[Event], is_last: bool = False) -> list[Event]:
        """Write the exchanges that are whole; gives the events of the others, or drops them at the end of a file."""
        ended = {event.live.begin.request_id for event in events if event.what == ENDED}
        if not ended:
            return [] if is_last else events
        mine = [event for event in events if event.live.begin.request_id in ended]
        rest = [event for event in events if event.live.begin.request_id not in ended]
        known = set(Exchange.objects.filter(request_id__in=ended).values_list("request_id", flat=True))
        try:
            self._store.apply(mine)
            written = ended - known
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            written = self._one_by_one(path, mine) - known
        self.counts.known += len(known)
        self.counts.exchanges += len(written)
        opened = {e.live.begin.request_id: e.live for e in mine if e.what == OPENED}
        self.counts.inexact += sum(opened[key].capture == "imported" for key in written if key in opened)
        return [] if is_last else rest

    def _one_by_one(self, path: Path, events: list[Event]) -> set[str]:
        """Write what can be written of a batch that as a whole cannot."""
        by_exchange: dict[str, list[Event]] = {}
        for event in events:
            by_exchange.setdefault(event.live.begin.request_id, []).append(event)
        written = set()
        for request_id, own in by_exchange.items():
            try:
                self._store.apply(own)
                written.add(request_id)
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                self._skip(f"{path}: exchange {request_id} cannot be recorded ({_reason(error)})")
        return written

    def _own(self, path: Path, names: list[str], size: int, is_whole: bool) -> None:
        """Note a file of our own directory as its session's, so that export finds it and deletion takes it along.

        With redaction it is written anew; what is not whole could not be, and is no file of the record.
        """
        path = path.resolve()
        row = Row.objects.filter(session_id__in=names).first()
        if len(names) != 1 or row is None or not path.is_relative_to(self._root):
            return
        name = str(path).removesuffix(".zst")
        if self._redactor is not None and not is_whole:
            self._report(
                f"{path}: lines were skipped, so it stays as it is, unredacted, and the record does not know it"
            )
            return
        known = JsonlFile.objects.filter(recorder=self._identity, path=name).aggregate(Max("size"))["size__max"]
        if known is None:
            JsonlFile.objects.create(recorder=self._identity, path=name, session=row, size=size)
            if self._redactor is not None:
                rewriting.prepare(row)
                with transaction.atomic():
                    rewriting.rewrite(row)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if path.suffix != ".zst":
            yield from file
            return
        # A file may be compressed in several frames.
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
            yield from io.BufferedReader(reader)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split()) or type(error).__name__

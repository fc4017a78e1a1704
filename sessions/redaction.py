"""Redaction of exchanges on their way into the record: what passes here is all that anything later gets to see.

A request is redacted when it is known, an answer when it has ended (sessions/partial.py has what is shown before that). In
memory a recorder goes on holding what came as it came, to compare the next request with it; nothing of that is written.
"""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from pii.events import redact_stream
from pii.policy import FAILED
from pii.redactor import Redactor, log_failure
from proxy.capture import Begin, Routing
from proxy.decoding import Decoder, Overflow, is_known
from routing.heads import header
from routing.session_ids import HEADERS
from sessions.dialects import response_parser
from sessions.digest import Live
from sessions.split import Parts, join

# Decoded bytes of a request that came with a content coding.
MAX_DECODED = 32 << 20
# Messages, system prompts, tool lists, headers of which it is at hand what they became, and the bytes that they may take.
MAX_KNOWN, MAX_BYTES = 20_000, 16 << 20

# How headers begin that name something of a session (sessions/headers.py).
_NAMING = ("x-project", "x-session")


class Redaction:
    """Redacts what one recorder records. Each exchange notes what was replaced in it, by type."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.policy = redactor.policy.fingerprint()
        self._known: dict[bytes, bytes] = {}
        self._shorts: dict[tuple, Any] = {}
        self._size = 0

    def open(self, live: Live) -> None:
        """Redact the head of an exchange whose request is known; of its body, what is no text."""
        if live.redacted:
            return
        live.request = self._readable(live.request, header(live.begin.headers, "content-encoding"))
        live.begin = self._begin(live.begin)
        live.redacted = 1  # whatever failed before would be tried again
        self._count(live)

    def body(self, live: Live, parts: Parts) -> None:
        """Redact the request of an exchange, of which `parts` are the parts."""
        if not parts.is_split:
            live.request = self.redactor.json(live.request)
        else:
            body = join(parts, self._piece)
            # What stands between the parts is little, and seldom holds anything.
            if self._piece(parts.head) is not parts.head:
                body = self.redactor.json(body)
            if body != live.request:
                live.request = body
        self._count(live)

    def end(self, live: Live) -> None:
        """Redact the answer of an exchange that has ended, and what is said of its end."""
        if live.redacted > 1:
            return
        redactor = self.redactor
        if live.end.error_message:
            live.end = msgspec.structs.replace(live.end, error_message=redactor.text(live.end.error_message))
        if live.end.routing is not None:
            live.end = msgspec.structs.replace(live.end, routing=self._routing(live.end.routing))
        coding = header(live.response_headers, "content-encoding")
        content_type = header(live.response_headers, "content-type")
        live.response_headers = self._headers(live.response_headers)
        if answer := live.answer:
            # What is coded in a way that nobody knows is kept by nobody.
            readable = self._readable(answer, "") if is_known(coding) else FAILED.encode()
            redacted = redact_stream(redactor, live.dialect, readable)
            if redacted != answer:
                parser = response_parser(live.dialect, content_type, live.status)
                parser.feed(redacted)
                live.replace_answer(redacted, parser.finish() if live.has_parser else None)
        live.redacted = 2
        self._count(live)

    def session_id(self, named: str) -> str:
        """Give a session's id as it is, or one made of it under the policy's secret where redaction finds something in it."""
        return self._short(self._session_id, named)

    def _session_id(self, named: str) -> str:
        try:
            is_plain = not named or not self.redactor.find(named)
        except Exception as error:  # what could not be examined names nothing
            log_failure(error)
            is_plain = False
        return named if is_plain else f"redacted-{self.redactor.token('SESSION', named)}"

    def _begin(self, begin: Begin) -> Begin:
        return msgspec.structs.replace(
            begin,
            method=self._short(self.redactor.text, begin.method),
            path=self._short(self.redactor.url, begin.path),
            query=self._short(self.redactor.query, begin.query),
            headers=self._headers(begin.headers),
            client_ip=self._short(self.redactor.text, begin.client_ip),
            metadata={name: self._value(value) for name, value in begin.metadata.items()},
        )

    def _routing(self, routing: Routing) -> Routing:
        """Redact what routing says; names of rules and providers are the configuration's."""
        text, replace = self.redactor.text, msgspec.structs.replace
        return replace(
            routing,
            why=text(routing.why),
            model=text(routing.model),
            attempts=[replace(attempt, reason=text(attempt.reason)) for attempt in routing.attempts],
            notes=[text(note) for note in routing.notes],
        )

    def _headers(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        redacted = [pair for (pair,) in (self._short(self.redactor.headers, (pair,)) for pair in pairs)]
        # To the detectors a number behind such a name is an id; as a session's it would be in every address and file name,
        # as a project's in every list.
        return [(name, self._named(name.lower(), value)) for name, value in redacted]

    def _named(self, name: str, value: str) -> str:
        if name in HEADERS:
            return self.session_id(value)
        return self._short(self.redactor.text, value) if name.startswith(_NAMING) else value

    def _short(self, redact: Callable[[Any], Any], given: Any) -> Any:
        """Redact what is short and comes with every request."""
        key = (redact.__name__, given)
        if key not in self._shorts:
            if len(self._shorts) >= MAX_KNOWN:
                self._shorts.clear()
            self._shorts[key] = redact(given)
        return self._shorts[key]

    def _value(self, value: Any) -> Any:
        """Redact the texts of a value (of lists and objects, too: an import has tags among its metadata)."""
        if isinstance(value, dict):
            return {name: self._value(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [self._value(entry) for entry in value]
        return self._short(self.redactor.text, value) if isinstance(value, str) else value

    def _readable(self, body: bytes, coding: str) -> bytes:
        """Give a body as text: decoded, or in place of what is none, its size and hash."""
        if body and coding:
            try:
                body = Decoder(coding, MAX_DECODED).feed(body) if is_known(coding) else FAILED.encode()
            except (ValueError, Overflow):
                # What is text was decoded before, by who recorded it.
                body = body if _is_text(body) else FAILED.encode()
        if self.redactor.policy.keep_binary or _is_text(body):
            return body
        return f"[BINARY {len(body)} bytes sha256:{sha256(body).hexdigest()}]".encode()

    def _piece(self, data: bytes) -> bytes:
        """Redact a piece of JSON; the same object where nothing is found."""
        found = self._known.get(data)
        if found is None:
            found = self.redactor.json(data)
            self._size += len(data)
            if len(self._known) >= MAX_KNOWN or self._size > MAX_BYTES:
                self._known.clear()
                self._size = len(data)
            self._known[data] = found
        return data if found == data else found

    def _count(self, live: Live) -> None:
        live.redactions.update(self.redactor.counts)
        self.redactor.counts = Counter()


def _is_text(data: bytes) -> bool:
    """Whether bytes are text in UTF-8, perhaps cut off within a character."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.reason == "unexpected end of data"
    return True

"""Redaction of texts, JSON, headers and addresses: finds with the detectors and the user's patterns, and replaces.

What comes out is examined again, with the replacements in it, until nothing more is found: what stood apart may be a value
once something between is gone, and a second redaction changes nothing. Each time only what is near new replacements is looked
at, and a value that shows only after several times takes the rest of its word with it: a text of any length is done in a few.
"""

import logging
import re
import traceback
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from urllib.parse import quote, unquote, unquote_plus

from pii import detectors, limits
from pii.edits import Edit, Places, applied
from pii.findings import Finding
from pii.json_text import Projection, looks_like_json, project, to_source
from pii.overlaps import Span, resolve, within
from pii.patterns import settled
from pii.policy import FAILED, Handling, Policy
from pii.tokens import Tokens, visible

logger = logging.getLogger("lunaroute.pii")

_SURROGATES = re.compile("[\ud800-\udfff]")
_SEPARATORS = re.compile(r"([/?&;#])")
# Percent-encoded characters that are readable as they are in what stands for a value.
_READABLE = "[]:*@"
# Characters on either side of a replacement in which it may bear on what is found.
_NEAR = 1024
# Characters of a mark at most, but for placeholders.
_LONGEST_MARK = 120
# How often an address may be encoded over again.
_LEVELS = 3
# How often a text is examined before what is found takes all of its word with it, and at most.
_FEW, _MOST = 4, 16
_WORD_ENDS = " \t\r\n\"'`<>,;{}()"
_WORD_END = re.compile(f"[{_WORD_ENDS}]")

_known_failures: set[str] = set()


class Redactor:
    """Redacts by one policy. ``counts`` says by type how many values were replaced; the caller reads and clears it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.counts: Counter[str] = Counter()
        self._tokens = Tokens(policy.secret)
        self._marks = policy.marks()
        kinds = (*detectors.TYPES, *(pattern.name for pattern in policy.custom_patterns))
        self._handling = {kind: policy.handling(kind) for kind in kinds}
        self._patterns = [p for p in policy.custom_patterns if p.confidence >= policy.min_confidence]

    def token(self, kind: str, value: str) -> str:
        """Give what stands for a value, the same for the same one under the policy's secret."""
        return self._tokens.token(kind, value)

    def find(self, text: str) -> list[Finding]:
        """Give what would be replaced in a text, without overlaps, in order. Raises what a detector raises."""
        spans, _ = self.settle(text)
        return [Finding(s.start, s.end, s.type, s.confidence, s.detector) for s in spans]

    def edits(self, text: str) -> list[Edit]:
        """Give the replacements in a plain text. Where a detector fails, all of it is withheld."""
        return self._edits(text, is_json=False)

    def json_edits(self, text: str) -> list[Edit]:
        """Give the replacements in a text, within its strings and numbers if it is JSON. Withholds as `edits` does."""
        return self._edits(text, is_json=looks_like_json(text))

    def _edits(self, text: str, is_json: bool) -> list[Edit]:
        try:
            with limits.limited(len(text)):
                return self.edits_of(project(text, is_json))
        except Exception as error:  # whatever it is: what could not be examined is not stored
            log_failure(error)
            return [Edit(0, len(text), f'"{FAILED}"' if is_json else FAILED, "FAILED")]

    def edits_of(self, projection: Projection) -> list[Edit]:
        """Give the replacements in a projection's source. Raises what a detector raises."""
        spans, _ = self.settle(projection.text)
        if not spans and not projection.has_notes:
            return []
        return to_source(projection, self.replacements(spans), self.policy.keep_binary)

    def text(self, text: str) -> str:
        """Redact a plain text; what holds no value comes back as it is."""
        return self._redacted(text, self.edits(text))

    def json(self, data: bytes) -> bytes:
        """Redact the strings, keys and numbers of JSON; every other byte stays. What is no JSON is redacted as text.

        The same object comes back where nothing was found.
        """
        text = data.decode("utf-8", "surrogateescape")
        edits = self.json_edits(text)
        return self._redacted(text, edits).encode("utf-8", "surrogateescape") if edits else data

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Redact headers; a name says what its value is, and may hold one itself."""
        pairs, found = list(pairs), []
        is_plain = not self.edits("\n".join(name for name, _ in pairs))
        for name, value in pairs:
            before = f"{name}: "
            edits = [
                replace(edit, start=max(edit.start - len(before), 0), end=edit.end - len(before))
                for edit in self.edits(before + value)
                if edit.end > len(before)
            ]
            found.append((name if is_plain else self.text(name), self._redacted(value, edits)))
        return found

    def url(self, raw: str) -> str:
        """Redact an address, or a path with a query, whose parts may be percent-encoded; unchanged parts stay as they are."""
        pieces = _SEPARATORS.split(raw)
        in_query = False
        for at, piece in enumerate(pieces):
            in_query |= piece == "?"
            if at % 2 == 0 and piece:
                pieces[at] = self._encoded(piece, in_query)
        # A value with a separator in it (an address with a password) shows only in the whole.
        return self.text("".join(pieces))

    def query(self, raw: str) -> str:
        """Redact a raw query string, without its question mark."""
        return self.url("?" + raw)[1:]

    def _encoded(self, piece: str, in_query: bool) -> str:
        decoded = (unquote_plus if in_query else unquote)(piece)
        for _ in range(_LEVELS):
            if "%" not in decoded:
                break
            decoded = unquote(decoded)
        if decoded == piece:
            return piece
        edits = self.edits(decoded)
        return quote(self._redacted(decoded, edits), safe=_READABLE + "=/") if edits else piece

    def _redacted(self, text: str, edits: list[Edit]) -> str:
        if edits:
            self.count(edits)
        return applied(text, edits)

    def count(self, edits: Iterable[Edit]) -> None:
        """Count replacements that were made."""
        self.counts.update(edit.type for edit in edits)

    def replacements(self, spans: Iterable[Span]) -> list[Edit]:
        """Give what replaces each span."""
        return [Edit(span.start, span.end, self._replacement(span), span.type) for span in spans]

    def _replacement(self, span: Span) -> str:
        handling = self._handling[span.type]
        if handling.mode == "tokenize" and not span.is_masked:
            return f"[{span.type}:{self._tokens.token(span.type, span.value)}]"
        if handling.mode == "remove":
            return ""
        if handling.mode == "partial":
            return f"[{span.type}]" if span.is_masked else _partial(span.value, handling)
        if handling.placeholder is not None and not span.is_masked:
            return handling.placeholder
        return f"[{span.type}]"

    def settle(self, text: str, before: str = "", shown: str = "", is_whole: bool = True) -> tuple[list[Span], int]:
        """Give the spans of `text` to replace, and how many characters of it they are final for.

        `before` is what stood before it, `shown` what that became. Where more text may follow (`is_whole` is false),
        nothing is final that could change with it. Raises what a detector raises.
        """
        spans = new = resolve(self._spans(text, before))
        limit = len(text) if is_whole else self._reach(text, before)
        limit, spans = within(limit, spans)
        times = 0
        while new or shown != before:
            times += 1
            if times > _MOST:
                raise limits.TooLongError
            edits = self.replacements(spans)
            out, places = applied(text[:limit], edits), Places(edits)
            if shown or not is_whole:
                found = self._spans(out, shown)
            else:
                found = self._spans_near(out, places, {span.start for span in new})
            if not is_whole:
                end, found = within(self._reach(out, shown), resolve(found))
                limit, spans = within(places.start(end), spans)
            new = [
                replace(
                    span,
                    start=places.start(span.start),
                    end=places.end(span.end),
                    is_masked=places.touches(span.start, span.end),
                )
                for span in found
            ]
            if not new:
                break
            if times >= _FEW:
                new = _with_their_words(resolve(new), text[:limit])
            # What is masked wins: it must not show, whatever else it is.
            masked = resolve(span for span in new if span.is_masked)
            ends = [span.end for span in masked]
            spans, old = (
                resolve(replace(s, is_masked=s.is_masked or _overlaps(s, masked, ends)) for s in (*spans, *new)),
                set(spans),
            )
            new = [span for span in spans if span not in old]
        return spans, limit

    def _spans(self, text: str, before: str) -> list[Span]:
        """Give what is found in `text`, but for what redaction left there: overlapping, in no order."""
        whole, start = before + text, len(before)
        try:
            whole.encode()
        except UnicodeEncodeError:
            whole = _SURROGATES.sub("\ufffd", whole)  # character by character: places stay
        spans = [
            Span(f.start - start, f.end - start, f.type, whole[f.start : f.end], f.confidence, f.detector)
            for f in detectors.find(whole, self.policy.types, self.policy.min_confidence)
            if f.start >= start
        ]
        for pattern in self._patterns:
            spans += [
                Span(first - start, last - start, pattern.name, whole[first:last], pattern.confidence, "custom pattern")
                for first, last in (match.span() for match in pattern.pattern.finditer(whole, start))
                if first < last
            ]
        if not spans:
            return []
        marks = [match.span() for match in self._marks.finditer(text)] if "[" in text else []
        return list(_outside(spans, marks, text)) if marks else spans

    def _spans_near(self, text: str, places: Places, new: Collection[int]) -> list[Span]:
        """Give what is found near replacements in `text` whose places were those of `new`: elsewhere nothing has changed."""
        found: list[Span] = []
        for start, end in places.around(_NEAR, new):
            # What the window cuts off may look like what it is not: there, nothing is taken.
            floor = start + detectors.CONTEXT if start else 0
            ceiling = end - detectors.CONTEXT if end < len(text) else end
            for span in self._spans(text[start:end], ""):
                if span.start + start >= floor and span.end + start <= ceiling:
                    found.append(replace(span, start=span.start + start, end=span.end + start))
        return found

    def _reach(self, text: str, before: str) -> int:
        """Give how much of `text` no finding can begin or change in any more."""
        whole = before + text
        reach = detectors.reach(whole)
        for pattern in self._patterns:
            reach = min(reach, settled(pattern.pattern, whole))
        reach = min(reach, _mark_begins(whole))
        for match in self._marks.finditer(whole, max(reach - _LONGEST_MARK, 0)):
            if match.start() >= reach:
                break
            if reach < match.end():
                reach = match.start()
                break
        return min(max(reach - len(before), 0), len(text))


def _mark_begins(text: str) -> int:
    """Give where a mark of redaction may have begun that is not complete."""
    at = text.rfind("[", max(len(text) - _LONGEST_MARK, 0))
    return at if at >= 0 and "]" not in text[at:] else len(text)


def _overlaps(span: Span, others: list[Span], ends: list[int]) -> bool:
    """Whether a span overlaps one of `others`, which are in order, do not overlap, and have these `ends`."""
    at = bisect_right(ends, span.start)
    return at < len(others) and others[at].start < span.end


def _with_their_words(spans: Iterable[Span], text: str) -> list[Span]:
    """Stretch spans, which are in order, to the ends of the words that they begin and end in."""
    found: list[Span] = []
    done = 0
    for span in spans:
        if span.end <= done:
            continue
        start = max(done, *(text.rfind(sign, done, span.start) + 1 for sign in _WORD_ENDS))
        end = _WORD_END.search(text, span.end)
        done = end.start() if end else len(text)
        found.append(replace(span, start=start, end=done, is_masked=True))
    return found


def _outside(spans: list[Span], marks: list[tuple[int, int]], text: str) -> Iterable[Span]:
    """Give what of each span stands outside of marks. A remainder of mere punctuation is nobody's value."""
    ends = [end for _, end in marks]
    for span in spans:
        at, start = bisect_right(ends, span.start), span.start
        if at == len(marks) or marks[at][0] >= span.end:
            yield span
            continue
        pieces = []
        while at < len(marks) and marks[at][0] < span.end:
            pieces.append((start, marks[at][0]))
            start = marks[at][1]
            at += 1
        pieces.append((start, span.end))
        for begin, end in pieces:
            if begin < end and any(c.isalnum() for c in text[begin:end]):
                yield replace(span, start=begin, end=end, value=text[begin:end])


def _partial(value: str, handling: Handling) -> str:
    shown = visible(value)
    return "****" + (shown[-handling.show_chars :] if 0 < handling.show_chars < len(shown) else "")


def log_failure(error: Exception) -> None:
    """Say once for each cause that redaction failed, with no word of the text (which an error may quote)."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    cause = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
    if cause not in _known_failures:
        _known_failures.add(cause)
        logger.error("PII could not be looked for (%s): texts are withheld as %s", cause, FAILED)

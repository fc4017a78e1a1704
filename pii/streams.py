"""Text that is under way, released as far as redaction of it is final. Sans-io."""

from pii import limits
from pii.edits import applied
from pii.json_text import Projection, project, to_source
from pii.overlaps import Span, within
from pii.policy import FAILED
from pii.redactor import Redactor, log_failure

# Characters of what was released that detectors may still look at.
CONTEXT = 2048


class LiveText:
    """Feed it pieces of a text; it gives what is final of the redacted text. All of it together is `Redactor.text` of the whole.

    What could still become a value is held back, at the latest until `flush`.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._before = ""  # the end of what was released, as it came
        self._shown = ""  # and what it became
        self._held = ""
        self._enough = 0  # characters from which on another look is worth it
        self._has_failed = False

    def feed(self, piece: str) -> str:
        """Take a piece; give what has become final, which may be nothing."""
        self._held += piece
        if len(self._held) < self._enough:
            return ""
        released = self._release(is_whole=False)
        # What is held for long is not searched for every word that comes: the work stays linear.
        self._enough = len(self._held) * 9 // 8 if len(self._held) > CONTEXT else 0
        return released

    def flush(self) -> str:
        """Give the rest: nothing follows."""
        return self._release(is_whole=True)

    def _release(self, is_whole: bool) -> str:
        if self._has_failed:
            self._held = ""
            return ""
        try:
            with limits.limited(len(self._held)):
                final, spans = self._final(is_whole)
                edits = to_source(final, self._redactor.replacements(spans), self._redactor.policy.keep_binary)
        except Exception as error:
            log_failure(error)
            self._has_failed, self._held = True, ""
            self._redactor.counts["FAILED"] += 1
            return FAILED
        self._redactor.count(edits)
        text = applied(final.source, edits)
        self._held = self._held[len(final.source) :]
        self._before = (self._before + final.text)[-CONTEXT:]
        self._shown = (self._shown + applied(final.text, self._redactor.replacements(spans)))[-CONTEXT:]
        return text

    def _final(self, is_whole: bool) -> tuple[Projection, list[Span]]:
        """Give what of the held text is final, and the values in it."""
        held = self._held if is_whole else self._held[: _open_url(self._held)]
        projection = project(held, is_json=False)
        spans, limit = self._redactor.settle(projection.text, self._before, self._shown, is_whole)
        final = projection.cut(limit)
        if not is_whole and (url := _open_url(final.source)) < len(final.source):
            limit, spans = within(final.place_of(url), spans)
            final = projection.cut(limit)
        return final, spans


def _open_url(text: str) -> int:
    """Give where a data URL that has not ended begins, or could."""
    word = max(text.rfind(space) for space in " \t\r\n") + 1
    begin = text.find("data:", word)
    if begin >= 0:
        return begin
    return next((len(text) - n for n in range(4, 0, -1) if text.endswith("data"[:n])), len(text))

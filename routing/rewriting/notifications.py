"""Telling a model that it has taken a conversation over: a message in front of it, once for each change."""

from collections import OrderedDict

from routing.rewriting.bodies import Rewritten, prepended
from routing.rewriting.templates import fill

MAX_SESSIONS = 10_000


def with_notification(body: bytes, dialect: str, text: str) -> bytes:
    """Give `body` with `text` as a user's message in front of its conversation. Raises CannotRewrite."""
    return prepended(Rewritten(body), dialect, [{"role": "user", "content": text}]).body


def notification(template: str, original: str, new: str, reason: str, model: str) -> str:
    """Give a notification's text: who served the conversation, who does now, why, and with which model."""
    return fill(template, {"original_provider": original, "new_provider": new, "reason": reason, "model": model})


class Notices:
    """Remembers who served each session last: of the 10,000 that were seen most recently."""

    def __init__(self) -> None:
        self._served: OrderedDict[str, str] = OrderedDict()

    def due(self, session_id: str, provider: str, usual: str) -> str:
        """Give whom `provider` takes the session over from, or "" if it does not.

        Of a session that is not known, that is `usual`: who would serve it if nothing were wrong. Remembers nothing: who
        is asked may fail.
        """
        before = self._served.get(session_id, usual) if session_id else ""
        return before if before != provider else ""

    def served(self, session_id: str, provider: str) -> None:
        """Remember that `provider` has answered the session."""
        if not session_id:
            return
        self._served[session_id] = provider
        self._served.move_to_end(session_id)
        if len(self._served) > MAX_SESSIONS:
            self._served.popitem(last=False)

"""What a model is told once when a conversation comes to it from another provider."""

from collections import OrderedDict

from routing.rewriting.bodies import Body, CannotRewrite, message_for
from routing.rewriting.templates import Template

# Conversations of which it is known who served them last.
MAX_SESSIONS = 10_000


class Notices:
    """Who served each conversation last."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, str] = OrderedDict()

    def due(self, session_id: str, provider: str, usual: str) -> str:
        """Give from whom the conversation comes to `provider`, or "" where it was there already.

        Of a conversation that is not known it is `usual`, the provider that a request of its kind is meant for.
        """
        before = self._last.get(session_id, usual) if session_id else usual
        return "" if before == provider else before

    def served(self, session_id: str, provider: str) -> None:
        """Note that `provider` has answered in that conversation."""
        if not session_id:
            return
        self._last[session_id] = provider
        self._last.move_to_end(session_id)
        if len(self._last) > MAX_SESSIONS:
            self._last.popitem(last=False)


def with_notification(
    body: bytes, dialect: str, template: str, original: str, new: str, reason: str, model: str
) -> bytes:
    """Give the body with the filled-in `template` as a user's message in front; unchanged where that cannot be."""
    values = {"original_provider": original, "new_provider": new, "reason": reason, "model": model}
    text = Template(template, {}).fill(values)
    try:
        changed = Body(body)
        changed.prepend(dialect, [message_for(dialect, {"role": "user", "content": text})])
        return changed.apply()
    except CannotRewrite:
        return body

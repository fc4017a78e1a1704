"""What a provider's settings change of a request: headers, values of the body, messages in front."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from routing.definitions import Provider
from routing.rewriting.bodies import Body, CannotRewrite, encode, filled, message_for, peek_model, text_of
from routing.rewriting.templates import Template

__all__ = ["CannotRewrite", "Rewriter", "Rewritten", "Variables", "peek_model"]

# Headers from which the record takes a project, the first that is set.
PROJECT_HEADERS = ("x-project-id", "x-session-context")
_MAX_PROJECT = 255


@dataclass(frozen=True, slots=True)
class Variables:
    """What the variables of templates stand for in one request."""

    provider: str = ""
    model: str = ""
    session_id: str = ""
    request_id: str = ""

    def values(self) -> dict[str, str]:
        """Give them by name."""
        return {
            "provider": self.provider,
            "model": self.model,
            "session_id": self.session_id,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A body, and in words what was changed of it."""

    body: bytes
    changes: tuple[str, ...]


class Rewriter:
    """The settings of one provider, compiled. `environ` is where ``${env.NAME}`` is looked up, once."""

    def __init__(self, provider: Provider, environ: Mapping[str, str]) -> None:
        self._provider, self._environ = provider, environ
        self._headers = tuple((name, Template(text, environ)) for name, text in provider.request_headers)
        self.warnings = tuple(f"{name}: {warning}" for name, template in self._headers for warning in template.warnings)
        self.replaced = frozenset(name.lower().encode("latin-1") for name, _ in self._headers)
        self.changes_body = bool(provider.body_defaults or provider.body_overrides or provider.prepend_messages)
        is_constant = all(template.is_constant for _, template in self._headers)
        self.needs_request = not is_constant or self.changes_body
        # Lines that are the same for every request; None where some are not.
        self.static_headers = self.header_lines(Variables())[0] if is_constant else None

    def header_lines(self, variables: Variables) -> tuple[bytes, tuple[str, ...]]:
        """Give the header lines of a request, and what was left out of them, in words."""
        lines, notes = [], []
        for name, value in self._filled(variables):
            if any(ord(c) < 32 or ord(c) == 127 for c in value):
                notes.append(f"header {name} was left out: its value has a line break or another control character")
            elif value:
                lines.append(f"{name}: {value}\r\n".encode("utf-8", "replace"))
        return b"".join(lines), tuple(notes)

    def _filled(self, variables: Variables) -> list[tuple[str, str]]:
        values = variables.values()
        return [(name, template.fill(values).strip(" \t")) for name, template in self._headers]

    def metadata(self, variables: Variables) -> dict[str, str]:
        """Give what these headers say of the exchange for the record: its ``project``."""
        filled_headers = {name.lower(): value for name, value in self._filled(variables)}
        project = next((value for name in PROJECT_HEADERS if (value := filled_headers.get(name))), "")
        return {"project": project[:_MAX_PROJECT]} if project else {}

    def body(self, body: bytes, dialect: str, variables: Variables, model: str | None) -> Rewritten:
        """Give the body with `model` (None: its own) and with what the settings say.

        Defaults, overrides and messages are for conversations (`dialect` is not empty); other requests have the model
        replaced only. Members are set as a whole: an object in the settings replaces the request's. Raises CannotRewrite.
        """
        changed = Body(body)
        if model:
            changed.set("model", encode(model))
            changed.changes.append(f"model: {model}")
        if dialect:
            self._settings(changed, dialect, variables)
        return Rewritten(changed.apply(), tuple(changed.changes))

    def _settings(self, changed: Body, dialect: str, variables: Variables) -> None:
        provider, fill = self._provider, self._fill(variables)
        overrides = provider.body_overrides
        for key, value in provider.body_defaults.items():
            if key not in overrides and changed.span(key) is None:
                changed.set(key, encode(filled(value, fill)))
                changed.changes.append(f"{key}: set by default")
        for key, value in overrides.items():
            changed.set(key, encode(filled(value, fill)))
            changed.changes.append(f"{key}: overridden")
        if provider.prepend_messages:
            self._prepend(changed, dialect, [filled(message, fill) for message in provider.prepend_messages])

    def _prepend(self, changed: Body, dialect: str, messages: list[dict[str, Any]]) -> None:
        if dialect == "anthropic":
            system = [text_of(m["content"]) for m in messages if m["role"] in ("system", "developer")]
            messages = [m for m in messages if m["role"] not in ("system", "developer")]
            if system:
                changed.prepend_system("\n\n".join(system))
                changed.changes.append("system: a text was put in front")
        if messages:
            changed.prepend(dialect, [message_for(dialect, message) for message in messages])
            changed.changes.append(f"messages: {len(messages)} put in front")

    def _fill(self, variables: Variables) -> Callable[[str], str]:
        values = variables.values()
        return lambda text: Template(text, self._environ).fill(values)

"""A provider's settings, ready to be applied to each request."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from routing.definitions import Provider
from routing.rewriting.bodies import Rewritten, Settings, rewrite
from routing.rewriting.headers import lines_of, problem_of
from routing.rewriting.templates import Template, environment

# Names of the headers that say which project a request belongs to, the first that has a value counts.
PROJECT_HEADERS = ("x-project-id", "x-session-context")


@dataclass(frozen=True, slots=True)
class Variables:
    """What a request's templates can name."""

    provider: str
    model: str
    session_id: str
    request_id: str

    def values(self) -> dict[str, str]:
        """Give them by name."""
        return {
            "provider": self.provider, "model": self.model, "session_id": self.session_id, "request_id": self.request_id,
        }  # fmt: skip


class Rewriter:
    """Changes requests as one provider's settings ask. Made once for each; `environ` gives ``${env.NAME}``.

    ``warnings`` say what in the settings has no effect. ``static_headers`` are the header lines where none of them needs
    the request, else None. ``replaced`` are the lower-case names whose headers of the client's are to be left out; a name
    stays among them where its value turns out empty or unsendable. ``needs_request`` tells whether headers, body or the
    model to ask depend on the request's model or session; ``changes_body`` whether ``body`` does more than put another
    model.
    """

    def __init__(self, provider: Provider, environ: Mapping[str, str]) -> None:
        self._provider = provider
        self._environ = environ
        self._warnings: list[str] = []
        self._names: set[str] = set()  # variables that only a request has
        self._headers = self._read_headers(provider.request_headers)
        own = set(self._names)
        self._defaults = {name: self._read(value) for name, value in provider.body_defaults.items()}
        self._overrides = {name: self._read(value) for name, value in provider.body_overrides.items()}
        self._prepend = [self._read(message) for message in provider.prepend_messages]
        self.needs_request = bool(self._names & {"model", "session_id"} or provider.model_map)
        self.changes_body = bool(self._defaults or self._overrides or self._prepend)
        self._settings = None if self._names - own else self._filled({})
        self.static_headers, notes = (None, ()) if own else lines_of(self._headers, {})
        self.replaced = frozenset(name.lower().encode() for name, _ in self._headers)
        self.warnings = tuple(dict.fromkeys((*self._warnings, *notes)))

    def header_lines(self, variables: Variables) -> tuple[bytes, tuple[str, ...]]:
        """Give the headers as lines, with notes on those of them that are left out."""
        if self.static_headers is not None:
            return self.static_headers, ()
        return lines_of(self._headers, variables.values())

    def metadata(self, variables: Variables) -> dict[str, str]:
        """Give what the headers say of the request's place: ``project``."""
        values = variables.values()
        found = {name.lower(): template.fill(values).strip() for name, template in self._headers}
        project = next(filter(None, map(found.get, PROJECT_HEADERS)), None)
        return {"project": project[:255]} if project else {}

    def body(self, body: bytes, dialect: str, variables: Variables, model: str | None = None) -> Rewritten:
        """Give `body` as the settings want it, with `model` in place of its own unless that is None or empty.

        `dialect` is that of the body (CONVERSATION). Raises CannotRewrite for what is no JSON object.
        """
        settings = self._settings or self._filled(variables.values())
        return rewrite(body, dialect, replace(settings, model=model) if model else settings)

    def _read_headers(self, headers: tuple[tuple[str, str], ...]) -> list[tuple[str, Template]]:
        found = []
        for name, text in headers:
            if problem := problem_of(name):
                self._warnings.append(problem)
                continue
            template = self._template(text)
            if (
                template.names or template.literals[0].strip()
            ):  # what is empty for good leaves the client's in its place
                found.append((name, template))
        return found

    def _template(self, text: str) -> Template:
        values, warnings = environment(text, self._environ)
        self._warnings += warnings
        template = Template.of(text, {**values, "provider": self._provider.name})
        self._names |= set(template.names)
        return template

    def _read(self, value: Any) -> Any:
        """Give a value of the settings with its texts read: as texts where nothing is left to fill in."""
        if isinstance(value, str):
            template = self._template(value)
            return template if template.names else template.literals[0]
        if isinstance(value, Mapping):
            return {name: self._read(member) for name, member in value.items()}
        return [self._read(item) for item in value] if isinstance(value, list | tuple) else value

    def _filled(self, values: Mapping[str, str]) -> Settings:
        return Settings(
            "",
            {name: msgspec.json.encode(_fill(value, values)) for name, value in self._defaults.items()},
            {name: msgspec.json.encode(_fill(value, values)) for name, value in self._overrides.items()},
            [_fill(message, values) for message in self._prepend],
        )


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, Template):
        return value.fill(values)
    if isinstance(value, dict):
        return {name: _fill(member, values) for name, member in value.items()}
    return [_fill(item, values) for item in value] if isinstance(value, list) else value

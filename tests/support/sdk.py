"""What a vendor's SDK made of a call, in a shape that can be compared."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.upstream import FakeUpstream, Script


@dataclass(frozen=True)
class Outcome:
    """What a call gave or raised, and what the provider got for it."""

    value: object
    requests: list

    @property
    def error(self) -> str | None:
        """The name of the exception."""
        return self.value["raised"] if isinstance(self.value, dict) and "raised" in self.value else None


def outcome(upstream: FakeUpstream, base: str, call: Callable[[str], object], script: Script | None = None) -> Outcome:
    """Make `call` with the base address `base`; what it raises is part of the outcome."""
    upstream.reset()
    upstream.script(script)
    try:
        given = call(base)
        value = plain(asyncio.run(given) if inspect.iscoroutine(given) else given)
    except Exception as error:
        value = {
            "raised": type(error).__name__,
            "message": str(error),
            **{name: getattr(error, name, None) for name in ("status_code", "body", "request_id", "code", "param")},
        }
    return Outcome(value, [_seen(request) for request in upstream.requests])


def plain(value: object) -> object:
    """Give models as dictionaries, and what holds them likewise."""
    if hasattr(value, "model_dump"):
        return value.model_dump(warnings=False)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _seen(request) -> tuple:
    """A request without what a proxy must replace."""
    replaced = (b"host", b"connection")
    headers = [(name, value) for name, value in request.headers if name.lower() not in replaced]
    return request.method, request.target, headers, request.body

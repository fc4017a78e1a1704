"""Which requests are not let through because their budget is used up. Whoever sums up costs makes these anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from proxy.handler import ErrorResponse
from proxy.headers import Headers, for_record
from proxy.identity import named_project
from routing.clients import client_of

# The longest wait that a client is asked for, in seconds: a limit may be raised before its period ends.
MAX_WAIT = 31 * 86_400


@dataclass(frozen=True, slots=True)
class Stop:
    """Why, in a sentence, and until when, in seconds since the epoch."""

    message: str
    until: float

    def response(self, dialect: str, now: float) -> ErrorResponse:
        """Give the answer. Both vendors' SDKs heed `x-should-retry` and do not ask again."""
        response = ErrorResponse(dialect, 429, self.message)
        wait = min(max(ceil(self.until - now), 1), MAX_WAIT)
        response.raw_headers += [(b"retry-after", b"%d" % wait), (b"x-should-retry", b"false")]
        return response


@dataclass(frozen=True, slots=True)
class Stops:
    """Budgets that are used up and refuse: one for everything, by project, by client."""

    everything: Stop | None
    projects: Mapping[str, Stop]
    clients: Mapping[str, Stop]

    def of(self, headers: Headers, metadata: Mapping[str, str], now: float) -> Stop | None:
        """Give what stops a request with these headers, to a provider whose requests carry `metadata`."""
        found = [self.everything]
        if self.projects:
            found.append(self.projects.get(metadata["project"] if "project" in metadata else named_project(headers)))
        if self.clients:
            found.append(self.clients.get(client_of(for_record(headers))))
        return max((stop for stop in found if stop and stop.until > now), key=lambda s: s.until, default=None)

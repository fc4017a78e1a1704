"""Whose request this is, where LunaRoute serves a team: by a token in a header, or in the path.

The latter is for clients that take but a base URL:
``x-lunaroute-token: TOKEN``, or ``/t/TOKEN/v1/messages`` for ``ANTHROPIC_BASE_URL=http://host:8081/t/TOKEN``. Neither goes
on to a provider, nor into the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import time

from proxy.guard import Refused, waits
from proxy.headers import TOKEN, Headers, first
from proxy.throttle import throttle

PREFIX = b"/t/"
UNKNOWN = "This is no token that LunaRoute knows, or it has expired: /ui/account gives another."
MISSING = (
    "LunaRoute asks who you are: send your token in the header x-lunaroute-token, "
    "or have /t/<token> at the end of the base URL; /ui/account gives one."
)
TWICE = "Your token stands in this address a second time: from there it would go to the provider. Leave it out."


@dataclass(frozen=True, slots=True)
class User:
    """Who a token is for, until when (seconds since the epoch; None: for good), and the projects that its user is a member of."""

    name: str
    expires_at: float | None = None
    projects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Identities:
    """All tokens by the SHA-256 of each: a search among digests takes a time that says nothing about a token."""

    users: Mapping[bytes, User]

    def take(self, scope: dict) -> Refused | None:
        """Note the request's user as ``owner`` of `scope`, with their ``projects``, and take the prefix off its path.

        Gives why it is refused, or None."""
        token = _from_path(scope) or first(scope["headers"], TOKEN)
        if not token:
            return Refused(401, MISSING)
        address = scope["client"][0] if scope["client"] else ""
        if (refused := waits(address, token)) is not None:
            return refused
        user = self.users.get(digest(token))
        if user is None or (user.expires_at is not None and user.expires_at <= time()):
            throttle.failed(address, token)
            return Refused(401, UNKNOWN)
        throttle.passed(address, token)
        if token in scope["raw_path"] or token in scope["query_string"]:
            return Refused(400, TWICE)
        scope["owner"], scope["projects"] = user.name, user.projects
        return None


def with_own_project(scope: dict, metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Give `metadata` (what requests to a provider carry) with no project where a team's user is no member of the one that
    it or a header of the request names: nobody spends, or records, on a project of others."""
    projects = scope.get("projects")
    if projects is None:
        return metadata
    named = metadata["project"] if "project" in metadata else named_project(scope["headers"])
    return metadata if not named or named in projects else {**metadata, "project": "", "project_not_taken": named}


def named_project(headers: Headers) -> str:
    """Give the project that a request's headers name, or ""."""
    named = first(headers, b"x-project-id") or first(headers, b"x-session-context") or b""
    return named.decode("latin-1")[:255]


def digest(token: bytes) -> bytes:
    """Give what is kept of a token: it has 256 bits, so that nobody finds it by trying."""
    return sha256(token).digest()


def _from_path(scope: dict) -> bytes:
    """Cut the prefix off the path. Gives its token, empty where there is none."""
    path = scope["raw_path"]
    if not path.startswith(PREFIX):
        return b""
    token, slash, _ = path[len(PREFIX) :].partition(b"/")
    cut = len(PREFIX) + len(token)
    scope["raw_path"] = path[cut:] if slash else b"/"
    # The token is ASCII or none that anybody knows: then the request goes nowhere.
    scope["path"] = scope["path"][cut:] if slash else "/"
    if target := scope.get("raw_target"):
        scope["raw_target"] = target[cut:] if slash else b"/" + target[cut:]
    return token

"""What the data plane of one process works with; the server sets it up before the first request, and swaps what changes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from proxy.capture import End
from proxy.forwarded import Trusted
from proxy.guard import Guard
from proxy.headers import REQUEST_DROPPED
from proxy.identity import Identities
from proxy.link import RecorderLink
from proxy.meter import Meter
from proxy.stops import Stops
from proxy.upstream import Upstream
from routing.board import Board
from routing.codex_auth import CodexLogin
from routing.definitions import Provider
from routing.destinations import Destinations
from routing.rewriting.notifications import Notices
from routing.rewriting.rewriter import Rewriter, Variables
from routing.router import Router
from routing.rules import RuleSet
from routing.snapshot import Snapshot

CREDENTIALS = frozenset((b"authorization", b"x-api-key"))


@dataclass(frozen=True, slots=True)
class Target:
    """A provider ready for use: its connections, and what is changed of each request to it."""

    provider: Provider
    name: str
    provider_type: str
    upstream: Upstream
    dropped: frozenset[bytes]  # names of headers that do not pass
    added: bytes  # header lines that every request gets
    rewriter: Rewriter
    login: CodexLogin | None
    metadata: Mapping[str, str]  # e.g. {"project": "myapp"}, where no request changes it
    is_plain: bool  # requests pass as they are, but for `dropped` and `added`


@dataclass(slots=True)
class Sockets:
    """WebSockets that a provider has accepted, and their frames both ways, since the process began."""

    opened: int = 0
    closed: int = 0
    frames: int = 0


async def _nothing_to_do() -> None:
    pass


@dataclass(slots=True)
class State:
    """Mutable only in that the server swaps what has changed; a request keeps what it began with."""

    snapshot: Snapshot
    max_body: int  # bytes
    board: Board
    router: Router
    environ: Mapping[str, str]
    link: RecorderLink | None = None  # None: nobody reads what passes
    guard: Guard = field(default_factory=lambda: Guard(("*",)))  # asked before each request
    own_token: bytes = b""  # the server's, which goes to no provider
    identities: Identities | None = None  # None: nobody is asked who they are
    meter: Meter | None = None  # with `identities`
    destinations: Destinations = field(default_factory=Destinations)  # what may be connected to
    trusted: Trusted | None = None  # None: there is no proxy in front of this server whose word counts
    stops: Stops | None = None  # None: no budget refuses anything
    sse_keepalive: float = 0  # seconds of silence after which a stream of events gets a comment; 0: never
    stopping: bool = False  # no new requests, please
    cutting: bool = False  # streams that are cut now are cut by us
    changed: Callable[[], bool] = lambda: False  # whether providers or rules have changed; asked by every request
    refresh: Callable[[], Awaitable[None]] = _nothing_to_do
    # Hears of each exchange that no recorder does: its listener, provider and id, the answer's status, how it ended.
    tell_unrecorded: Callable[[str, str, str, int, End], None] = lambda *facts: None
    # Hears of each request with a token that nobody has: its path and the client's address.
    tell_wrong_token: Callable[[str, str], None] = lambda *facts: None
    sockets: Sockets = field(default_factory=Sockets)
    notices: Notices = field(default_factory=Notices)
    targets: dict[str, Target] = field(default_factory=dict)
    has_markers: bool = False  # whether a marker could choose another provider
    has_notifications: bool = False  # whether a model is told who it takes over from
    may_act: bool = False  # whether a rule or a marker could act on a request
    is_guarded: bool = False  # whether there is a key or login of the server's, for which the token is asked

    def target(self, provider: Provider) -> Target:
        """Give the target of `provider`, made at its first use."""
        target = self.targets.get(provider.name)
        if target is None or target.provider is not provider:
            if target is not None and target.provider == provider:  # read again, and the same
                target = replace(target, provider=provider)
            else:
                if target is not None:
                    target.upstream.retire()
                target = make_target(provider, self.environ, self.destinations)
            self.targets[provider.name] = target
        return target

    def swap(self, snapshot: Snapshot, providers: Mapping[str, Provider], rules: RuleSet, are_named: bool) -> None:
        """Serve the next request by these. `are_named`: somebody chose the providers; they are not just the default."""
        self.snapshot, self.router = snapshot, Router(rules, providers, self.board)
        self.has_markers = are_named and sum(provider.enabled for provider in providers.values()) > 1
        self.has_notifications = any(provider.switch_notification for provider in providers.values())
        self.may_act = bool(rules.rules) or self.has_markers
        keys = any(p.enabled and (p.api_key or p.codex_auth) for p in providers.values())
        self.is_guarded = keys
        self.board.keep(providers)
        for name in [name for name in self.targets if name not in providers]:
            self.targets.pop(name).upstream.retire()


# Set by `configure`; a module variable because every request reads it.
current: State | None = None


def configure(state: State) -> None:
    """Make `state` the one that requests are served with."""
    global current
    current = state


def make_target(provider: Provider, environ: Mapping[str, str], destinations: Destinations) -> Target:
    """Make the target of `provider`."""
    http = provider.http_client
    upstream = Upstream(
        provider.name,
        provider.base_url,
        read_timeout=http.timeout_secs,
        connect_timeout=http.connect_timeout_secs,
        max_idle=http.pool_max_idle_per_host,
        idle_timeout=http.pool_idle_timeout_secs,
        tcp_keepalive=http.tcp_keepalive_secs,
        max_retries=http.max_retries,
        destinations=destinations,
    )
    rewriter = Rewriter(provider, environ)
    dropped, added = REQUEST_DROPPED | rewriter.replaced, upstream.proxy_headers + (rewriter.static_headers or b"")
    if provider.api_key:
        # A server-side key replaces whichever credential the client sent.
        dropped = dropped | CREDENTIALS
        added += credential(provider.provider_type, provider.api_key)
    login = CodexLogin(provider.codex_auth) if provider.codex_auth else None
    changes = rewriter.static_headers is None or rewriter.changes_body
    changes = changes or provider.model or provider.model_map or provider.openai_api
    metadata = rewriter.metadata(Variables(provider.name, "", "", "")) if rewriter.static_headers is not None else {}
    return Target(
        provider,
        provider.name,
        provider.provider_type,
        upstream,
        dropped,
        added,
        rewriter,
        login,
        metadata,
        login is None and not changes,
    )


def credential(provider_type: str, key: str) -> bytes:
    """Give the header line that carries `key`."""
    if provider_type == "anthropic":
        return b"x-api-key: " + key.encode() + b"\r\n"
    return b"authorization: Bearer " + key.encode() + b"\r\n"

"""What the data plane of one process works with; the server sets it up before the first request."""

from dataclasses import dataclass, field
from typing import Any

from proxy.headers import REQUEST_DROPPED
from proxy.link import RecorderLink
from proxy.upstream import Upstream
from routing.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Target:
    """A provider ready for use: its connections, and what a server-side key does to the headers."""

    upstream: Upstream
    name: str
    provider_type: str
    dropped: frozenset[bytes]
    added: bytes  # header lines


@dataclass(slots=True)
class State:
    """Mutable only in that the server swaps the snapshot and the link."""

    snapshot: Snapshot
    max_body: int  # bytes
    link: RecorderLink | None = None  # None: recording is off
    stopping: bool = False  # streams that are cut now are cut by us
    targets: dict[str, Target] = field(default_factory=dict)

    def target(self, provider: Any) -> Target:
        """Give the target of a configured `provider`, made at its first use."""
        target = self.targets.get(provider.name)
        if target is None:
            target = self.targets[provider.name] = _make_target(provider)
        return target


# Set by `configure`; a module variable because every request reads it.
current: State | None = None


def configure(state: State) -> None:
    """Make `state` the one that requests are served with."""
    global current
    current = state


def _make_target(provider: Any) -> Target:
    http = provider.http_client
    upstream = Upstream(
        provider.name,
        str(provider.base_url),
        read_timeout=http.timeout_secs,
        connect_timeout=http.connect_timeout_secs,
        max_idle=http.pool_max_idle_per_host,
        idle_timeout=http.pool_idle_timeout_secs,
        tcp_keepalive=http.tcp_keepalive_secs,
        max_retries=http.max_retries,
    )
    dropped, added = REQUEST_DROPPED, upstream.proxy_headers
    key = provider.api_key.get_secret_value() if provider.api_key else ""
    if key:
        # A server-side key replaces whichever credential the client sent.
        dropped = dropped | {b"authorization", b"x-api-key"}
        if provider.provider_type == "anthropic":
            added += b"x-api-key: " + key.encode() + b"\r\n"
        else:
            added += b"authorization: Bearer " + key.encode() + b"\r\n"
    return Target(upstream, provider.name, provider.provider_type, dropped, added)

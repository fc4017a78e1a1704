"""Providers: one over TLS, with a certificate authority of its own, and several that rules choose among."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.server import RunningServer
from tests.support.upstream import FakeUpstream


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def bundle(authority: trustme.CA, tmp_path_factory) -> Path:
    """The authority's certificate, for SSL_CERT_FILE."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def serve_tls(authority: trustme.CA, *names: str, **validity) -> FakeUpstream:
    """Start a provider whose certificate is for `names`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **validity).configure_cert(context)
    return FakeUpstream(tls=context).start()


@pytest.fixture(scope="session")
def tls_of_session(authority: trustme.CA) -> Iterator[FakeUpstream]:
    provider = serve_tls(authority, "127.0.0.1", "localhost")
    yield provider
    provider.stop()


@pytest.fixture
def tls_provider(tls_of_session: FakeUpstream) -> FakeUpstream:
    """A provider over TLS that `authority` vouches for."""
    tls_of_session.reset()
    return tls_of_session


@pytest.fixture(scope="session")
def two_providers() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    first, second = FakeUpstream().start(), FakeUpstream().start()
    yield first, second
    first.stop()
    second.stop()


@pytest.fixture
def first(two_providers: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """The provider that the rules of `routed` ask first."""
    two_providers[0].reset()
    yield two_providers[0]
    assert not two_providers[0].errors, "a script of the test itself failed"


@pytest.fixture
def second(two_providers: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """The provider that the rules of `routed` ask next."""
    two_providers[1].reset()
    yield two_providers[1]
    assert not two_providers[1].errors, "a script of the test itself failed"


@pytest.fixture
def routed(start, first: FakeUpstream, second: FakeUpstream, tmp_path: Path) -> Callable[..., RunningServer]:
    """Start a server by a configuration in YAML, in which FIRST and SECOND stand for the providers' addresses."""

    def begin(config: str, **environ: str) -> RunningServer:
        path = tmp_path / "routed.yaml"
        path.write_text(config.replace("FIRST", first.url).replace("SECOND", second.url))
        return start("--config", str(path), upstream_url=first.url, **environ)

    return begin

"""A provider over TLS, with a certificate authority of its own."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

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

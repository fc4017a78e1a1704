"""Whose request it is: what is taken off a request, and that nothing of a token is left."""

import pytest

from proxy.identity import MISSING, TWICE, UNKNOWN, Identities, User, digest

KNOWN = Identities({digest(b"lr_good"): User("alice"), digest(b"lr_old"): User("bob", 1.0)})


def scope(path: bytes, *headers: tuple[bytes, bytes], query: bytes = b"") -> dict:
    target = path + (b"?" + query if query else b"")
    return {
        "raw_path": path,
        "path": path.decode("latin-1"),
        "raw_target": target,
        "query_string": query,
        "headers": [*headers],
        "client": None,
    }


@pytest.mark.parametrize(
    ("given", "path", "target"),
    [
        (scope(b"/t/lr_good/v1/messages", query=b"beta=true"), b"/v1/messages", b"/v1/messages?beta=true"),
        (scope(b"/t/lr_good/"), b"/", b"/"),
        (scope(b"/t/lr_good"), b"/", b"/"),
        (scope(b"/t/lr_good", query=b"a=1"), b"/", b"/?a=1"),
        (scope(b"/t/lr_good/t/lr_bad/x"), b"/t/lr_bad/x", b"/t/lr_bad/x"),
        (scope(b"/t/lr_good/v1/m%2Fx%20y"), b"/v1/m%2Fx%20y", b"/v1/m%2Fx%20y"),
        (scope(b"/v1/messages", (b"X-LunaRoute-Token", b"lr_good")), b"/v1/messages", b"/v1/messages"),
    ],
)
def test_who_is_known_goes_on_without_the_token(given, path, target):
    assert KNOWN.take(given) is None
    assert (given["owner"], given["raw_path"], given["raw_target"]) == ("alice", path, target)
    assert "lr_good" not in given["path"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (scope(b"/v1/messages"), MISSING),
        (scope(b"/v1/messages", (b"x-lunaroute-token", b"")), MISSING),
        (scope(b"/t//v1/messages"), MISSING),
        (scope(b"/t/"), MISSING),
        (scope(b"/tx/lr_good/v1"), MISSING),
        (scope(b"/v1/messages", (b"x-lunaroute-token", b"lr_bad")), UNKNOWN),
        (scope(b"/v1/messages", (b"x-lunaroute-token", b"lr_old")), UNKNOWN),
        (scope(b"/t/lr%5fgood/v1/messages"), UNKNOWN),
        (scope(b"/t/lr_bad/v1/messages", (b"x-lunaroute-token", b"lr_good")), UNKNOWN),
    ],
)
def test_who_is_not_is_told_so(given, why):
    refused = KNOWN.take(given)
    assert (refused.status, refused.message) == (401, why)
    assert "owner" not in given


@pytest.mark.parametrize(
    "given",
    [
        scope(b"/t/lr_good/v1/messages", query=b"a=/t/lr_good/"),
        scope(b"/t/lr_good/t/lr_good/v1/messages"),
        scope(b"/v1/messages", (b"x-lunaroute-token", b"lr_good"), query=b"token=lr_good"),
        scope(b"/v1/lr_good", (b"x-lunaroute-token", b"lr_good")),
    ],
)
def test_no_token_goes_on_in_another_place_of_the_address(given):
    refused = KNOWN.take(given)
    assert (refused.status, refused.message) == (400, TWICE)
    assert "owner" not in given

"""What is LunaRoute's own, and no provider's business: cookies of its pages, its tokens, their addresses.

None is sent to a provider, and no provider sets such a cookie."""

from proxy.headers import TOKEN, Headers, first

# How names of LunaRoute's cookies begin, at any port of the host; and the one that Django names itself.
COOKIES = (b"lunaroute_", b"messages=")
# How a member's token begins (team/tokens.py).
MEMBERS = b"lr_"
_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"proxy-authorization"))
_NAMES = _CREDENTIALS | {b"cookie", b"referer"}
_LENGTHS = frozenset(len(name) for name in _NAMES)


def without_own(headers: Headers, token: bytes) -> Headers:
    """Give `headers` as they may leave this server: the same list where there is nothing to take away.

    `token` is the server's own, or empty.
    """
    for name, value in headers:  # of most requests this is all: they have a key of their own, and no cookie
        if len(name) in _LENGTHS and (lower := name.lower()) in _NAMES:
            if lower not in _CREDENTIALS or MEMBERS in value or (token and token in value):
                break
    else:
        return headers
    left = [(name, _left_of(name.lower(), value, token, headers)) for name, value in headers]
    if all(kept is value for (_, kept), (_, value) in zip(left, headers, strict=True)):
        return headers
    return [(name, kept) for (name, kept), (_, value) in zip(left, headers, strict=True) if kept or not value]


def _left_of(name: bytes, value: bytes, token: bytes, headers: Headers) -> bytes:
    """Give what may pass of a header, the very `value` where that is all."""
    if name == b"cookie":
        return _cookies(value)
    if name == b"referer":
        host = first(headers, b"host") or b""
        rest = value.partition(b"://")[2]
        is_own = rest.partition(b"/")[0].lower() == host.lower()
        given = first(headers, TOKEN)
        has_token = b"/t/" in value or MEMBERS in value or any(t and t in value for t in (token, given))
        return b"" if is_own or has_token else value
    if name in _CREDENTIALS:
        given = value.rpartition(b" ")[2]
        if given.startswith(MEMBERS) or (token and given == token):
            return b""
    return value


def _cookies(value: bytes) -> bytes:
    if not any(name in value for name in COOKIES):
        return value
    pairs = value.split(b";")
    kept = [pair for pair in pairs if not pair.lstrip(b' \t"').startswith(COOKIES)]
    return value if len(kept) == len(pairs) else b";".join(kept).lstrip()


def without_own_cookies(headers: Headers) -> Headers:
    """Give an answer's `headers` without cookies of LunaRoute's that a provider would set."""
    return [(name, value) for name, value in headers if len(name) != 10 or not _sets_own(name, value)]


def _sets_own(name: bytes, value: bytes) -> bool:
    # A browser sends back what has no name as it stands: "=a=b" is a cookie a for who reads it.
    return name.lower() == b"set-cookie" and value.lstrip(b' \t"=').startswith(COOKIES)

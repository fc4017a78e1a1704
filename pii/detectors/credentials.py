"""Secrets that are known by what stands before them: credentials of HTTP (RFC 9110, section 11), cookies (RFC 6265), signatures
of addresses, passwords in addresses (RFC 3986, section 3.2.1), in commands and in lines of PostgreSQL's `.pgpass`."""

from collections.abc import Iterator

from pii.detectors.base import Hit, Match, after, look, search
from pii.detectors.stretches import near
from pii.detectors.worth import classes, entropy, is_name, is_pair, is_password, is_placeholder, is_token

_AUTHORIZATION = (
    r"(?:\b(?:proxy-)?authorization|\bx-api-key|\bx-auth-token|\bapi-key|\bx-goog-api-key|\bprivate-token|\bx-amz-security-token)"
    r"(?:\\{0,7}[\"']){0,2},?[ \t]{0,4}(?:\\{0,7}[\"']?value)?\\{0,7}[\"']{0,2}[ \t]{0,4}(?:=>|[:=,])[ \t]{0,4}\\{0,7}[\"'`]{0,2}"
    r"(?:(?:bearer|basic|token|apikey|bot|key)[ \t]{1,4}(?:token=)?\"?)?[A-Za-z0-9._~+/=:-]{8}"
    r"|\bbearer[ \t]{1,4}[A-Za-z0-9._~+/=-]{16}|\bbasic[ \t]{1,4}[A-Za-z0-9+/]{11}[A-Za-z0-9+/=]"
)
_CREDENTIALS = look(r"[A-Za-z0-9._~+/=:-]{8,8192}")
_BASIC = look(r"(?i).*basic[ \t]+[A-Za-z0-9+/=]+$")
# OAuth 1.0, Digest (RFC 7616), Hawk, AWS: parameters that only who knows the key can make.
_SIGNED = (
    r"(?:[?&;,#\s\"']|\\u0026|%26|^)(?:sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-oss-signature|x-cos-security-token"
    r"|q-signature|oauth_signature|oauth_token|response|cnonce|mac|hdnts|hmac|key-pair-id|awsaccesskeyid|code_verifier|sharedaccesssignature)"
    r"=\"?[A-Za-z0-9%+/_-]{8}"
)
_SIGNATURE = look(r"[A-Za-z0-9%+/=_.-]{16,2048}")
_COOKIES = r"\b(?:set-)?cookie2?(?:\\{0,7}[\"'])?[ \t]{0,2}(?:=>|[:=,])[ \t]{0,4}\\{0,7}[\"'`]?[^\s\"'=;,]{1,64}=|(?:[ \t]-b|--cookie)[ =][\"']?[^\s\"'=;]{1,64}="
_IS_SIGNED = look(f"(?i){_SIGNED}")
_IS_COOKIES = look(r"(?i)(?:set-)?cookie|[ \t]-b|--cookie")
_COOKIE_LINE = look(r"[^\n\f\"'`]{0,1900}")  # no longer than what is kept of a text under way
_COOKIE = look(r"[ \t]*([^\s=;,\"']{1,64})=(\"?)([^;\s\"',]{1,4096})\"?")
_ATTRIBUTE = look(r"(?i)(?:expires|max-age|domain|path|samesite|priority|partitioned|version|comment|secure|httponly)$")
_SESSION = search(
    r"(?i)sess|sid\b|auth|token|jwt|remember|login|ident|^id$|user|secure|host-|\.sig$|csrf|xsrf|key|secret|pass|cred|access|refresh"
)
_ADDRESS = search(
    r"[A-Za-z0-9+.-]{2,32}://[^\s:/@\"'<>`]{0,128}:[^\s\"'<>`/?#][^\s\"'<>`/]{0,255}@[A-Za-z0-9\[]|thin:[A-Za-z0-9_]{1,64}/[^\s\"'<>`/@]{4,128}@"
)
_ADDRESS_SIGNS = search("://"), search("thin:")
_IN_ADDRESS = look(r"(?:[A-Za-z0-9+.-]+://[^\s:/@]*:|thin:[A-Za-z0-9_]+/)([^\s\"'<>`]*)@")
_USER = r"(?:[ \t]-(?:u|-user|-proxy-user|-auth|a)|--user|--proxy-user)[ \t=]{1,2}[\"']?[A-Za-z0-9._@-]{1,64}:[^\s\"'`<>:]{4}"
_IS_USER = look(_USER)
_COMMAND = (
    rf"{_USER}|[A-Za-z0-9.*_-]{{1,64}}:(?:5432|5433|5434|6432|\*):[A-Za-z0-9_*-]{{1,64}}:[A-Za-z0-9_*.-]{{1,64}}:[^\s:]{{4}}|"
    r"\bsshpass[ \t]+-p[ \t]?[^\s]{4}|\b(?:mysql|mysqldump|mysqladmin|mariadb)\b[^\n|;&]{0,120}[ \t]-p[^\s-][^\s]{3}"
    r"|\b(?:docker|podman|helm|az|oc|skopeo|buildah)[ \t][^\n|;&]{0,40}login\b[^\n|;&]{0,120}[ \t]-p[ \t][^\s]{4}|\bredis-cli\b[^\n|;&]{0,120}[ \t]-a[ \t][^\s]{4}"
    r"|\b(?:ldapsearch|ldapmodify)\b[^\n|;&]{0,160}[ \t]-w[ \t][^\s]{4}|\bunzip[ \t]+-P[ \t]?[^\s]{4}|\bpass:[^\s]{4}|\bsmbclient\b[^\n|;&]{0,80}%[^\s]{4}"
)
# One search for all: each costs as much as it is long.
_ANY = search(f"(?i:{_AUTHORIZATION}|{_SIGNED}|{_COOKIES})|{_COMMAND}")
_IS_COMMAND = look(_COMMAND)
_RUN = look(r"[^\s\"'`<>]{4,8192}")
_WORD = 512
_FIGURE = look(r"[^0-9]*[0-9]")


def _authorization(data: bytes, match: Match) -> Iterator[Hit]:
    text = match.group()
    begun = 16 if text[:6].lower() == b"bearer" else 12 if text[:5].lower() == b"basic" else 8
    found = _CREDENTIALS.match(data, match.end() - begun)
    if not found:
        return
    value = found.group().rstrip(b".:")
    if is_placeholder(value) or data[found.end() : found.end() + 1] in (b"(", b"[", b"<"):
        return
    if not (_BASIC.match(data[match.start() : found.start() + len(value)]) and is_pair(value)):
        word = (value.isalpha() and (value.islower() or len(value) < 16)) or is_name(value)
        if begun == 12 or word or len(set(value)) < 5:
            return
    yield found.start(), found.start() + len(value), 0.9, "authorization"


def _signature(data: bytes, start: int) -> Iterator[Hit]:
    found = _SIGNATURE.match(data, start)
    if found and _FIGURE.match(found.group()) and entropy(found.group()) >= 3 and not is_name(found.group()):
        yield *found.span(), 0.85, "signature"


def _cookies(data: bytes, at: int, end: int) -> Iterator[Hit]:
    while at < end and (cookie := _COOKIE.match(data, at, end)):
        if _worth_cookie(cookie[1], cookie[3]):
            yield *cookie.span(3), 0.85, "cookie"
        at = data.find(b";", cookie.end(), end) + 1
        if not at:
            break


def _worth_cookie(name: bytes, value: bytes) -> bool:
    """Every value made by a machine: of a cookie nobody knows which one opens a session."""
    if _ATTRIBUTE.match(name) or is_placeholder(value) or len(value) < 6 or is_name(value):
        return False
    if _SESSION.search(name):
        return (classes(value) > 1 and bool(_FIGURE.match(value))) or (len(value) >= 20 and classes(value) > 1)
    return is_token(value) and len(value) >= 16 and not value.replace(b".", b"").isdigit()


def _passwords_in_addresses(data: bytes) -> Iterator[Hit]:
    for match in _ADDRESS.finditer(data, near(data, _ADDRESS_SIGNS, 32, 400)):
        text = match.group()
        found = _IN_ADDRESS.match(text if text[-1:] == b"@" else text[:-1])
        if not found:
            continue
        value = found.group(1)
        if not value or is_placeholder(value) or (value.isdigit() and len(value) < 6):
            continue
        yield match.start() + found.start(1), match.start() + found.end(1), 0.9, "connection-string"


def _in_command(data: bytes, match: Match) -> tuple[Hit | None, int]:
    """The value in a command or a line of it, and where the word ends that it was looked for in."""
    start = match.end() - 4
    if data[start] in b"\"'":
        start += 1
    run = _RUN.match(data, start)
    if not run or after(data, run.end(), 1) == b"/":
        return None, start
    value = run.group()
    if _IS_USER.match(data, match.start()):
        worth = not value.isdigit() and not is_placeholder(value) and bool(_FIGURE.match(value))
    else:
        worth = is_password(value, b"'", False)
    return (*run.span(), 0.8, "command") if worth else None, run.end()


def credentials(data: bytes) -> Iterator[Hit]:
    """Find credentials. `data` has quotes as they were written."""
    done = 0  # the end of a line of cookies
    word = 0  # the end of a long word: or each of many commands in it would read all of it
    for match in _ANY.finditer(data):
        start = match.start()
        if start < done:
            continue
        if _IS_COOKIES.match(data, start):
            at = match.end() - 1
            while data[at - 1] not in b" \t:=,\"'`>":
                at -= 1
            line = _COOKIE_LINE.match(data, at)
            assert line
            done = line.end()
            yield from _cookies(data, at, done)
        elif _IS_SIGNED.match(data, start):
            yield from _signature(data, match.end() - 8)
        elif _IS_COMMAND.match(data, start):
            if start >= word:
                hit, end = _in_command(data, match)
                if hit:
                    yield hit
                if end - start > _WORD:
                    word = end
        else:
            yield from _authorization(data, match)
    yield from _passwords_in_addresses(data)

"""Secrets that are known by what stands before them: credentials of HTTP (RFC 9110, section 11), passwords in addresses
(RFC 3986, section 3.2.1), values given to names such as `password`, `api_key` or `token`."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from pii.detectors.base import Hit, before, look, search

# Never a secret, whatever its name: stands for one.
_PLACEHOLDER = search(
    r"(?i)^[<{\[(]|\$[a-z_{(]|\{\{|%[(s]|^%|\.\.\.|\*{3}|x{4}|your[_-]?|[_-]here$|(?:^|[_./-])example|placeholder|change.?me|redacted|dummy|sample|insert|replace"
    r"|^(?:null|none|nil|true|false|undefined|string|str|bytes|text|int|required|optional|empty|todo|tbd|unset|default"
    r"|pass(?:word|wd|phrase)?\d?|pwd|secret|token|hidden|masked|test|foobar|foo|bar|abc|value)$|\{[\w.]*\}|^arn:|^[12][0-9]{3}-[01][0-9]-|^(?:process|os|env|self|this|config"
    r"|settings|request|req|ctx|data|args|options|params|props|state|import|secrets|vars|local|module|var|each)\."
)
_IDENTIFIER = look(r"[A-Za-z_$][A-Za-z_$]*[0-9]{0,2}(?:[.:/\\-]{1,2}[A-Za-z_$]+[0-9]{0,2})*$")

_AUTHORIZATION = search(
    r"(?i)(?:\b(?:proxy-)?authorization|\bx-api-key|\bx-auth-token|\bapi-key|\bx-goog-api-key|\bprivate-token|\bx-amz-security-token)"
    r"[\"']{0,2}[ \t]{0,4}(?:=>|[:=,])[ \t]{0,4}[\"'`]{0,2}(?:(?:bearer|basic|token|apikey|bot)[ \t]{1,4})?"
    r"[A-Za-z0-9._~+/=:-]{8}"
    r"|\bbearer[ \t]{1,4}[A-Za-z0-9._~+/=-]{16}"
)
_CREDENTIALS = look(r"[A-Za-z0-9._~+/=:-]{8,8192}")
_ADDRESS = search(r"[A-Za-z0-9+.-]{2,32}://[^\s:/@\"'<>`]{0,128}:[^\s\"'<>`/?#][^\s\"'<>`/]{0,255}@[A-Za-z0-9\[]")
_IN_ADDRESS = look(r"[A-Za-z0-9+.-]+://[^\s:/@]*:([^\s\"'<>`]*)@")

_PASSWORD = r"passw(?:or)?d|passwd|passphrase|passcode|\bpwd|_pwd|pwd|\bpass|_pass|\bpw"
_NAMES = (
    r"secret|token|credential|(?:api|app|access|secret|private|account|auth|encryption|encrypt|signing|master|session|shared"
    r"|service|license|admin|storage|subscription|function|consumer|webhook|shared_?access)[_.-]?key|apikey|secret_?key_?base"
)
_ASSIGNMENT = search(
    rf"(?i)(?:{_PASSWORD}|{_NAMES})[\"'\]}})*_]{{0,3}}[ \t]{{0,8}}"
    r"(?:,?[ \t]{0,3}[\"']{0,2}value[\"']{0,2}[ \t]?[:=]|===?|:=|=>|->|!=|[:=>]|\bis:?[ \t]|,[ \t]?[\"'])"
    r"[ \t]{0,8}(?:[bruf]?[\"'`]{1,3})?[^\s\"'`<>]{4}"
    rf"|(?:{_PASSWORD})\([\"'][^\s\"'`<>]{{4}}"
    # options of commands, and .netrc
    r"|(?:\blogin[ \t]+[^\s]{1,64}[ \t]+password|--?(?:password|passwd|pass|token|api-key|apikey|secret|secret-key"
    r"|access-token|auth-token|client-secret))[ \t]{1,2}[\"']?[^\s\"'`<>-][^\s\"'`<>]{3}"
)
_USER = search(r"(?:[ \t]-u|--user)[ \t=]{1,2}[\"']?[A-Za-z0-9._@-]{1,64}:[^\s\"'`<>:]{4}")  # curl's
_PARTS = look(
    rf"(?i)(?P<name>--?[a-z-]+|login[ \t]+[^\s]+[ \t]+password|{_PASSWORD}|{_NAMES})[\"'\]}})*_]{{0,3}}[ \t]*"
    r"(?P<operator>,?[ \t]*[\"']{0,2}value[\"']{0,2}[ \t]?[:=]|===?|:=|=>|->|!=|[:=>]|is:?[ \t]|,[ \t]?(?=[\"'])|\(|)"
    r"(?P<space>[ \t]*)(?P<quote>(?:[bruf]?[\"'`]{1,3})?)"
)
_NOT_A_SECRET = search(
    r"(?i)(?:page|next|sync|cursor|continuation|prev|eos|bos|pad|sep|cls|mask|unk|stop|public|csrf)[_-]?token"
)
_RUN = look(r"[^\s\"'`<>]{4,512}")
_FIGURE = look(r"[0-9]")
_IS_PASSWORD = look(rf"(?i)(?:{_PASSWORD})$")


def entropy(value: bytes) -> float:
    """Shannon's, in bits a character."""
    value = value[:64]  # enough to tell
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _classes(value: bytes) -> int:
    """How many of lower case, upper case, digits and signs there are."""
    kinds = {1 if 97 <= b <= 122 else 2 if 65 <= b <= 90 else 3 if 48 <= b <= 57 else 4 for b in value[:64]}
    return len(kinds)


def _named(value: bytes) -> bool:
    """An identifier, a path or a member: what code passes on instead of a secret."""
    if not _IDENTIFIER.match(value):
        return False
    humps = sum(a > 96 and 64 < b < 91 for a, b in pairwise(value[:64]))
    return humps * 5 <= len(value[:64])


def _credentials(data: bytes) -> Iterator[Hit]:
    for match in _AUTHORIZATION.finditer(data):
        found = _CREDENTIALS.match(data, match.end() - (16 if match.group()[:6].lower() == b"bearer" else 8))
        if not found:
            continue
        value = found.group().rstrip(b".:")
        if _PLACEHOLDER.search(value) or data[found.end() : found.end() + 1] in (b"(", b"[", b"<"):
            continue
        word = (value.isalpha() and (value.islower() or len(value) < 16)) or _named(value)
        if word or len(set(value)) < 5:
            continue
        yield found.start(), found.start() + len(value), 0.9, "authorization"


def _passwords_in_addresses(data: bytes) -> Iterator[Hit]:
    if b"://" not in data:
        return
    for match in _ADDRESS.finditer(data):
        found = _IN_ADDRESS.match(match.group()[:-1])
        if not found:
            continue
        value = found.group(1)
        if not value or _PLACEHOLDER.search(value) or (value.isdigit() and len(value) < 6):
            continue
        yield match.start() + found.start(1), match.start() + found.end(1), 0.9, "connection-string"


def _users(data: bytes) -> Iterator[Hit]:
    if b" -u" not in data and b"--user" not in data:
        return
    for match in _USER.finditer(data):
        run = _RUN.match(data, match.end() - 4)
        if run and not run.group().isdigit() and not _PLACEHOLDER.search(run.group()) and _FIGURE.search(run.group()):
            yield *run.span(), 0.75, "connection-string"


def _assigned(data: bytes) -> Iterator[Hit]:
    done = 0
    for match in _ASSIGNMENT.finditer(data):
        name, start = match.start(), match.end() - 4
        parts, run = _PARTS.match(data, name, start), _RUN.match(data, start)
        if name < done or not parts or not run or _NOT_A_SECRET.search(before(data, name, 16) + match.group()):
            continue  # a name within a value is part of it
        done, confidence = _judged(data, start, parts, run.group())
        if confidence:
            yield start, done, confidence, "assignment"


def _judged(data: bytes, start: int, parts: re.Match[bytes], value: bytes) -> tuple[int, float]:
    """Where the value at `start` ends, and how surely it is a secret, of the name and the operator in `parts`."""
    end = start + len(value)
    if parts["quote"]:
        if data[end : end + 1] not in (b'"', b"'", b"`"):
            return end, 0  # with spaces: a sentence
        in_call = False
    else:
        value = _unquoted(value)
        end = start + len(value)
        in_call = data[end : end + 1] in (b")", b",", b";", b"(", b"[")
    password = bool(_IS_PASSWORD.search(parts["name"]))
    worth = _worth_password(value, parts, in_call) if password else _worth(value)
    return end, (0.85 if parts["quote"] else 0.75) if worth else 0


_ENDS = search(r"[,;)}\]&|([{]")


def _unquoted(value: bytes) -> bytes:
    """Without what ends a value in a list, a call, an address or a sentence."""
    end = _ENDS.search(value)
    return (value[: end.start()] if end else value).rstrip(b".:\\")


def _worth_password(value: bytes, parts: re.Match[bytes], in_call: bool) -> bool:
    """People choose short ones: six characters of two classes will do, if they are no name for another value."""
    if len(value) < 6 or _PLACEHOLDER.search(value) or len(set(value[:64])) < 4:
        return False
    if value.isdigit():
        return True
    if _classes(value) == 1:
        return False
    figures = bool(_FIGURE.search(value))
    if _named(value):  # hunter2 and password2 look the same: only where no code stands
        return figures and (bool(parts["quote"]) or not (in_call or (parts["space"] and parts["operator"] != b":")))
    return figures or bool(parts["quote"]) or (_classes(value) > 2 and not in_call)


def _worth(value: bytes) -> bool:
    """Keys and tokens are made by machines: twelve characters, three bits in each, some of them figures."""
    if len(value) < 12 or _PLACEHOLDER.search(value) or value.isdigit() or not _FIGURE.search(value):
        return False
    return not _named(value) and entropy(value) >= 3


def assignments(data: bytes) -> Iterator[Hit]:
    yield from _credentials(data)
    yield from _passwords_in_addresses(data)
    yield from _users(data)
    yield from _assigned(data)

"""IP addresses: RFC 791's dotted form, RFC 4291's and RFC 5952's for version 6, RFC 4007's zones.

Not marked, as they say nothing of anybody: loopback and the unspecified address, broadcast, netmasks, multicast; of
version 6 whatever is neither global unicast (2000::/3), unique local, link-local nor an embedded version 4.
"""

import socket
from collections.abc import Iterator

from pii.detectors.base import Hit, Stretches, after, before, look, search

_FOUR = search(r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b")
_SIX = search(
    r"(?i)\b(?:(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|0?064|64):[0-9a-f:]{2,34}(?:\.[0-9]{1,3}){0,3}"
    r"(?:%[a-z0-9_.-]{1,15})?|0{0,4}(?:::|:0{1,4}:[0:]{0,20})(?:ffff:)(?:0:)?(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f]{1,4}:[0-9a-f]{1,4}))"
    r"|::ffff:(?:0:)?(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f]{1,4}:[0-9a-f]{1,4})"
)
_GROUPS = look(r"(?i)[0-9a-f:.]+")
_WORDS = search(
    r"(?i)(?:\bip(?:v[46])?\b|_ip\b|\bip_|addr|host|server|client|remote|peer|gateway|dns|subnet|cidr|network|listen|bind"
    r"|connect|ping|from|://|\bssh\b|inet|src|dst|source|destination|endpoint|forwarded|login|request)"
)
_VERSION = search(
    r"(?i)(?:\bv(?:er)?[. ]{0,2}|(?:version|release|firmware|build|revision|upgraded?|updated?|downgraded?|changelog"
    r"|section|chapter|clause|requires?|sdk|\boid|driver|\btag)"
    r"(?:[ ]?(?:from|to|no\.?|number|is))?[\"'():=\s,>-]{0,6}|[=<>~!]=[ ]?|[\^\x02][ ]?|~>[ ]?)$"
)
_PRODUCT = search(r"(?:^|[\s(;,\"'=])[A-Za-z][A-Za-z0-9_.+-]*/$")  # nginx/1.25.3.1
_SECTION = search(
    r"(?i)(?:\b(?:see|cf\.?|rule|article|paragraph|para\.?|appendix|table|figure|fig\.?|step|item|req)[ ]|[0-9.]{7} (?:and|or|,) )$"
)
# Arcs of X.500 and of the internet (ITU-T X.660), which begin object identifiers.
_OIDS = ([2, 5, 4], [2, 5, 29], [1, 3, 6])
_REVERSED = search(r"(?i)\b(?:[0-9a-f]\.){32}ip6\.arpa$|\b(?:[0-9]{1,3}\.){4}in-addr\.arpa$")  # RFC 3596, RFC 1035
_ARPA, _LONGEST_REVERSED = search(r"(?i)\.arpa\b"), len("0." * 32 + "ip6.arpa") + 1
_LABEL = search(r"[g-zG-Z_][A-Za-z_]*:$")
_RANGE = look(r"[ ]?(?:-|\.{2,3}|->|to)[ ]?v?$")  # between two addresses, or two versions
_TITLE = look(r"[ \t]+[A-Za-z]")
_NUMBERED = search(r"(?:^|\n)[ \t#*>-]*$")


def _four(data: bytes, start: int, end: int, value: bytes, ends_range: bool) -> float:
    parts = value.split(b".")
    numbers = [int(part) for part in parts]
    if max(numbers) > 255 or any(part[:1] == b"0" and len(part) > 1 for part in parts):
        return 0
    if numbers[0] in (0, 127, 255) or numbers[0] >= 224:
        return 0
    if start and not ends_range:
        last = data[start - 1 : start]
        if last.isalpha() or last == b"." or (last in b"-_+~^" and data[start - 2 : start - 1].isalpha()):
            return 0  # v1.2.3.4, name-1.2.3.4, 5.1.2.3.4
    rest = data[end : end + 2]
    if rest[:1] in (b"-", b"+", b"_", b".") and rest[1:].isalnum() and not (rest[:1] == b"-" and rest[1:].isdigit()):
        return 0  # 1.2.3.4-beta, 1.2.3.4.5, 1.2.3.4.tar.gz
    context = before(data, start)
    if _VERSION.search(context):
        return 0.3
    if (rest[:1] in (b":", b"/") and rest[1:].isdigit()) or _WORDS.search(context):
        return 0.95
    private = numbers[0] == 10 or numbers[:2] == [192, 168] or (numbers[0] == 172 and 16 <= numbers[1] < 32)
    if not private:
        if numbers[:3] in _OIDS or _PRODUCT.search(context):
            return 0.3
        if max(numbers) < 32 and (max(numbers) > 9 or _SECTION.search(context)):
            return 0.3  # one in 2,000 addresses is so small, and most versions are
    if max(numbers) < 10 or numbers[3] == 0:  # as often a version or a section
        heading = _NUMBERED.search(context) and _TITLE.match(data, end)
        return 0.3 if heading or numbers[1:] == [0, 0, 0] else 0.7
    return 0.9


def _six(value: bytes) -> float:
    text = value.decode().partition("%")[0]
    try:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, text))
    except OSError:
        return 0
    if number >> 32 in (0xFFFF, 0xFFFF0000):  # an IPv4 address, mapped (RFC 4291) or translated (RFC 2765)
        return 0.95 if (number >> 24) & 0xFF not in (0, 127) else 0
    if number >> 32 == 0x64FF9B << 64:  # RFC 6052
        return 0.95
    if text.count(":") < 2 or number >> 125 not in (1, 7):
        return 0
    return 0.95 if text.count(":") == 7 or "::" in text else 0


def addresses(data: bytes, numbers: Stretches | None = None) -> Iterator[Hit]:
    last, sure = -1, 0.0  # where the address before this one ends, and how sure that is
    for match in _FOUR.finditer(data, numbers):
        start, end = match.span()
        is_range = last > 0 and start - last < 8 and _RANGE.match(data[last:start])
        confidence = _four(data, start, end, match.group(), bool(is_range))
        if is_range and confidence and sure:  # of two versions neither is an address, of two addresses both are
            confidence = min(confidence, sure) if sure < 0.7 else max(confidence, sure)
        last, sure = end, confidence
        if confidence:
            yield start, end, confidence, "ipv4"
    for match in _ARPA.finditer(data):
        context = before(data, match.end(), _LONGEST_REVERSED)
        if reversed_ := _REVERSED.search(context):
            yield match.end() - len(context) + reversed_.start(), match.end(), 0.95, "reverse-name"
    if b":" not in data:
        return
    for match in _SIX.finditer(data):
        start, end = match.span()
        attached = start and (data[start - 1 : start].isalnum() or data[start - 1] in b":_.")
        if attached and not _LABEL.search(before(data, start, 16)):
            continue
        value = match.group().rstrip(b".")
        if value.count(b".") in (1, 2) and b"%" not in value:
            value = value[: value.index(b".")]  # a port, as tcpdump writes it
        if value.endswith(b":") and not value.endswith(b"::"):
            value = value[:-1]
        end = start + len(value)
        if data[end : end + 1].isalnum() or after(data, end, 2)[:2] == b"::":
            continue
        if confidence := _six(value):
            yield start, end, confidence, "ipv6"

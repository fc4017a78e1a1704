"""Whether what stands for a password or a token is one: no placeholder, no template, no name of another value, no sentence."""

import base64
import binascii
import math
import re
from collections import Counter
from itertools import pairwise

from pii.detectors.base import look, search

# Expressions that are replaced by something else before anybody reads them.
_TEMPLATES = re.compile(
    rb"\$?\{\{.{0,200}?\}\}|[$#]\{[^}]{0,200}\}|\$\([^)]{0,200}\)|%\([A-Za-z_.]+\)[sd]|<%.{0,200}?%>|\{[A-Za-z_][A-Za-z_.]{0,60}[0-9]?\}"
    rb"|%[A-Z_]{3,40}%|\$\{?env:\w+\}?",
    re.DOTALL,
)
_VARIABLE = r"\$[A-Za-z_]+[0-9]{0,2}$|\$[0-9@*]$|%[sdrvq]$|%\w{3,40}%$|\$\{?[A-Za-z_][\w.:>-]{0,60}\}?$"
_CONSTANT = r"\$[A-Za-z_]+$|\$[A-Z_]{2,}[0-9]$|%[sdrvq]$"  # between quotes in which nothing is replaced
# Values that consist of nothing else.
_FILLERS = (
    r"your|my|the|an?|some|any|enter|insert|put|replace|replaceme|add|change|changeme|use|set|fill|paste|example|examples|sample|placeholder"
    r"|dummy|fake|mock|test|testing|todo|tbd|fixme|secret|secrets|token|tokens|password|passwd|passphrase|passwort|kennwort|contrasena"
    r"|pass|pwd|key|keys|api|apikey|access|client|auth|id|value|string|str|text|bytes|int|here|me|with|this|goes|in|real|actual|and|or|to"
    r"|must|not|redacted|hidden|masked|removed|omitted|unset|required|optional|default|empty|null|none|nil|true|false|undefined|foo|bar"
    r"|baz|foobar|abc|new|old|current|user|username|admin|root|db|database|please|yes|no|n|a|x{3,}|\*{3,}|\.{3,}|_{3,}|-{3,}|#{3,}|0{6,}|\?{3,}"
    r"|production|prod|dev|local|before|for|from|env|vault|file|bearer|basic|random|long|strong|secure|super|very"
)
_FILLED = rf"(?:(?:{_FILLERS})[ _.\-/:,!]{{0,3}}){{1,12}}[0-9]?[!.]?$"
_BRACKETED = r"<[^<>]{0,200}>$|\[[A-Za-z_ .:-]{0,60}\]$|\{[A-Za-z_ .:-]{0,60}\}$|\(.{0,60}\)$"
_MASKED = search(
    r"(?i)x{6}|\*{3}|\.{3}|\[redacted|redacted\]|0{12}|<your|your[_-](?:\w{1,12}[_-]){0,3}(?:key|token|secret|password|id)\b|_here$|-here$"
)
_ELSEWHERE = (
    r"arn:|vault:|op://|sm://|ref\+|secretsmanager:|ssm:|keyvault|@microsoft\.keyvault|!vault|!ref|!sub|file:|/run/secrets/|/etc/|https?://"
    r"|[12][0-9]{3}-[01][0-9]-|enc\[|\{cipher\}|(?:process|os|env|self|this|config|settings|request|req|ctx|data|args|options|params"
    r"|props|state|import|secrets|vars|local|module|var|each|event|response|res|user|form|body|deno|bun|std|sys|app|kwargs|opts|cfg)[.\[]"
)
_EXAMPLE = r"[A-Za-z0-9/+]*EXAMPLE(?:KEY|TOKEN)?$"  # as AWS's documents write theirs
# Of a value in lower case: `re` leaves out words by their first letters only where it does not ignore case.
_STANDS_FOR_ONE = look(f"{_FILLED}|{_ELSEWHERE}")
_PLACEHOLDER, _LITERAL_PLACEHOLDER = (
    look(f"{_BRACKETED}|{_EXAMPLE}|{replaced}") for replaced in (_VARIABLE, _CONSTANT)
)

# Words with figures in them that name a technique.
_TECHNICAL = re.compile(
    rb"(?:(?<![A-Za-z0-9])|(?<=[a-z])(?=[A-Z]))(?i:k8s|i18n|l10n|a11y|oauth[12]|pbkdf2|sha[ _-]?(?:1|2|3|224|256|384|512)|md5|utf[ _-]?(?:8|16|32)"
    rb"|base(?:16|32|58|64)|b64|x509|http[23]|h264|ipv[46]|[reph]s(?:256|384|512)|aes[ _-]?(?:128|192|256)|ed25519|curve25519|secp256[kr]1|e2e|p12"
    rb"|pkcs[0-9]{1,2}|u?int(?:8|16|32|64)|float(?:32|64)|x86[_-]64|amd64|arm64|win(?:32|64)|ec2|s3|s2s|b2b|b2c|m2m|p2p|web3|auth0|d3|3d|2d"
    rb"|v[0-9]{1,2}|log4j|neo4j|psycopg[23]|argon2(?:id|i|d)?|mp[34]|crc32|rsa[0-9]{4}|2fa|1st|2nd)(?![a-z0-9])"
)
_IDENTIFIER = look(r"[A-Za-z_$@&][A-Za-z_$]*[0-9]{0,2}(?:(?:[.:/\\-]{1,2}|->|\?\.|!\.)[A-Za-z_$]+[0-9]{0,2})*$")
_COUNT = look(r"[0-9/.,:%-]+$")  # of tests that passed, a time, a date
_FIGURE = look(r"[^0-9]*[0-9]")
# A word that no sentence has: figures before letters, signs between them.
_NOISE = search(
    r"[0-9][A-Za-z]+[0-9!$%&*#?@]|[A-Za-z][0-9]+[A-Za-z!$%&*#?@'\"\\]|\\[\"'].*[0-9]|[A-Za-z0-9][$%&*#^@!?;+=~|][A-Za-z0-9]|[a-z]{3}[0-9]{2}[^A-Za-z0-9]|[A-Za-z]{2}[0-9]+$|[$#@&*][A-Za-z0-9]{3}"
)
_PROSE = search(
    r"(?i)\b(?:the|your|is|are|was|be|must|should|can|cannot|can't|not|for|with|from|this|that|at|least|enter|please|invalid|forgot|reset|required"
    r"|characters?|chars|field|of|to|and|or|does|do|don't|has|have|user|new|confirm|change|if|wrong|incorrect|login|sign)\b"
)


def entropy(value: bytes) -> float:
    """Shannon's, in bits a character."""
    value = value[:64]  # enough to tell
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def classes(value: bytes) -> int:
    """How many of lower case, upper case, digits and signs there are."""
    kinds = {1 if 97 <= b <= 122 else 2 if 65 <= b <= 90 else 3 if 48 <= b <= 57 else 4 for b in value[:64]}
    return len(kinds)


def is_name(value: bytes) -> bool:
    """Whether this is an identifier, a path or a member: what code passes on instead of a secret."""
    if not _IDENTIFIER.match(value):
        if value.isdigit() or not _IDENTIFIER.match(value := _TECHNICAL.sub(b"tech", value[:256])):
            return False
    humps = sum(a > 96 and 64 < b < 91 for a, b in pairwise(value[:64]))
    return humps * 5 <= max(len(value[:64]), 15)


def is_placeholder(value: bytes, is_literal: bool = False) -> bool:
    """Whether a value only stands for one. `is_literal`: in quotes in which nothing is replaced by anything."""
    short = value[:256]
    if _STANDS_FOR_ONE.match(short.lower()) or (_LITERAL_PLACEHOLDER if is_literal else _PLACEHOLDER).match(short):
        return True
    if _MASKED.search(short):
        return True
    if b"{" in short or b"$(" in short or b"%" in short:
        left = _TEMPLATES.sub(b"", short)
        return left != short and sum(chr(byte).isalnum() for byte in left) < 4
    return False


def is_password(value: bytes, quote: bytes, in_code: bool) -> bool:
    """People choose short ones: six characters of two classes will do, if they are no name for another value."""
    if len(value) < 6 or (value.isalpha() and (value.islower() or value.isupper())):
        return False
    if is_placeholder(value, quote[-1:] == b"'"):
        return False
    value = _TEMPLATES.sub(b"", value)
    if len(value) < 6 or len(set(value[:64])) < 4:
        return False
    if b" " in value.strip() or b"\n" in value:
        return _is_phrase(value)
    if value.isdigit():
        return True
    if not quote and _COUNT.match(value):
        return False
    if classes(value) == 1:
        return False
    figures = bool(_FIGURE.match(value))
    if is_name(value):  # hunter2 and password2 look the same: only where no code stands
        return figures and not in_code and _IDENTIFIER.match(value) is not None
    return figures or bool(quote) or (classes(value) > 2 and not in_code)


def _is_phrase(value: bytes) -> bool:
    """Whether words are a password and no sentence: one of them is none, or there is nothing that sentences have."""
    text = value[:256]
    if b"\n" in value:
        return bool(_FIGURE.match(text))
    noise = _NOISE.search(_TECHNICAL.sub(b"tech", text))
    if noise:
        return len(list(_PROSE.finditer(text))) < 2
    words = text.split()
    return len(words) >= 4 and text.islower() and text.replace(b" ", b"").isalpha() and not _PROSE.search(text)


def is_token(value: bytes) -> bool:
    """Keys and tokens are made by machines: twelve characters, three bits in each, some of them figures."""
    if len(value) < 12 or value.isdigit() or not _FIGURE.match(value) or is_placeholder(value):
        return False
    value = _TEMPLATES.sub(b"", value)
    if len(value) < 12:
        return False
    if b" " in value.strip():
        return len(value.split()) < 3 and entropy(value) >= 3 and bool(_NOISE.search(value))
    return not is_name(value) and entropy(value) >= 3


def is_pair(value: bytes) -> bool:
    """Whether a value is the base64 of a user's name and password, with a colon between (RFC 7617)."""
    try:
        text = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in text[1:] and len(text) > 3 and text.isascii() and text.decode().isprintable()

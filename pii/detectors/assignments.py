"""Secrets that are known by the name they are given to: `password`, `api_key`, `token` and their like, in programs, settings,
data, commands and sentences."""

from collections.abc import Iterator
from functools import lru_cache

from pii.detectors.base import Hit, after, before, look, search
from pii.detectors.literals import Literal, is_settled, literal
from pii.detectors.worth import is_pair, is_password, is_token

# Passwords' names. Words in other scripts than Latin are read as `password` (`plain.py`); letters without their marks.
_PASSWORD = (
    r"passw(?:or)?d|passwd|passphrase|passcode|\bpwd|_pwd|pwd|\bpass|_pass|\bpw|_pw|contrasena|mot[ _-]?de[ _-]?passe|\bmdp|_mdp|passwort|kennwort"
    r"|(?:\b|_)(?:senha|clave|parola|heslo|sifre|haslo|hasqo)|palavra[ _-]passe|wachtwoord|l[oq]senord|adgangskode|kodeord|passord|salasana"
    r"|jelszo|mat khau|kata sandi|lozinka"
)
_NAMES = (
    r"secret|token|credential|(?:api|app|access|secret|private|account|auth|encryption|encrypt|signing|master|session|shared"
    r"|service|license|admin|storage|subscription|function|consumer|webhook|hmac|aes|cipher|crypto|cookie|shared_?access)[ _.-]?key|apikey"
    r"|secret_?key_?base|\bmnemonic|seed[ _]?phrase"
)
_PAIR = r"\b_?auth"  # of npm, Docker: user and password in base64
_COLOUR = r"\x1b\[[0-9;]{0,12}m"  # of a terminal
_CLOSERS = rf"(?:_?(?:[0-9]{{1,2}}|prod(?:uction)?|dev|test|staging|live|value|b64|base64|old|new|main|primary|secondary)\b){{0,2}}(?:\\{{0,15}}[\"'`]|[\]}})*_]|\[[0-9A-Z_]{{0,12}}\]|{_COLOUR}){{0,4}}"
# `"name": "password", "value": …`, in YAML, XML and other tables, other members between
_VALUE = (
    r"[,;]?\s{0,40}(?:\\{0,7}[\"']?(?:type|id|kind|sensitive|enabled|scope|secure|class|description)\\{0,7}[\"']?[ \t]{0,4}[:=][ \t]{0,4}[^\n,<>{}]{1,40}[,\n ]\s{0,40}){0,2}"
    r"\\{0,7}[\"'<]?(?:parameter_?|setting_?|default_?)?(?:value|val|content|stringvalue)\\{0,7}[\"']?[ \t]{0,12}[:=>]"
    r"|</(?:key|name|string)>\s{0,40}<(?:string|value|data)>"
)
_OPERATOR = (
    r"[ \t]{0,12}(?:<{1,2}-|(?:\|\||\?\?|or)[ \t]{0,4}(?=\\{0,7}[\"'`])|[-+?.!<|&:=~]{0,3}[=>]|\??:(?:[*_]{1,2}(?=[ \t]))?|\|(?=[ \t]))"
    rf"|{_VALUE}"
    r"|[ \t]{1,8}(?:\*?(?:string|str|String|\[\]byte|text|TEXT)[ \t]{1,8}:?=)"
    r"|(?: (?:for|of|de|fur|von|per) [^\s]{1,32})?[ \t](?:is|ist|est|es|e|was|is set to|to)(?:[ \t]?:)?[ \t]|[ \t]-{1,2}[ \t]|,[ \t]{0,2}(?=\\{0,7}[\"'`])"
    r"|[ \t]{0,2}\([ \t]?(?=[\"'`])|[ \t]{1,8}(?=[\"'`])"
)
_LEADERS = (
    r"(?:^|[\n\f;&|`(\"'])[ \t]{0,8}(?:#[ \t]{0,4}define|ENV|setx|setenv|set(?:[ \t]+-[a-zA-Z]{1,4})?|git config(?:[ \t]+--\w+)?|npm config set|dokku config:set|defaults write \w+)[ \t]+"
    r"[\w./:-]{0,48}"
)
_IN_RE2 = rf"(?:{_OPERATOR})".replace("(?=", "(?:")
_MEMBERS = r"(?:^|[\s{,\"'<-])(?:parameter_?)?value\\{0,7}[\"']?[ \t]{0,8}[:=][ \t]{0,4}[^\s]"
_AFTER_VALUE = look(
    rf"(?i)\\{{0,7}}[\"']?[,;]?\s{{0,40}}\\{{0,7}}[\"']?(?:parameter_?)?(?:name|key|id)\\{{0,7}}[\"']?[ \t]{{0,8}}[:=][ \t]{{0,4}}\\{{0,7}}[\"']?[\w.-]{{0,48}}?(?P<name>{_PASSWORD}|{_NAMES})\b"
)
_WORD = 64  # bytes of code that another name may stand in
_NAMED_AFTER = 192  # bytes after a value in which its name may stand
_AT_VALUE = look(r"(?i)[\s{,\"'<-]?(?:parameter_?)?value\\{0,7}[\"']?[ \t]{0,8}(?P<operator>[:=])[ \t]{0,4}")
_ASSIGNMENT = search(
    rf"(?i)(?:{_PASSWORD}|{_NAMES}){_CLOSERS}{_IN_RE2}|{_PAIR}{_CLOSERS}[ \t]{{0,8}}[:=]"
    rf"|{_LEADERS}(?:{_PASSWORD}|{_NAMES})[ \t]{{1,16}}[^\s=]"
    r"|identified[ \t]{1,4}(?:with[ \t]{1,4}\S{1,40}[ \t]{1,4})?(?:by|as)[ \t]{1,4}(?:password[ \t]{1,4})?[\"']"
    r"|\blogin[ \t]+[^\s]{1,64}\s{1,20}password\s{1,8}[^\s]"
    rf"|\B--?(?:\w[\w-]{{0,23}})?(?:{_PASSWORD}|{_NAMES})[ \t]{{1,2}}[^\s=:|&<>-]|\brequirepass[ \t]{{1,4}}[^\s]"
    rf"|{_MEMBERS}"
)
_PARTS = look(
    rf"(?i)(?P<name>{_PASSWORD}|{_NAMES}|{_PAIR})(?>{_CLOSERS})(?P<operator>{_OPERATOR})(?P<space>(?:[ \t]|{_COLOUR}){{0,12}})"
)
_OTHERS = look(
    rf"(?i)(?P<name>identified)[ \t]+(?:with[ \t]+\S+[ \t]+)?(?:by|as)[ \t]+(?:password[ \t]+)?"
    rf"|(?P<netrc>login)[ \t]+[^\s]+\s+password\s+|(?P<option>--?[\w-]+|requirepass)[ \t]+"
    rf"|(?s:.){{0,1}}(?P<leader>[ \t]*(?:#[ \t]*define|ENV|set\w*|git|npm|dokku|defaults)[^\n]*?(?:{_PASSWORD}|{_NAMES}))[ \t]+"
)
_IN_CELL = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.- \t*`\"'"
_NOT_A_SECRET = search(
    r"(?i)(?:page|next|sync|cursor|continuation|prev|eos|bos|pad|sep|cls|mask|unk|stop|public)[_-]?token|(?:csrf|xsrf)[a-z_-]{0,16}token"
    r"|authenticity[_-]?token|verificationtoken|antiforgery[a-z_-]{0,8}token|public[_-]?key"
)
_IS_PASSWORD = look(rf"(?i)(?:.*[^A-Za-z])?(?:{_PASSWORD}|identified|login|--?(?:\w+-)?pass\w*|--pw|requirepass)$")
_IS_PAIR = look(rf"(?i){_PAIR}$")


@lru_cache(maxsize=1024)
def _meaning(name: bytes) -> tuple[bool, bool]:
    """Whether a name is that of a pair in base64, or of a password. Texts have few names, and many times the same."""
    return bool(_IS_PAIR.match(name)), bool(_IS_PASSWORD.match(name))


def _judged(found: Literal, data: bytes, name: bytes, operator: bytes, space: bytes) -> float:
    """How surely the value `found` is a secret, of what stands before it."""
    value = data[found.start : found.end]
    quote = found.quote
    if found.in_call and data[found.end : found.end + 1] in (b"(", b"["):
        return 0
    is_pairs, is_passwords = _meaning(name)
    if is_pairs:
        return 0.85 if is_pair(value) or (len(value) >= 20 and is_token(value)) else 0
    if operator[-1:] in b"\"'` (-" and operator.strip() in (b"", b"-", b"--", b"(") and b" " in value:
        return 0  # a label and its sentence
    if operator.strip() in (b"-", b"--") and not (value[:1].isalnum() and any(48 <= byte < 58 for byte in value[1:])):
        return 0
    if is_passwords:
        in_code = not quote and (
            found.in_call
            or (bool(space or operator[-1:] in b" \t") and b":" not in operator and not _is_spoken(operator))
        )
        worth = is_password(value, quote, in_code)
    else:
        worth = is_token(value)
    return (0.85 if quote else 0.75) if worth else 0


def _is_spoken(operator: bytes) -> bool:
    return operator.strip()[-2:] in (b"is", b"st", b"es", b"as", b"to", b"--", b"-", b"e")


def _before_its_name(data: bytes, at: int, start: int) -> Iterator[Hit]:
    """The value at `start`, if a name follows that says what it is: `"value": …, "name": "password"`."""
    found = literal(data, start, at, b"=")
    if found and found.end - found.start <= 512 and (named := _AFTER_VALUE.match(data, found.end)):
        if confidence := _judged(found, data, named["name"], b"=", b""):
            yield found.start, found.end, confidence, "assignment"


def _read(data: bytes, at: int) -> tuple[int, Literal | None, bytes, bytes, bytes] | None:
    """The value of the name at `at`: where it may begin, itself, and name, operator and space before it."""
    if parts := _PARTS.match(data, at):
        name, operator, space = parts["name"], parts["operator"], parts["space"]
        named = before(data, at, 16) + name
        if (b"token" in (small := named.lower()) or b"key" in small) and _NOT_A_SECRET.search(named):
            return None
        if operator[-1:] == b"=" and after(data, parts.end(), 1) in (b"=", b">"):
            return None
        return parts.end(), literal(data, parts.end(), at, operator.strip()), name, operator, space
    if parts := _OTHERS.match(data, at):
        name = parts[parts.lastgroup or "name"]
        if parts.lastgroup == "leader":
            name = _last_name(name)
        return parts.end(), literal(data, parts.end(), at, b"="), name, b"=", b""
    return None


def _is_cell(data: bytes, name: int, end: int) -> bool:
    """Whether a name and the value that ends at `end` stand beside each other in a table's row, between its lines."""
    if not before(data, name, 48).rstrip(_IN_CELL).endswith(b"|"):
        return False
    return after(data, end, 48).lstrip(b" \t*_`\"'").startswith(b"|")


def assignments(data: bytes) -> Iterator[Hit]:
    """Find values of names. `data` has quotes as they were written."""
    done = 0
    for match in _ASSIGNMENT.finditer(data):
        at = match.start()
        if at < done:
            continue  # a name within a value is part of it
        if read := _read(data, at):
            _, found, name, operator, space = read
            if found and operator.strip() == b"|" and not _is_cell(data, at, found.end):
                continue  # what something is piped into
            confidence = _judged(found, data, name, operator, space) if found else 0
            if found and not found.quote and found.end - found.start > _WORD:
                done = found.end  # or each of many names in one word would read all of it
            if found and confidence:
                done = found.end
                yield found.start, found.end, confidence, "assignment"
        elif at_value := _AT_VALUE.match(data, at):
            yield from _before_its_name(data, at, at_value.end())


def unsettled(data: bytes) -> int:
    """Where in `data` the first name stands whose value may still change when it goes on; its length if there is none."""
    done = 0
    for match in _ASSIGNMENT.finditer(data):
        at = match.start()
        if at < done:
            continue
        if read := _read(data, at):
            start, found, _, operator, _ = read
            if not is_settled(data, start, operator.strip(), found):
                return at
            done = found.end if found and found.is_closed else done
        elif at_value := _AT_VALUE.match(data, at):
            found = literal(data, at_value.end(), at, b"=")
            if not is_settled(data, at_value.end(), b"=", found) or (found and len(data) - found.end < _NAMED_AFTER):
                return at
    return len(data)


_LAST = look(rf"(?i)(?s:.*?)(?P<name>{_PASSWORD}|{_NAMES})$")


def _last_name(leader: bytes) -> bytes:
    found = _LAST.match(leader)
    return found["name"] if found else leader

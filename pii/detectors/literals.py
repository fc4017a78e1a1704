"""Where a value ends, by the rules of those who read it: strings of programs, data and shells, elements of XML, blocks of YAML.

Of a value nothing may be left, and its quotes are no part of it. Reads bytes in which quotes stand as they were written, with
their backslashes (`Form.quoted`).
"""

import re
from typing import NamedTuple

from pii.detectors.base import before, look

LONGEST = 4096  # bytes of a value in quotes; what goes on longer is none
_ELEMENT = 1024
_CODE = 320  # bytes of a line that may tell a call from a value

# What may stand between an operator and a string: a type that is converted to, a macro, an address taken.
_CALL = look(
    r"(?:new[ \t]+)?(?:\[\]byte|&?(?:std::)?w?string(?:_view)?|Strings?(?:\.(?:from|valueOf|raw)|::from)?|(?:[a-z]+\.)?Secret"
    r"(?:Str|Bytes|String|Text|Key)?(?:(?:::|\.)(?:new|from))?|SecureString|Buffer\.from|Password|Some|Ok|Just|Box::new|str"
    r"|bytes|bytearray|base64|b64encode|atob|btoa|TEXT|_T|N?SString|Pointer|to\.Ptr|aws\.String|ptr|unsafe|quote"
    r"|(?:os\.)?(?:environ\.get|getenv|Getenv)|env|ENV\.fetch|config|process\.env[.\w]*|ConvertTo-SecureString)"
    r"(?:\([ \t]*|[ \t]+(?:-String[ \t]+)?)(?:[\"'][A-Za-z_][A-Za-z_.]{1,48}[\"'],[ \t]{0,2})?"
    r"(?=[bBrRuUfFlLN@$]{0,2}#{0,3}[\"'`])|[@N&*$]{1,2}(?=[\"'`])|\[\s{0,8}(?=\\{0,7}[\"'`])"
)
_NO_CALL = frozenset(bytes((sign,)) for sign in b"\"'`\\<>0123456789")  # what none begins with, and most values do
_OPEN = look(r"(?:[bBrRuUfFlLN@$]{1,2}#{0,3}(?=[\"'`\\]))?(?P<quote>\\{0,15}(?:\"{3}|'{3}|`{3}|[\"'`]))")
_TYPE = look(
    r"[ \t]*[&*]?'?[A-Za-z_][\w.:<>\[\], |&*'?]{0,48}?[ \t]*=[ \t]*(?=[A-Za-z@&$\[]{0,24}\(?(?:\"{3}|'{3}|[\"'`][^\"'`\s,;:)}\]\\]))"
)
_TAG = look(r"!![a-z]{1,12}[ \t]{1,4}")  # of YAML
_QUOTED = look(r"qq?[({\[<|!/~]")  # in Perl
_CLOSES = {b"(": b")", b"{": b"}", b"[": b"]", b"<": b">"}
_BLOCK = look(r"[|>][0-9+-]{0,2}[ \t]{0,8}(?:#[^\n]{0,80})?\n")
# Quotes within are doubled (SQL, Pascal, CSV, VB) or come after a backslash; a string ends on its line.
_ENDS = {
    sign: look(rf"(?:[^{sign}\\\n]++|\\[^\n]|{sign}{sign})*+{sign}(?!{sign})") for sign in ('"', "'")
} | {"`": look(r"(?:[^`\\]++|\\.|\\\n)*+`")}  # fmt: skip
_RUN = look(r"[^\s\"'`<>\x1b]{1,8192}")
_LINE = look(r"[^\r\n\f]{0,4096}")
# What stands before a name that begins its line: marks of lists, comments and diffs, commands that set variables.
_BEGINS_LINE = look(
    r"[ \t]*(?:[-+*#/;>$%|]{1,3}[ \t]{0,4}){0,2}(?:(?:export|set|setx|setenv|declare|local|readonly|typeset|env|ENV|ARG|run|-e|-E|-x|-gx"
    r"|--env|--build-arg|sudo|RUN|-)[ \t]+){0,3}[\"']?[\w.$\[\]{}/-]{0,64}\Z"
)
_NAME = look(r"[A-Za-z_$@&][\w.$:>-]*\Z")
_NEXT = look(r"[ \t]{0,2}[\"']?[A-Za-z_][\w.\[\]-]{0,40}[ ]?[\w]{0,20}[\"']?[ \t]{0,2}[=:]|[ \t\"'`]|\Z|\\")
_STOPS = re.compile(rb"[,;)}\]&|([{]")
_MARKED = look(r"[,;)}\]&|(\[{\\]|[.:]\Z")  # values that may not go on to the end of their run
_OPENS = {b")": b"(", b"]": b"[", b"}": b"{"}


class Literal(NamedTuple):
    """A value from `start` to `end`, and how it is written: its quote (b"<" for an element, b"|" for a block, none else)."""

    start: int
    end: int
    quote: bytes
    is_closed: bool = True
    in_call: bool = False


def literal(data: bytes, at: int, name: int, operator: bytes) -> Literal | None:
    """Read the value at `at`, which stands after an operator and the name that begins at `name`."""
    if operator[-1:] == b":" or operator[:1] == b":":
        if tag := _TAG.match(data, at):
            at = tag.end()
        if declared := _TYPE.match(data, at):
            at = declared.end()
        elif block := _BLOCK.match(data, at):
            return _block(data, block.end(), name)
    if operator == b">" and (element := _element(data, at)):
        return element
    at = _within_calls(data, at)
    if opening := _OPEN.match(data, at):
        return _string(data, opening.end(), opening["quote"])
    if quoted := _QUOTED.match(data, at):
        start, sign = quoted.end(), quoted.group()[-1:]
        end = data.find(_CLOSES.get(sign, sign), start, start + _CODE)
        if end > start and data.find(b"\n", start, end) < 0:
            return Literal(start, end, b"'")
    return _unquoted(data, at, name)


def _within_calls(data: bytes, at: int) -> int:
    """Where a string begins whose call begins at `at`, or one within it; `at` if there is none."""
    for _ in range(2):
        call = None if data[at : at + 1] in _NO_CALL else _CALL.match(data, at)
        if not call:
            break
        at = call.end()
    return at


def is_settled(data: bytes, at: int, operator: bytes, found: Literal | None) -> bool:
    """Whether the value at `at`, read as `found`, stays what it is when `data` goes on."""
    left = len(data) - at
    if left > LONGEST + _ELEMENT:
        return True
    if found and found.quote == b"|":
        return bool(data[found.end :].strip())
    if found and found.quote == b"<":
        return len(data) > found.end + 1
    if operator == b">" and left < _ELEMENT and b"<" not in data[at:-1]:
        return False
    at = _within_calls(data, at)
    opening = _OPEN.match(data, at)
    if found and (found.quote or opening):
        if found.is_closed:
            return len(data) > found.end + len(found.quote) + 1
        return b"\n" in data[found.start :] and opening is not None and len(opening["quote"]) == 1
    line_ends = b"\n" in data[at:] or b"\f" in data[at:]
    if opening:
        quote = opening["quote"]
        return (line_ends and quote in (b'"', b"'")) or (
            left > 3 and data[opening.end() : opening.end() + 1] in b" ,;)}]"
        )
    return line_ends or (found is not None and len(data) - found.end > _CODE)


def _string(data: bytes, start: int, quote: bytes) -> Literal | None:
    sign, slashes = quote[-1:], quote.count(b"\\")
    if len(quote) - slashes == 3:
        end = data.find(quote[slashes:], start, start + LONGEST)
        return Literal(start, end, quote) if end >= 0 else None
    if slashes:
        return _escaped(data, start, sign, slashes)
    if data[start : start + 1] == sign:
        if not data[start + 1 : start + 2].isalnum():
            return None  # empty
        end = data.find(sign * 2, start + 1, start + LONGEST)
        return Literal(start + 1, end, quote) if end >= 0 else None
    if closed := _ENDS[sign.decode()].match(data, start, start + LONGEST):
        return Literal(start, closed.end() - 1, quote)
    return _open(data, start, quote)


def _escaped(data: bytes, start: int, sign: bytes, slashes: int) -> Literal | None:
    """A string within a string: its own quotes have as many backslashes as the first, those within it more."""
    at, floor = start, start
    limit = start + LONGEST
    while (at := data.find(sign, at, limit)) >= 0:
        first = at
        while first > floor and data[first - 1] == 92:
            first -= 1
        count = at - first
        if count < slashes or count % (2 * slashes + 2) == slashes:
            return Literal(start, max(at - min(count, slashes), start), b"\\" + sign)
        at += 1
        floor = at
    return _open(data, start, b"\\" + sign)


def _open(data: bytes, start: int, quote: bytes) -> Literal | None:
    """A string that does not end: to the end of a text that was cut off, or of the word."""
    line = _LINE.match(data, start)
    assert line
    if line.end() == len(data):
        return Literal(start, line.end(), quote, is_closed=False) if line.group().strip() else None
    run = _RUN.match(data, start)
    return Literal(start, run.end(), quote, is_closed=False) if run else None


def _element(data: bytes, start: int) -> Literal | None:
    cdata = 9 if data.startswith(b"<![CDATA[", start) else 0
    end = data.find(b"]]>" if cdata else b"<", start + cdata, start + _ELEMENT)
    if end < 0 or (not cdata and data[end + 1 : end + 2] != b"/"):
        return None
    value = data[start + cdata : end]
    first = start + cdata + len(value) - len(value.lstrip())
    last = start + cdata + len(value.rstrip())
    return Literal(first, last, b"<") if last > first else None


def _block(data: bytes, start: int, name: int) -> Literal | None:
    """YAML's block scalar: the lines that are further in than that of the name."""
    line = max(data.rfind(b"\n", max(name - 256, 0), name), data.rfind(b"\f", max(name - 256, 0), name)) + 1
    indent = len(data[line:name]) - len(data[line:name].lstrip(b" -"))
    end, at = start, start
    while at < start + LONGEST:
        stop = data.find(b"\n", at, start + LONGEST)
        stop = min(len(data), start + LONGEST) if stop < 0 else stop
        text = data[at:stop]
        if text.strip() and len(text) - len(text.lstrip(b" \t")) <= indent:
            break
        if text.strip():
            end = at + len(text.rstrip())
        at = stop + 1
        if stop >= len(data):
            break
    first = start + len(data[start:end]) - len(data[start:end].lstrip())
    return Literal(first, end, b"|") if end > first else None


def _unquoted(data: bytes, start: int, name: int) -> Literal | None:
    run = _RUN.match(data, start)
    if not run:
        return None
    value = run.group()
    if not _MARKED.search(value):
        return Literal(start, run.end(), b"")
    context = before(data, name, 128)
    line = max(context.rfind(b"\n"), context.rfind(b"\f"))
    fills_line = (line >= 0 or len(context) < 128) and _BEGINS_LINE.match(context, line + 1) is not None
    if escape := value.find(b"\\") + 1:  # of a line end, or of the quote that ends what this stands in
        if data[start + escape : start + escape + 1] in (b'"', b"'", b""):
            value = value[: escape - 1]
    end, in_call = _stop(value, data, start, fills_line)
    while end and value[end - 1] in b".:\\,;" and not (fills_line and value[end - 1] in b"." and end == len(value)):
        end -= 1
    return Literal(start, start + end, b"", in_call=in_call)


def _stop(value: bytes, data: bytes, start: int, fills_line: bool) -> tuple[int, bool]:
    """How much of a run without quotes belongs to the value, and whether code stands there."""
    opened: list[bytes] = []
    for match in _STOPS.finditer(value):
        at, sign = match.start(), match.group()
        rest = value[at + 1 :]
        if sign in (b"(", b"[", b"{"):
            if not opened and _NAME.match(value[:at]) and _closes(sign, rest, data, start + len(value)):
                return at, True  # a call, an index
            opened.append(sign)
        elif sign in _OPENS:
            if opened and opened[-1] == _OPENS[sign]:
                opened.pop()
            elif not fills_line or not rest or rest[:1] in b",;)}]":
                return at, not fills_line
        elif sign == b"&" or sign == b"|":
            if not fills_line or rest[:1] == sign or _NEXT.match(rest):
                return at, False
        elif not fills_line or _NEXT.match(rest):
            return at, sign == b"," or not rest
    return len(value), False


def _closes(sign: bytes, rest: bytes, data: bytes, end: int) -> bool:
    """Whether what a bracket opens is closed on its line."""
    line = _LINE.match(data, end, end + 256)
    return {b"(": b")", b"[": b"]", b"{": b"}"}[sign] in rest + (line.group() if line else b"")

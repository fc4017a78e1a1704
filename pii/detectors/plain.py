"""A text as plain ASCII bytes in which the detectors search, and the way back to the text's own characters.

Numbers and addresses are written with other digits, spaces and hyphens than ASCII's, with invisible characters inside,
and escaped for JSON, for addresses and for HTML. The detectors know none of that: they see one plain form. ASCII
without escapes is its own plain form and costs one encoding.
"""

import codecs
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice

from pii.detectors.base import places

INVISIBLE = "\x7f"  # stands for any character without width, until it is taken out
OTHER = "\x01"  # stands for any character that no detector knows: neither word, digit nor space

SECTION = "\x02"  # a section's sign


def _plain(code: int) -> str:
    """One ASCII character that a detector may take this one for."""
    char = chr(code)
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if char == "§":
        return SECTION
    category = unicodedata.category(char)
    if category == "Cf" or code == 0x34F or 0xFE00 <= code <= 0xFE0F:  # joiners, soft hyphens, marks of direction
        return INVISIBLE
    if category == "Zs":
        return " "
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Pd" or char == "−":
        return "-"
    whole = unicodedata.normalize("NFKD", char)  # é is e, ＠ is @
    if whole[0].isascii() and (len(whole) == 1 or category.startswith("L")):
        return whole[0]
    if category.startswith("L") and unicodedata.bidirectional(char) == "L" and not 0x2E80 <= code <= 0xD7FF:
        return "q"  # a letter of a script that puts spaces between words: part of the word it stands in
    return OTHER


class _Table(dict):
    """`_plain` for str.translate, remembering what it was asked."""

    def __missing__(self, code: int) -> str:
        plain = _plain(code) if code > 127 else OTHER if code == 127 else chr(code)
        if len(self) < 65536:
            self[code] = plain
        return plain


_TABLE = _Table()
_LATIN = bytes(range(128)) + "".join(map(chr, range(128, 256))).translate(_TABLE).encode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return error.object[error.start : error.end].translate(_TABLE), error.end


codecs.register_error("pii.plain", _replace)

# JSON's and JavaScript's \u0040 and \x40 (escaped again, any number of times), RFC 3986's %40, HTML's &#64; and the
# named references that stand for a character in a number or an address (these escaped again seven times at most).
_ESCAPES = re.compile(
    rb"\\(?<!\\\\)\\*+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))|%(?:25){0,7}([2-7][0-9A-Fa-f])"
    rb"|&(?:amp;){0,7}(?:#([0-9]{1,6});|#[xX]([0-9A-Fa-f]{1,5});|(nbsp|commat|shy|zwnj|zwj|period|hyphen|dash|lowbar|plus|num|colon|amp|quot|lt|gt);)"
)
_SIGNS = b"%", b"&", b"\\"  # what each begins with
_NAMED = {
    b"nbsp": " ", b"commat": "@", b"shy": INVISIBLE, b"zwnj": INVISIBLE, b"zwj": INVISIBLE, b"period": ".",
    b"hyphen": "-", b"dash": "-", b"lowbar": "_", b"plus": "+", b"num": "#", b"colon": ":", b"amp": "&",
    b"quot": '"', b"lt": "<", b"gt": ">",
}  # fmt: skip
_INVISIBLE_RUNS = re.compile(rb"\x7f\x7f*")  # `re` is fast where one letter begins
_ASCII = bytes(range(128))
# What a character without width may stand within.
_JOINED = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.@+_/:- ()")  # numbers have spaces
_LINE = 4096  # bytes of a line before and after what is invisible in it


# Words for "password" in scripts of which the plain form keeps no letters: each becomes an English one of its length.
# A class of first letters is what `re` searches for fastest.
_PASSWORD = re.compile(
    "[пП密口パ暗비패كرگपকรסκσ](?:(?<=[пП])арол[ьяюе]м?|(?<=П)АРОЛЬ|(?<=密)[码碼][是为為]?|(?<=口)令|(?<=パ)スワード[はが]?|(?<=暗)証番号"
    "|(?<=비)밀번호[는가]?|(?<=패)스워드|(?<=ك)لمة (?:المرور|السر|مرور)|(?<=ر)مز عبور|(?<=گ)ذرواژه|(?<=प)ासवर्ड|(?<=क)ूटशब्द|(?<=প)াসওয়ার্ড"
    "|(?<=ร)หัสผ่าน|(?<=ס)יסמ[הא]|(?<=κ)ωδικός|(?<=σ)υνθηματικό)"
)
# Characters that are replaced all at once: so many at most, those of which there is one in so many characters.
_OFTEN, _OFTEN_BY = 16, 1000
_COPULAS = "是为為はが는가"


def _as_password(match: re.Match[str]) -> str:
    word = match[0].rstrip(_COPULAS)
    english = {2: "pw", 3: "pwd", 4: "pass", 5: "_pass", 6: "passwd", 7: "_passwd"}.get(len(word))
    return (english or "password".rjust(len(word), "_")) + "=" * (len(match[0]) - len(word))


_FIRST_LETTERS = frozenset(_PASSWORD.pattern[1 : _PASSWORD.pattern.index("]")])
_LINE_END, _FORM_FEED, _TAB, _TAB_SIGN, _QUOTE = b'\n\f\tt"'
# Characters for each that is replaced, on an average, from which on it is cheaper to go from one to the next.
_SPARSE = 50


@dataclass(frozen=True, slots=True)
class Form:
    """ASCII bytes, and where they stand in the text: from each of `marks` on, `shifts` characters further on."""

    data: bytes
    quoted: bytes  # the same, but quotes have their backslashes, and escaped line ends are form feeds
    marks: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The text's characters, half-open, that the bytes from `start` to `end` stand for."""
        if not self.marks:
            return start, end
        return self._at(start), self._at(end - 1, after=True)

    def _at(self, place: int, after: bool = False) -> int:
        index = bisect_right(self.marks, place)
        shift = self.shifts[index - 1] if index else 0
        if not after:
            return place + shift
        # what one byte stands for reaches to where the next one begins
        if index < len(self.marks) and self.marks[index] == place + 1 and self.shifts[index] > shift:
            return place + 1 + self.shifts[index]
        return place + 1 + shift


def _in_english(text: str, letters: Iterable[str], times: int) -> str:
    """The text with words for "password" in English, of which there stand these first letters in it, so many times."""
    if times * _SPARSE > len(text):
        return _PASSWORD.sub(_as_password, text)
    out, done = [], 0
    for place in sorted(place for letter in letters for place in places(text, letter)):
        if place >= done and (match := _PASSWORD.match(text, place)):
            out += text[done:place], _as_password(match)
            done = match.end()
    return "".join([*out, text[done:]]) if out else text


def _ascii(text: str) -> bytes:
    """ASCII for a text with other characters, a byte for each."""
    encoded = text.encode("utf-8", "surrogatepass")
    counts = Counter(encoded.translate(None, _ASCII).decode("utf-8", "surrogatepass"))
    if letters := _FIRST_LETTERS.intersection(counts):
        text = _in_english(text, letters, sum(counts[letter] for letter in letters))
    if len(encoded) > len(text) * 5 // 4:  # dense: one pass beats a call for each run
        return text.translate(_TABLE).encode()
    for char, times in counts.most_common(_OFTEN):
        if times * _OFTEN_BY > len(text):
            text = text.replace(char, _TABLE[ord(char)])
    data = text.encode("latin-1", "pii.plain")
    return data if data.isascii() else data.translate(_LATIN)


def _without_line_ends_and_quotes(data: bytes) -> tuple[bytes, bytes]:
    """`data` with escaped line ends and quotes plain, and with quotes as they were: as long as before, so nothing moves."""
    if data.count(b"\\") * _SPARSE > len(data):
        quoted = data.replace(b"\\n", b"\f\f").replace(b"\\r", b"\f\f").replace(b"\\t", b"\t\t")
        return quoted.replace(b"\f", b"\n").replace(b'\\\\\\"', b'""""').replace(b'\\"', b'""'), quoted
    plain, quoted = bytearray(data.replace(b"\f", b"\n")), bytearray(data)
    last, place = len(data) - 1, data.find(b"\\")
    while 0 <= place < last:
        sign = data[place + 1]
        if sign in b"nr":
            plain[place] = plain[place + 1] = _LINE_END
            quoted[place] = quoted[place + 1] = _FORM_FEED
        elif sign == _TAB_SIGN:
            plain[place] = plain[place + 1] = quoted[place] = quoted[place + 1] = _TAB
        elif sign == _QUOTE:
            plain[place] = _QUOTE
            if place > 1 and data[place - 2 : place] == b"\\\\":  # of a string in a string
                plain[place - 2] = plain[place - 1] = _QUOTE
        place = data.find(b"\\", place + 1)
    return bytes(plain), bytes(quoted)


def forms(text: str) -> list[Form]:
    """The plain forms of a text: one, or two if it has invisible characters (standing for a gap, and for nothing)."""
    data = quoted = text.encode() if text.isascii() else _ascii(text)
    if b"\\" in data:  # line ends and quotes of an escaped text end words too
        data, quoted = _without_line_ends_and_quotes(data)
    form = Form(data, quoted)
    if b"\\" in data or b"%" in data or b"&" in data:
        form = _unescaped(data, quoted)
    if b"\x7f" not in form.data:
        return [form]
    apart = Form(form.data.replace(b"\x7f", b" "), form.quoted.replace(b"\x7f", b" "), form.marks, form.shifts)
    cuts = [match.span() for match in _INVISIBLE_RUNS.finditer(form.data)]
    return [apart, _joined(form, cuts)] if _is_inside(form.data, cuts) else [apart]


def _is_inside(data: bytes, cuts: list[tuple[int, int]]) -> bool:
    """Whether something invisible stands within a word or a number: beside an emoji it hides nothing."""
    return any(start and end < len(data) and data[start - 1] in _JOINED and data[end] in _JOINED for start, end in cuts)


@lru_cache(maxsize=4096)
def _decoded(escape: bytes) -> bytes:
    match = _ESCAPES.fullmatch(escape)
    assert match
    json, hexadecimal, percent, decimal, html, name = match.groups()
    if name:
        return _NAMED[name].encode()
    code = int(decimal) if decimal else int(json or hexadecimal or percent or html, 16)
    return _TABLE[code].encode() if 31 < code < 0x110000 else b"\n"


def _escapes(data: bytes) -> Iterator[re.Match[bytes]]:
    most = len(data) // _SPARSE
    signs = list(islice(chain.from_iterable(places(data, sign) for sign in _SIGNS), most + 1))
    if len(signs) > most:
        yield from _ESCAPES.finditer(data)
        return
    for place in sorted(signs):  # none begins within another
        if match := _ESCAPES.match(data, place):
            yield match


def _unescaped(data: bytes, quoted: bytes) -> Form:
    out, out_quoted, marks, shifts, done, length = [], [], [], [], 0, 0
    is_same = data == quoted
    for match in _escapes(data):
        start, end = match.span()
        out += data[done:start], (plain := _decoded(match.group()))
        if not is_same:
            out_quoted += quoted[done:start], plain
        length += start - done + 1
        marks.append(length)
        shifts.append(end - length)
        done = end
    plain = b"".join([*out, data[done:]])
    return Form(plain, plain if is_same else b"".join([*out_quoted, quoted[done:]]), marks, shifts)


def _joined(form: Form, cuts: list[tuple[int, int]]) -> Form:
    """The form without what is invisible: only the lines where there is some, as the others have been seen."""
    marks, shifts, gone, old = [], [], 0, 0
    for start, end in cuts:
        while old < len(form.marks) and form.marks[old] <= start:  # moves of the form before this cut
            marks.append(form.marks[old] - gone)
            shifts.append(form.shifts[old] + gone)
            old += 1
        shift = form.shifts[old - 1] if old else 0
        while old < len(form.marks) and form.marks[old] <= end:  # escapes that were invisible themselves
            shift = form.shifts[old]
            old += 1
        gone += end - start
        marks.append(end - gone)
        shifts.append(shift + gone)
    marks += [mark - gone for mark in form.marks[old:]]
    shifts += [shift + gone for shift in form.shifts[old:]]
    data, quoted = (bytes_.translate(None, b"\x7f") for bytes_ in (form.data, form.quoted))
    return _lines(Form(data, quoted, marks, shifts))


def _lines(form: Form) -> Form:
    """The lines in which something moves, or what is near it in long ones."""
    out, quoted, marks, shifts, length, done = [], [], [], [], 0, 0
    for index, mark in enumerate(form.marks):
        if mark >= done:
            start = max(form.data.rfind(b"\n", done, mark) + 1, done, mark - _LINE)
            end = form.data.find(b"\n", mark, mark + _LINE)
            done = end + 1 if end >= 0 else min(mark + _LINE, len(form.data)) + 1
            out.append(form.data[start : done - 1])
            quoted.append(form.quoted[start : done - 1])
            marks.append(length)
            moved = start - length
            shifts.append(moved + (form.shifts[index - 1] if index else 0))
            length += done - start
        marks.append(mark - moved)
        shifts.append(form.shifts[index] + moved)
    return Form(b"\n".join(out), b"\n".join(quoted), marks, shifts)

"""JSON of any value in any way of writing it."""

import json
from typing import Any

from hypothesis import strategies as st

_texts = st.text(max_size=8) | st.sampled_from(["\ud83d", 'a"b', "\\", "é\n", "😀", "[LUNAROUTE:x]"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=10,
)
_names = _texts | st.sampled_from(["model", "temperature", "a"])
_spaces = st.sampled_from(["", "", " ", "\n\t", "\r\n  "])


def texts_of(value: Any) -> st.SearchStrategy[bytes]:
    """Ways to write `value`."""
    ascii_only = "\\ud" in json.dumps(value)  # halves of pairs have no other form

    def write(separators: tuple[str, str, bool]) -> bytes:
        space, after, ensure_ascii = separators
        text = json.dumps(
            value, separators=(f"{space},{after}", f"{after}:{space}"), ensure_ascii=ensure_ascii or ascii_only
        )
        return text.encode()

    return st.tuples(_spaces, _spaces, st.booleans()).map(write)


@st.composite
def objects(draw: Any, unique: bool = False) -> bytes:
    """Objects, with names that may come twice."""
    pairs = draw(st.lists(st.tuples(_names, values), max_size=5, unique_by=(lambda pair: pair[0]) if unique else None))
    space = draw(_spaces).encode()
    parts = [draw(texts_of(name)) + space + b":" + draw(texts_of(value)) for name, value in pairs]
    return space + b"{" + space + (space + b"," + space).join(parts) + space + b"}" + space

"""A vendor's own state in a field of the other."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.sealed import MARK, seal, unseal


@given(value=st.dictionaries(st.text(max_size=5), st.text(max_size=50) | st.none()))
def test_what_is_sealed_comes_back(value):
    assert unseal(seal(value)) == value


@given(text=st.text() | st.text().map("[LUNAROUTE:sealed]".__add__) | st.none() | st.integers())
def test_what_nobody_sealed_is_none(text):
    assert unseal(text) is None or isinstance(unseal(text), dict)


@pytest.mark.parametrize(
    "text", ["", "EqQBCkYIBxgC", "[LUNAROUTE:sealed]", "[LUNAROUTE:sealed]?", "[LUNAROUTE:sealed]WzFd", None, 5, {}]
)
def test_signatures_of_vendors_and_broken_seals_are_none(text):
    assert unseal(text) is None


def test_a_seal_of_any_depth_is_none_or_what_it_holds():
    assert unseal(MARK + b64encode(b'{"a":' * 50_000 + b"1" + b"}" * 50_000).decode()) is None

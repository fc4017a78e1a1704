"""Keys, prices, codings: what is read beside the bodies."""

import gzip
import zlib
from datetime import UTC, datetime

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.decoding import Decoder, Overflow
from sessions import prices
from sessions.dialects.facts import Usage
from sessions.headers import kept_headers, masked_query, metadata_of
from sessions.prices import cost_usd


def test_credentials_are_not_kept():
    headers = [
        ("Authorization", "x"),
        ("X-API-Key", "x"),
        ("api-key", "x"),
        ("Cookie", "x"),
        ("Accept", "y"),
        ("User-Agent", "u"),
    ]
    assert kept_headers(headers) == [("Accept", "y"), ("User-Agent", "u")]


def test_query_values_named_like_a_key_are_masked():
    query = "beta=true&key=abc&API_KEY=1&access_token=x&a%5Fpi-key=2&monkey=3&token"
    assert masked_query(query) == "beta=true&key=***&API_KEY=***&access_token=***&a%5Fpi-key=***&monkey=3&token"


def test_project_and_tags_come_from_headers():
    assert metadata_of([("X-Project-ID", "myapp"), ("x-session-tags", "a, b,")]) == {
        "project": "myapp",
        "tags": ["a", "b"],
    }


def test_costs_have_their_cache_prices_and_unknown_models_none():
    at = datetime(2026, 11, 1, tzinfo=UTC)
    usage = Usage(input=1000, output=100, cache_read=10_000, cache_creation_5m=200, cache_creation_1h=100)
    expected = (1000 * 3 + 100 * 15 + 10_000 * 0.3 + 200 * 3.75 + 100 * 6) / 1e6
    assert cost_usd("anthropic", "claude-sonnet-4-5-20250929", usage, at) == pytest.approx(expected)
    assert cost_usd("anthropic", "no-such-model", usage, at) is None
    assert cost_usd("openai", "", usage, at) is None


@given(
    st.builds(
        Usage,
        **{
            name: st.integers(0, 300_000)
            for name in ("input", "output", "thinking", "cache_read", "cache_creation_5m", "cache_creation_1h")
        },
    ),
    st.sampled_from(
        [
            ("anthropic", "claude-sonnet-4-5"),
            ("anthropic", "claude-opus-4-1"),
            ("openai", "gpt-5"),
            ("openai", "gemini-2.5-pro"),
        ]
    ),
)
def test_costs_are_those_of_the_price_list_in_each_tier(usage, model):
    at = datetime(2026, 11, 1, tzinfo=UTC)
    listed = prices._calculate(*model, usage, at)
    assert cost_usd(*model, usage, at) == pytest.approx(float(listed.total_price))


DATA = b"The moon is full. " * 4000
CODINGS = {
    "gzip": gzip.compress(DATA),
    "deflate": zlib.compress(DATA),
    "br": brotli.compress(DATA),
    "zstd": zstandard.ZstdCompressor().compress(DATA),
    "gzip, br": brotli.compress(gzip.compress(DATA)),
    "identity": DATA,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_codings_are_undone_piece_by_piece(coding, step):
    decoder, data = Decoder(coding, 1 << 20), CODINGS[coding]
    assert b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step)) == DATA


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_noticed_before_it_goes_off(coding):
    with pytest.raises(Overflow):
        Decoder(coding, len(DATA) - 1).feed(CODINGS[coding])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_bytes_that_do_not_decode_are_an_error(coding):
    with pytest.raises(ValueError, match=r"."):
        Decoder(coding, 1000).feed(b"this is not compressed at all, really")

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from routing.limits import Quota, quotas_of, rest_after, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"30", 30),
        (b" 30 ", 30),
        (b"1.5", 1.5),
        (b"Sun, 01 Mar 2026 12:01:00 GMT", 60),
        (b"Sunday, 01-Mar-26 12:01:00 GMT", 60),
        (b"Sun Mar  1 12:01:00 2026", 60),
        (b"Sun, 01 Mar 2026 11:59:00 GMT", None),
        (b"86401", 86400),
        (b"999999999999", 86400),
        (b"Sun, 01 Mar 2099 12:01:00 GMT", 86400),
        (b"-5", None),
        (b"", None),
        (b"soon", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e3", None),
        (b"\xb2", None),
        (b"Sun, 99 Mar 2026 12:01:00 GMT", None),
        (b"Sun, 01 Mar 99999999 12:01:00 GMT", None),
    ],
)
def test_it_reads_retry_after(value, seconds):
    assert retry_after([(b"Retry-After", value)], NOW) == seconds


def test_milliseconds_go_first():
    assert retry_after([(b"retry-after", b"2"), (b"Retry-After-Ms", b"1250")], NOW) == 1.25


def test_bad_milliseconds_leave_the_seconds():
    assert retry_after([(b"retry-after-ms", b"x"), (b"retry-after", b"2")], NOW) == 2


def test_without_the_header_nothing_is_said():
    assert retry_after([(b"content-type", b"text/html")], NOW) is None


HEADER_NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"anthropic-ratelimit-",
        b"anthropic-ratelimit-requests-reset",
        b"anthropic-ratelimit-tokens-remaining",
        b"anthropic-ratelimit-unified-5h-utilization",
        b"anthropic-ratelimit-unified-reset",
        b"anthropic-ratelimit-unified-",
        b"x-ratelimit-",
        b"x-ratelimit-reset-tokens",
        b"x-ratelimit-remaining-requests",
    ]
)
DATES = st.datetimes().map(lambda d: d.strftime("%a, %d %b %Y %H:%M:%S GMT").encode())
STAMPS = st.datetimes().map(lambda d: (d.isoformat() + "Z").encode())
VALUES = st.binary() | DATES | STAMPS | st.from_regex(rb"[0-9]{1,30}(ms|s|m|h|\.)?([0-9]s)?", fullmatch=True)


@given(st.lists(st.tuples(HEADER_NAMES | st.binary(), VALUES)), st.sampled_from([429, 529]), st.integers(0, 10_000))
def test_nothing_that_a_provider_sends_raises(headers, status, attempts):
    told = retry_after(headers, NOW)
    assert told is None or 0 <= told <= 86_400
    assert all(quota.name for quota in quotas_of(headers, NOW))
    assert 0 <= rest_after(status, headers, NOW, attempts, 60) <= 86_400


def test_it_reads_anthropics_quotas():
    headers = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"49"),
        (b"anthropic-ratelimit-requests-reset", b"2026-03-01T12:00:02Z"),
        (b"Anthropic-RateLimit-Input-Tokens-Limit", b"30000"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-input-tokens-reset", b"2026-03-01T13:01:00+01:00"),
    ]
    assert quotas_of(headers, NOW) == (
        Quota("requests", 50, 49, NOW + 2),
        Quota("input-tokens", 30000, 0, NOW + 60),
    )


def test_it_reads_the_quotas_of_a_subscription():
    headers = [
        (b"anthropic-ratelimit-unified-status", b"allowed"),
        (b"anthropic-ratelimit-unified-reset", b"1772370000"),
        (b"anthropic-ratelimit-unified-5h-status", b"allowed"),
        (b"anthropic-ratelimit-unified-5h-utilization", b"0.42"),
        (b"anthropic-ratelimit-unified-5h-reset", b"1772370000"),
        (b"anthropic-ratelimit-unified-7d-status", b"rejected"),
        (b"anthropic-ratelimit-unified-7d-utilization", b"0.99"),
        (b"anthropic-ratelimit-unified-overage-status", b"rejected"),
        (b"anthropic-ratelimit-unified-representative-claim", b"five_hour"),
        (b"anthropic-ratelimit-unified-fallback-percentage", b"0.5"),
    ]
    assert quotas_of(headers, NOW) == (
        Quota("unified", None, None, 1772370000),
        Quota("unified-5h", 1, 0.58, 1772370000),
        Quota("unified-7d", 1, 0, None),
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1s", 1), (b"6m0s", 360), (b"12ms", 0.012), (b"1h2m3.5s", 3723.5), (b"2d", 172_800), (b"17", 17)],
)
def test_it_reads_openais_durations(value, seconds):
    headers = [(b"x-ratelimit-reset-tokens", value), (b"x-ratelimit-remaining-tokens", b"0")]
    assert quotas_of(headers, NOW) == (Quota("tokens", None, 0, pytest.approx(NOW + seconds)),)


@pytest.mark.parametrize("value", [b"", b"s", b"1x", b"1s later", b"-1s", b"yesterday"])
def test_a_reset_that_it_cannot_read_is_left_out(value):
    assert quotas_of([(b"x-ratelimit-reset-tokens", value)], NOW) == ()


def exhausted(name: bytes, reset: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-ratelimit-remaining-" + name, b"0"), (b"x-ratelimit-reset-" + name, reset)]


@pytest.mark.parametrize(
    ("status", "headers", "attempts", "seconds"),
    [
        (429, [(b"retry-after", b"7"), *exhausted(b"tokens", b"90s")], 3, 7),
        (429, exhausted(b"tokens", b"90s") + exhausted(b"requests", b"20s"), 3, 90),
        (429, exhausted(b"tokens", b"72h"), 0, 86_400),
        (429, [(b"x-ratelimit-remaining-tokens", b"5"), (b"x-ratelimit-reset-tokens", b"90s")], 0, 60),
        (
            429,
            [
                (b"anthropic-ratelimit-tokens-remaining", b"0"),
                (b"anthropic-ratelimit-tokens-reset", b"2026-03-01T11:59:59Z"),
            ],
            0,
            60,
        ),
        (429, [], 0, 60),
        (429, [], 1, 120),
        (429, [], 4, 960),
        (429, [], 9, 3600),
        (429, [], 100_000, 3600),
        (529, [], 0, 5),
        (529, [], 2, 20),
        (529, [], 9, 60),
        (529, [(b"retry-after", b"33")], 0, 33),
    ],
)
def test_it_says_how_long_to_rest(status, headers, attempts, seconds):
    assert rest_after(status, headers, NOW, attempts, 60) == pytest.approx(seconds)

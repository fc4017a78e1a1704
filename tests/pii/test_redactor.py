"""Redaction of texts: modes, overlaps, tokens, and what never happens."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pii import detectors
from pii.findings import Finding
from pii.overlaps import Span, resolve
from pii.patterns import compiled
from pii.policy import FAILED, CustomPattern, Handling, Policy
from pii.redactor import Redactor

EMAIL, SSN = "john.doe@example.com", "123-45-6789"
MODES = ("mask", "remove", "tokenize", "partial")


def redactor(mode="mask", **more) -> Redactor:
    return Redactor(Policy(mode=mode, secret="a secret of the tests", **more))


def span_of(finding: Finding, text: str) -> Span:
    value = text[finding.start : finding.end]
    return Span(finding.start, finding.end, finding.type, value, finding.confidence, finding.detector)


def custom(name="API_KEY", pattern="sk-[a-zA-Z0-9]{32}", **more) -> CustomPattern:
    return CustomPattern(name, compiled(pattern), **{"confidence": 0.95, **more})


@pytest.mark.parametrize(
    ("mode", "after"),
    [
        ("mask", r"My email is \[EMAIL\] and SSN is \[SSN\]"),
        ("remove", "My email is  and SSN is "),
        ("tokenize", r"My email is \[EMAIL:[0-9a-f]{8}\] and SSN is \[SSN:[0-9a-f]{8}\]"),
        ("partial", r"My email is \*\*\*\*\.com and SSN is \*\*\*\*6789"),
    ],
)
def test_each_mode(mode, after):
    made = redactor(mode)
    assert re.fullmatch(after, made.text(f"My email is {EMAIL} and SSN is {SSN}"))
    assert made.counts == {"EMAIL": 1, "SSN": 1}


def test_text_without_values_comes_back_as_the_same_object():
    text = "nothing to see here"
    data = b'{"a":[1e400,"nothing \\u00e9 \\/"]}'
    assert redactor().text(text) is text
    assert redactor().json(data) is data


def test_a_type_has_a_mode_of_its_own():
    made = redactor(overrides={"SSN": Handling("partial", 2), "EMAIL": Handling("remove")})
    assert made.text(f"{EMAIL} {SSN}") == " ****89"


def test_a_type_that_is_off_is_left_alone():
    assert redactor(types=("SSN",)).text(f"{EMAIL} {SSN}") == f"{EMAIL} [SSN]"


def test_what_is_less_sure_than_asked_for_is_left_alone():
    made = redactor(min_confidence=0.99, custom_patterns=(custom(),))
    text = "sk-" + "a1" * 16
    assert made.text(text) == text


def test_custom_patterns_have_a_placeholder_a_mode_and_a_name():
    value = "ticket-0042"
    for pattern, after in (
        (custom("TICKET", r"ticket-\d{4}", placeholder="[THE TICKET]"), r"\[THE TICKET\]"),
        (custom("TICKET", r"ticket-\d{4}", placeholder="gone"), "gone"),
        (custom("TICKET", r"ticket-\d{4}"), r"\[TICKET:[0-9a-f]{8}\]"),
        (custom("TICKET", r"ticket-\d{4}", mode="partial"), r"\*\*\*\*0042"),
        (custom("TICKET", r"ticket-\d{4}", mode="remove"), ""),
    ):
        made = redactor("tokenize", custom_patterns=(pattern,))
        once = made.text(f"see {value}!")
        assert re.fullmatch(f"see {after}!", once)
        assert made.text(once) == once


@pytest.mark.parametrize("chars", range(30))
def test_partial_never_shows_a_whole_value(chars):
    made = redactor("partial", partial_show_chars=chars)
    once = made.text(f"to {EMAIL} now")
    assert EMAIL not in once
    assert made.text(once) == once
    if chars >= len(EMAIL):
        assert once == "to **** now"


def test_what_partial_would_show_is_no_value_itself():
    made = redactor("partial", partial_show_chars=len(EMAIL))
    assert made.text(f"x{EMAIL}") == "[EMAIL]"


def test_zero_width_characters_do_not_make_a_value_longer():
    value = "4\u200b2\u200b4\u200b2"
    made = redactor("partial", custom_patterns=(custom("PIN", r"4\x{200b}2\x{200b}4\x{200b}2"),))
    assert made.text(value) == "****"


def test_tokens_are_the_same_after_a_restart_and_differ_by_secret_and_type():
    first, second = redactor("tokenize"), redactor("tokenize")
    assert first.text(EMAIL) == second.text(EMAIL)
    other = Redactor(Policy(mode="tokenize", secret="another"))
    assert first.text(EMAIL) != other.text(EMAIL)
    tokens = first._tokens
    assert tokens.token("PHONE", "123456789") != tokens.token("SSN", "123456789")


def test_a_token_is_what_rfc_5869_and_rfc_2104_give():
    # The steps by hand: extract with a salt of zeros, expand once, authenticate.
    import hashlib
    import hmac

    key = hmac.digest(bytes(32), b"a secret of the tests", "sha256")
    key = hmac.digest(key, b"lunaroute pii token 1 EMAIL\x01", "sha256")
    token = hmac.new(key, EMAIL.encode(), hashlib.sha256).hexdigest()[:8]
    assert redactor("tokenize").text(EMAIL) == f"[EMAIL:{token}]"


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("EMAIL", ["a.B@example.com", "a.B@EXAMPLE.com", "a.B%40example.com", "a.B\\u0040example.com", "a.B@exam\u200bple.com"]),
        ("SSN", ["123-45-6789", "123 45 6789", "123456789", "１２３-４５-６７８９", "123\u2011" + "45\u20116789"]),
        ("CREDIT_CARD", ["4111111111111111", "4111 1111 1111 1111", "4111-1111\u00a01111.1111", "٤١١١١١١١١١١١١١١١"]),
        ("PHONE", ["+14155550132", "+1 (415) 555-0132", "001 415 555 0132"]),
        ("IBAN", ["GB82WEST12345698765432", "gb82 west 1234 5698 7654 32"]),
        ("IP_ADDRESS", ["2001:db8::1", "2001:0DB8:0:0:0:0:0:1", "[2001:db8::1]"]),
    ],
)  # fmt: skip
def test_a_value_has_one_token_however_it_is_written(kind, spellings):
    tokens = redactor("tokenize")._tokens
    assert len({tokens.token(kind, spelling) for spelling in spellings}) == 1
    assert tokens.token(kind, spellings[0]) != tokens.token(kind, spellings[0].replace("1", "7").replace("B", "c"))


def test_the_longest_of_the_most_confident_wins_and_nothing_is_left():
    text = "abcdefghij"
    findings = [Finding(0, 4, "PHONE", 0.8, "p"), Finding(2, 6, "EMAIL", 0.9, "e"), Finding(3, 8, "SSN", 0.9, "s")]
    (span,) = resolve(span_of(f, text) for f in findings)
    assert (span.start, span.end, span.type, span.value) == (0, 8, "SSN", "defgh")


def test_what_lies_within_a_pattern_of_the_users_has_its_name():
    text = "abcdefghij"
    findings = [Finding(2, 8, "OWN", 0.7, "o"), Finding(2, 8, "EMAIL", 0.99, "e"), Finding(7, 9, "SSN", 0.8, "s")]
    spans = resolve(span_of(f, text) for f in findings[:2])
    assert [(s.start, s.end, s.type) for s in spans] == [(2, 8, "OWN")]
    spans = resolve(span_of(f, text) for f in findings)
    assert [(s.start, s.end, s.type) for s in spans] == [(2, 9, "SSN")]


def test_two_winners_share_what_a_loser_leaves_between_them():
    text = "abcdefghij"
    findings = [Finding(0, 3, "EMAIL", 0.9, "e"), Finding(2, 8, "PHONE", 0.7, "p"), Finding(6, 10, "SSN", 0.9, "s")]
    spans = resolve(span_of(f, text) for f in findings)
    assert [(s.start, s.end, s.type) for s in spans] == [(0, 6, "EMAIL"), (6, 10, "SSN")]


_findings = st.lists(
    st.builds(
        lambda start, length, kind, confidence: Finding(start, start + length, kind, confidence, "d"),
        st.integers(0, 50), st.integers(1, 20), st.sampled_from(detectors.TYPES), st.sampled_from([0.7, 0.8, 0.9]),
    ),
    max_size=12,
)  # fmt: skip


@given(_findings)
def test_resolved_findings_cover_exactly_what_all_cover(findings):
    text = "x" * 100
    spans = resolve(span_of(f, text) for f in findings)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    covered = {at for f in findings for at in range(f.start, f.end)}
    assert {at for s in spans for at in range(s.start, s.end)} == covered


pieces = st.lists(
    st.sampled_from(
        [EMAIL, "x@y.org", SSN, "123", "-45", "-6789", "@example.com", "john", " ", "\n", ".", "-", "[EMAIL]", "[SSN:7b2c4f1a]",
         "[", "]", "4111 1111 1111 1111", "415-555-0132", "10.0.0.1", "\u200b", "\ud800", "é", "key", "[KEY]", "zz9", "****"]
    ) | st.text(max_size=6),
    max_size=12,
).map("".join)  # fmt: skip
redactors = st.builds(
    lambda mode, chars, pattern: redactor(mode, partial_show_chars=chars, custom_patterns=pattern),
    st.sampled_from(MODES), st.sampled_from([0, 4, 12, 20]),
    st.sampled_from([(), (custom("KEY", "zz9|key"),), (custom("KEY", "z+9", placeholder="z9"),), (custom("KEY", "[0-9]{3}-", mode="remove"),)]),
)  # fmt: skip


@given(redactors, pieces)
@example(redactor("remove", custom_patterns=(custom("KEY", "zz9"),)), "12zz93-45-6789")
def test_a_second_redaction_changes_nothing_and_finds_nothing(made, text):
    once = made.text(text)
    assert made.text(once) == once
    assert made.find(once) == []


@given(redactors, pieces)
def test_no_found_value_survives(made, text):
    found = made.find(text)
    edits = made.edits(text)
    assert [(f.start, f.end) for f in found] == [(e.start, e.end) for e in edits]
    for finding in detectors.find(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")):
        if len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")) == len(text):
            inside = range(finding.start, finding.end)
            marks = [at for m in made._marks.finditer(text) for at in range(*m.span())]
            covered = {at for e in edits for at in range(e.start, e.end)} | set(marks)
            assert not [at for at in inside if at not in covered and text[at].isalnum()]


def test_what_is_found_around_a_mark_is_replaced_around_it():
    made = redactor(custom_patterns=(custom("KEY", r"z+9\[EMAIL\]z+9!"),))
    assert made.text("a zz9[EMAIL]z9! b") == "a [KEY][EMAIL][KEY] b"


def test_a_value_that_arises_where_another_was_removed_is_found():
    made = redactor("remove", custom_patterns=(custom("KEY", "zz9"),))
    assert made.text("no 12zz93-45-6789") == "no "


def test_a_detector_that_fails_withholds_the_text(monkeypatch, caplog):
    def broken(text, *_):
        raise ValueError(f"cannot read {text}")

    monkeypatch.setattr(detectors, "find", broken)
    made = redactor()
    assert made.text(EMAIL) == FAILED
    assert made.json(b'{"a":"x"}') == f'"{FAILED}"'.encode()
    assert made.url("/v1/x?e=a%40b.com") == FAILED
    assert made.headers([("X-A", EMAIL)]) == [(FAILED, FAILED)]
    assert made.counts["FAILED"] >= 4
    assert len(caplog.records) == 1
    assert EMAIL not in caplog.text
    assert "ValueError" in caplog.text


def test_headers_and_addresses():
    made = redactor()
    assert made.headers([("X-User", EMAIL), ("Accept", "*/*")]) == [("X-User", "[EMAIL]"), ("Accept", "*/*")]
    assert made.url("/v1/u/john%40example.com/x?q=a%20b&e=j%2540example.com&s=123-45-6789") == (
        "/v1/u/[EMAIL]/x?q=a%20b&e=[EMAIL]&s=[SSN]"
    )
    assert made.query("a=1+2%20&b=%E9") == "a=1+2%20&b=%E9"


def test_the_name_of_a_header_may_hold_a_value():
    key = "AKIA" + "QX7MZK2LW5NTRV4B"
    pairs = [("accept", "*/*"), (key, "1"), ("x-mail", EMAIL)]
    assert redactor().headers(pairs) == [("accept", "*/*"), ("[SECRET]", "1"), ("x-mail", "[EMAIL]")]

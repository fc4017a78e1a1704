"""What is found, what is not, and how surely."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.detectors import TYPES, find, reach
from pii.findings import Finding
from tests.pii.corpus import negatives, positives, score


def spans(text: str) -> list[tuple[int, int, str]]:
    return [(finding.start, finding.end, finding.type) for finding in find(text)]


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.type, text[finding.start : finding.end]) for finding in find(text)]


def test_the_guides_own_example():
    text = "My email is john.doe@example.com and SSN is 123-45-6789"
    assert found(text) == [("EMAIL", "john.doe@example.com"), ("SSN", "123-45-6789")]


def test_a_finding_says_what_where_how_surely_and_by_which_rule():
    assert find("to a@b.co") == [Finding(3, 9, "EMAIL", 0.95, "email")]


@pytest.mark.parametrize("seed", [0, 7])
def test_recall_and_precision_of_every_type_on_the_corpus(seed):
    good, bad = positives(seed), negatives(seed)
    assert len(good) >= 3000
    assert len(bad) >= 20_000
    scores, mistakes = score(spans, TYPES, good + bad)
    for type_, result in scores.items():
        told = "\n".join(line for line in mistakes if f" {type_} " in line)[:4000]
        assert result.recall >= 0.99, told
        assert result.precision >= 0.98, told


def test_every_line_written_by_hand():
    samples = [sample for sample in positives() + negatives() if sample.kind == "by hand"]
    scores, mistakes = score(spans, TYPES, samples)
    assert [line for line in mistakes if line.startswith("missed")] == []
    assert sum(result.wrong for result in scores.values()) == 0, mistakes


def test_only_the_asked_types_are_looked_for():
    text = "a@b.co 123-45-6789"
    assert [finding.type for finding in find(text, types=["SSN"])] == ["SSN"]
    assert find(text, types=[]) == []


def test_less_sure_findings_are_there_for_who_asks():
    assert find("123 45 6789") == []
    assert [finding.type for finding in find("123 45 6789", min_confidence=0.4)] == ["SSN"]
    assert find("123-45-6789", min_confidence=0.99) == []


def test_words_nearby_make_a_finding_surer():
    alone, named = find("123-45-6789")[0], find("SSN: 123-45-6789")[0]
    assert alone.confidence < named.confidence


def test_overlapping_findings_are_all_given_in_order():
    findings = find("from ::ffff:10.0.0.1 or +1-555-123-4567")
    assert findings == sorted(findings)
    assert [(finding.start, finding.end) for finding in findings] == [(5, 20), (12, 20), (24, 39), (25, 39)]


def test_addresses_that_say_nothing_of_anybody_are_left():
    for text in ("127.0.0.1", "0.0.0.0", "::1", "::", "255.255.255.0", "224.0.0.251", "[::1]:80", "::ffff:127.0.0.1"):
        assert found(text) == [], text


def test_placeholders_are_no_secrets():
    for value in (
        "<your-key>",
        "${SECRET}",
        "xxxxxxxxxxxx",
        "changeme",
        "********",
        "your-api-key-here",
        "{{ key }}",
        "%(key)s",
        "os.getenv",
    ):
        assert found(f'api_key = "{value}"') == [], value
        assert found(f"password={value}") == [], value


def test_a_private_key_is_covered_from_begin_to_end_and_as_far_as_it_goes():
    body = "\n".join(["QUJD" * 16] * 3)
    key = f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----"
    assert found(f"a\n{key}\nb") == [("SECRET", key)]
    cut = key[:150]
    assert found(cut) == [("SECRET", cut)]
    assert found(f"the words {key[:30]} begin one") == []


@pytest.mark.parametrize("line_end", ["\\n", "\n> ", "\n+", '\\n" +\n "'])
def test_a_private_key_in_a_string_in_a_quotation_or_in_a_diff(line_end):
    text = line_end.join(["-----BEGIN PRIVATE KEY-----", "QUJD" * 16, "QUJD" * 9, "-----END PRIVATE KEY-----"])
    assert found(f'"{text}"')[0] == ("SECRET", text)


def samples() -> st.SearchStrategy[str]:
    """Some of the corpus, which takes a while to make."""
    return st.sampled_from([s.text for s in positives(3)[::7]] + [s.text for s in negatives(3)[::40]])


@given(st.lists(st.deferred(samples), min_size=1, max_size=8), st.sampled_from(["\n", " ", ", ", " and "]), st.data())
def test_what_is_settled_never_changes(texts, between, data):
    """However much is still to come: the findings before `reach` are the whole text's, and none goes past it."""
    text = between.join(texts)
    cut = data.draw(st.integers(0, len(text)))
    settled = reach(text[:cut])
    assert 0 <= settled <= cut
    whole = [finding for finding in find(text) if finding.start < settled]
    assert [finding for finding in find(text[:cut]) if finding.start < settled] == whole
    assert all(finding.end <= settled for finding in whole)


@pytest.mark.parametrize(
    "text",
    [
        '"123456789" is his SSN, he says, and so on and on. ' * 3,
        'card "4222222222222" is a visa, an old one of thirteen figures; and more words follow here.',
        'password="hunter22"; mail john@example.com, call (212) 555-0123 or +44 20 7946 0958 today and tomorrow, please.',
        "IBAN GB82 WEST 1234 5698 7654 32 at 2001:db8::1 or 192.168.1.17:8080; Authorization: Bearer 0123456789abcdef01 and so on.",
        "jo\u200bhn%40example.com is \\u0031\\u0032\\u0033-45-6789 and https://u:s3cr3tpw@host/x?token=0123456789abcdef012345 end of it all.",
        "name,o'jansen\u200b@example.com and o\u200b'abbott@example.org, 'o'brien@example.com' and the others of them, more words",
        "before\n-----BEGIN PRIVATE KEY-----\nQUJDQUJDQUJDQUJDQUJD\n-----END PRIVATE KEY-----\nafter it some words and then an end\n",
    ],
)
def test_what_is_settled_never_changes_at_any_place(text):
    whole = find(text)
    assert whole
    for cut in range(len(text) + 1):
        settled = reach(text[:cut])
        assert [f for f in find(text[:cut]) if f.start < settled] == [f for f in whole if f.start < settled], text[:cut]
        assert all(f.end <= settled for f in whole if f.start < settled), text[:cut]


def test_a_growing_text_is_settled_all_but_its_end():
    prose = "Some words about nothing, with a number such as 42 and a name or two. " * 100
    minified = '{"a":1,"b":[2,3],"c":"d"},' * 300
    for text in (prose, minified, prose.replace(" ", "\n")):
        assert all(end - reach(text[:end]) < 200 for end in range(400, len(text), 97))


def test_a_private_key_that_has_not_ended_is_not_settled():
    start = "before\n-----BEGIN PRIVATE KEY-----\n"
    assert reach(start + "QUJD\n" * 500) == 7
    assert reach(start + "QUJD\n" * 5 + "-----END PRIVATE KEY-----\nafter\n") > 80
    assert reach("before\n-----BEGIN PRIVATE KEY-----\n" + "words without an end\n" * 5000) > 90_000


def seconds(text: str) -> float:
    began = time.process_time()
    find(text)
    return time.process_time() - began


UNITS = ["1", "1.", "1-", "1 ", "@", "a@", "a@a.", "-", ":", "::", "a:", "=", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", " ", "\n", "\\", "\\u0040", "%40", "é", "a\u200b", "漢",
         "eyJ", "eyJa.", "sk-", "://", "a://b:", "password=", "password='", "password=`", "<password>", "name: password\nvalue: ", "value: x\n", "Cookie: a=", "ENV a", "password: |\n ", "password: ", "token=\"", "+1", "+1 ", "020 ", "4-", "DE89 ", "2001:", "1.1.1.1.", "call ", "Bearer ", "QUJD", "'", "ssh "]  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_as_the_text_does(unit):
    short, long = unit * (50_000 // len(unit)), unit * (400_000 // len(unit))
    seconds(short)
    once = min(seconds(short) for _ in range(3))
    assert min(seconds(long) for _ in range(2)) < 24 * once + 0.02  # eight times as long; quadratic would be 64


@pytest.mark.parametrize("name", ["jane.roe@example.org.txt", "jane.roe@example.org.pdf"])
def test_a_file_named_after_an_address_holds_the_address(name):
    assert found(f"/home/{name}") == [("EMAIL", "jane.roe@example.org")]


@pytest.mark.parametrize("text", ["logo@2x.de.png", "user@host.conf", "icon@dark.log"])
def test_other_files_and_members_with_an_at_do_not(text):
    assert found(text) == []

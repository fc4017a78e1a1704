"""Personal data in more places and writings: numbers beside their words, rows of cards, addresses of both kinds, paths."""

import pytest

from pii.detectors import find


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.type, text[finding.start : finding.end]) for finding in find(text)]


FOUND = [
    ("nine-digit SSN is 078051120", "SSN", "078051120"),
    ("SSN 078051120", "SSN", "078051120"),
    ("my social 078051120 ok", "SSN", "078051120"),
    ("Sozialversicherung US ssn\n078051120", "SSN", "078051120"),
    ("| SSN | 078051120 |", "SSN", "078051120"),
    ("<ssn>078051120</ssn>", "SSN", "078051120"),
    ("078051120 is my social security number", "SSN", "078051120"),
    ('{"socialSecurityNumber":"078051120"}', "SSN", "078051120"),
    ("name,ssn\nbob,078051120", "SSN", "078051120"),
    ("4111 1111 1111 1111 5555 5555 5555 4444", "CREDIT_CARD", "4111 1111 1111 1111"),
    ("4111111111111111 5555555555554444", "CREDIT_CARD", "5555555555554444"),
    ("4111111111111111,5555555555554444,378282246310005", "CREDIT_CARD", "378282246310005"),
    ("| 4111 1111 1111 1111 | 5555 5555 5555 4444 |", "CREDIT_CARD", "5555 5555 5555 4444"),
    ("4111-1111-1111-1111 5555-5555-5555-4444", "CREDIT_CARD", "5555-5555-5555-4444"),
    ("4111111111111111\t12\t27\t123", "CREDIT_CARD", "4111111111111111"),
    ("1 4111111111111111 100", "CREDIT_CARD", "4111111111111111"),
    ("4111 1111 1111 1111  123  12", "CREDIT_CARD", "4111 1111 1111 1111"),
    ("2026-01-02 4111111111111111 50.00", "CREDIT_CARD", "4111111111111111"),
    ("cards: 4111111111111111 4012888888881881 5105105105105100", "CREDIT_CARD", "4012888888881881"),
    ("https://x.example/164-67-9270.png", "SSN", "164-67-9270"),
    ("scans/164-67-9270.pdf,", "SSN", "164-67-9270"),
    ("It was 164-67-9270.Then", "SSN", "164-67-9270"),
    ("photos/+14155552671.jpg", "PHONE", "+14155552671"),
    ("call +14155552671.Then", "PHONE", "+14155552671"),
    ("see (415) 555-2671.vcf", "PHONE", "(415) 555-2671"),
    ("tel: 415 555 2671.vcf", "PHONE", "415 555 2671"),
    ("2001:DB8::1", "IP_ADDRESS", "2001:DB8::1"),
    ("[2001:db8::1]:443", "IP_ADDRESS", "2001:db8::1"),
    ("2001:db8::/32", "IP_ADDRESS", "2001:db8::"),
    ("::ffff:c000:0280", "IP_ADDRESS", "::ffff:c000:0280"),
    ("::ffff:192.0.2.128", "IP_ADDRESS", "::ffff:192.0.2.128"),
    ("64:ff9b::192.0.2.33", "IP_ADDRESS", "64:ff9b::192.0.2.33"),
    ("64:ff9b::c000:221", "IP_ADDRESS", "64:ff9b::c000:221"),
    ("2002:c000:0204::1", "IP_ADDRESS", "2002:c000:0204::1"),
    ("fe80::1%eth0", "IP_ADDRESS", "fe80::1%eth0"),
    ("fe80::1%25eth0", "IP_ADDRESS", "fe80::1%25eth0"),
    ("2001:db8:1::", "IP_ADDRESS", "2001:db8:1::"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "IP_ADDRESS", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ("0:0:0:0:0:ffff:c000:280", "IP_ADDRESS", "0:0:0:0:0:ffff:c000:280"),
    ("0000:0000:0000:0000:0000:FFFF:129.144.52.38", "IP_ADDRESS", "0000:0000:0000:0000:0000:FFFF:129.144.52.38"),
    ("client=2001:db8::8a2e:370:7334;", "IP_ADDRESS", "2001:db8::8a2e:370:7334"),
    ("http://[fd12:3456:789a:1::1]/x", "IP_ADDRESS", "fd12:3456:789a:1::1"),
    ("2a00:1450:4001:81b::200e.443 >", "IP_ADDRESS", "2a00:1450:4001:81b::200e"),
    ("ip:2001:db8::1", "IP_ADDRESS", "2001:db8::1"),
    ("fc00::1", "IP_ADDRESS", "fc00::1"),
    ("inet6 addr:2001:db8::1/64", "IP_ADDRESS", "2001:db8::1"),
    ("::ffff:0:192.0.2.1", "IP_ADDRESS", "::ffff:0:192.0.2.1"),
    ("john@müller.de", "EMAIL", "john@müller.de"),
    ("jörg@bücher.example", "EMAIL", "jörg@bücher.example"),
    ("user@例え.jp", "EMAIL", "user@例え.jp"),
    ("用户@例子.中国", "EMAIL", "用户@例子.中国"),
    ("иван@почта.рф", "EMAIL", "иван@почта.рф"),
    ("a@xn--bcher-kva.de", "EMAIL", "a@xn--bcher-kva.de"),
    ("a@xn--80a1acny.xn--p1ai", "EMAIL", "a@xn--80a1acny.xn--p1ai"),
    ("δοκιμή@παράδειγμα.ελ", "EMAIL", "δοκιμή@παράδειγμα.ελ"),
    ("kim@한국.kr", "EMAIL", "kim@한국.kr"),
    ("/users/john@x.de/mails", "EMAIL", "john@x.de"),
    ("GET /users/john%40x.de/x", "EMAIL", "john%40x.de"),
    ("/u/123-45-6789/x", "SSN", "123-45-6789"),
    ("/cards/4111111111111111", "CREDIT_CARD", "4111111111111111"),
    ("/cards/4111111111111111/x", "CREDIT_CARD", "4111111111111111"),
    ("/hosts/10.1.2.3/x", "IP_ADDRESS", "10.1.2.3"),
    ("/hosts/2001:db8::1/x", "IP_ADDRESS", "2001:db8::1"),
    ("/iban/DE89370400440532013000/x", "IBAN", "DE89370400440532013000"),
    ("/tel/+14155550132/x", "PHONE", "+14155550132"),
    ("C:\\Users\\john@x.de\\a", "EMAIL", "john@x.de"),
    ("/users/ssn/078051120", "SSN", "078051120"),
    (
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        "IP_ADDRESS",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    ),
    ("PTR 7.113.0.203.in-addr.arpa", "IP_ADDRESS", "7.113.0.203.in-addr.arpa"),
]
LEFT = [
    "164-67-9270.5",
    "164-67-9270.example.org",
    "lib-164-67-9270.so.1",
    "415-555-2671.compute.internal",
    "415-555-2671-x",
    "nginx/1.25.3.1",
    "Chrome/120.0.0.0",
    "2.5.29.15",
    "2.5.29.17 subjectAltName",
    "OID 2.5.29.32",
    "1.3.6.1.5.5",
    "20.11.5.2",
    "§ 1.2.3.4",
    "Section 20.11.5.2",
    "Apache/2.4.41.1",
    "see 4.1.2.3 and 4.1.2.4",
    'AssemblyVersion("20.11.5.2")',
    "pkg-20.11.5.2",
    "Version 20.11.5.2",
    "foo 20.11.5.2 released",
    "Word 16.0.4266.1001",
    "oid=2.5.29.14",
    "2.5.4.3=CN",
    "order 4111111111111111",
    "Order no. 4111111111111111",
    "order_id=4111111111111111",
    "invoice 4111111111111111",
    "tracking number 4111111111111111",
    "a@b.zip",
    "foo@bar.zip",
    "mail@archive.zip",
    "pkg@1.2.3.zip",
    "logo@2x.png",
    "name@sha256:abc",
    "icon@3x.webp",
    "user@host.zip",
    "@scope/pkg.zip",
    "a@b.mov",
    "12:34:56::",
    "std::ffff:",
    "fe80::",
    "dead:beef::cafe",
]


@pytest.mark.parametrize(("text", "type_", "value"), FOUND)
def test_a_value_is_found_where_it_stands(text, type_, value):
    assert (type_, value) in [(f.type, text[f.start : f.end]) for f in find(text)]


@pytest.mark.parametrize("text", LEFT)
def test_versions_object_identifiers_orders_and_files_are_left(text):
    assert find(text) == []


@pytest.mark.parametrize("between", ["-", " - ", " to ", "..", "...", " -> ", "–"])
def test_both_ends_of_a_range_of_addresses_are_found(between):
    assert [text for _, text in found(f"93.184.216.34{between}93.184.216.40")] == ["93.184.216.34", "93.184.216.40"]


def test_two_versions_are_no_range_of_addresses():
    assert found("upgraded from 1.2.3.4 to 1.2.3.5") == found("version 5.1.2.3 -> 5.1.2.4") == []


@pytest.mark.parametrize("percent", ["%40", "%2540", "%252540", "%25252540"])
@pytest.mark.parametrize("text", ["jane.roe{}example.org", "to=jane.roe{}example.org&x=1"])
def test_an_address_is_found_however_often_it_is_escaped_for_addresses(text, percent):
    assert [type_ for type_, _ in found(text.format(percent))] == ["EMAIL"]


@pytest.mark.parametrize("reference", ["&#64;", "&amp;#64;", "&amp;amp;#x40;", "&amp;commat;"])
def test_an_address_is_found_however_often_it_is_escaped_for_html(reference):
    assert [type_ for type_, _ in found(f"<p>jane.roe{reference}example.org</p>")] == ["EMAIL"]


@pytest.mark.parametrize("invisible", ["\u00ad", "\u200b", "\u2060", "\ufeff", "&shy;"])
@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("IBAN", "FR14 2004 1010 0505 0001 3M02 606"), ("CREDIT_CARD", "4111 1111 1111 1111"), ("PHONE", "(415) 555-2671"),
        ("PHONE", "+1 415 555 2671"), ("SSN", "164-67-9270"), ("EMAIL", "john.doe@corp.org"), ("IP_ADDRESS", "192.0.2.44"),
    ],
)  # fmt: skip
def test_what_is_invisible_hides_nothing_wherever_it_stands(type_, value, invisible):
    for at in range(1, len(value)):
        text = f"it is {value[:at]}{invisible}{value[at:]} now"
        assert type_ in [name for name, _ in found(text)], text

"""Nothing of LunaRoute's own leaves it, and no page that a provider sends is one of LunaRoute's."""

import json

import pytest

from proxy.headers import POLICY, policy_for
from proxy.own import without_own
from tests.support.raw import assert_error

TOKEN = b"a-token-that-nobody-guesses"
COOKIES = [
    (b"lunaroute_session_8081=a; theirs=b", b"theirs=b"),
    (b"theirs=b; lunaroute_csrf_8081=a;x=y", b"theirs=b;x=y"),
    (b'a=1;  b="q; lunaroute_access=z; c=\xe9', b'a=1;  b="q; c=\xe9'),
    (b"lunaroute_session=a; lunaroute_access_1=b", None),
    (b"theirs=lunaroute_session; b", b"theirs=lunaroute_session; b"),
    (b"messages=x;a=b", b"a=b"),
    (b"a=b;;c", b"a=b;;c"),
]


@pytest.mark.parametrize(("sent", "left"), COOKIES)
def test_its_cookies_are_left_out_and_others_pass_byte_for_byte(raw, upstream, sent, left):
    raw.request(headers=b"Cookie: %b\r\nx-other: y\r\n" % sent)
    (request,) = upstream.requests
    assert [value for name, value in request.headers if name.lower() == b"cookie"] == (
        [left] if left is not None else []
    )
    assert (b"x-other", b"y") in request.headers


def test_its_tokens_are_left_out_of_whatever_header_they_came_in():
    theirs = [(b"Authorization", b"Bearer sk-x"), (b"Referer", b"https://docs.example/t"), (b"Host", b"localhost:8081")]
    own = [
        (b"authorization", b"Bearer " + TOKEN), (b"x-api-key", TOKEN), (b"X-Api-Key", b"lr_abc"), (b"Authorization", b"bearer lr_abc"),
        (b"Referer", b"http://localhost:8081/ui/sessions"), (b"referer", b"http://proxy.example/t/lr_abc/v1/x"),
        (b"Referer", b"https://other.example/?token=" + TOKEN),
    ]  # fmt: skip
    assert without_own([*own, *theirs], TOKEN) == theirs
    assert without_own(theirs, TOKEN) is theirs
    assert without_own([*theirs, *own], b"") == [*theirs, *own[:2], own[6]]


@pytest.mark.parametrize("path", [b"/dashboard", b"/docs", b"/robots.txt", b"/.env", b"/t/lr_secret/v1/messages"])
def test_what_no_provider_has_goes_to_none_and_the_404_helps(raw, upstream, path):
    answer = raw.request(b"GET", path, b"", b"cookie: lunaroute_session=x\r\n")
    assert_error(answer, "anthropic", 404, "/ui/", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL")
    assert b"lr_secret" not in answer.body
    assert not upstream.requests


def test_who_types_such_an_address_reads_a_text(raw, upstream):
    answer = raw.request(b"GET", b"/dashboard", b"", b"accept: text/html,*/*\r\n")
    assert (answer.status, answer.header(b"content-type")) == (404, b"text/plain; charset=utf-8")
    assert b"/ui/" in answer.body
    assert not upstream.requests


@pytest.mark.parametrize("path", [b"/v1/something/new", b"/api/oauth/profile", b"/backend-api/wham/usage"])
def test_what_is_below_a_vendors_prefix_passes(raw, upstream, path):
    raw.request(b"GET", path, b"")
    assert upstream.requests[-1].target.endswith(path.removeprefix(b"/v1"))


def test_a_page_of_a_providers_has_no_origin_and_runs_nothing(raw, upstream):
    async def script(exchange):
        await exchange.answer(200, b"<script>fetch('/sessions')</script>", ("content-type", "text/html"))

    upstream.script(script)
    answer = raw.request(b"GET", b"/v1/page", b"")
    assert answer.body == b"<script>fetch('/sessions')</script>"
    assert answer.header(b"content-security-policy") == b"sandbox; default-src 'none'"
    assert answer.header(b"x-content-type-options") == b"nosniff"


@pytest.mark.parametrize(
    "kinds",
    [[b"text/html"], [b"TEXT/HTML; charset=x"], [b"image/svg+xml"], [b"application/xhtml+xml"], [b"text/xml"], [b"application/xml"],
     [b"application/pdf"], [], [b""], [b"application/json", b"text/html"], [b"text/plain, text/html"], [b"multipart/x-mixed-replace"]],
)  # fmt: skip
def test_whatever_a_browser_could_run_gets_the_policy(kinds):
    assert policy_for(200, [(b"Content-Type", kind) for kind in kinds]) == POLICY


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b"text/event-stream",
        b"audio/mpeg",
        b"application/x-ndjson",
        b"image/png",
    ],
)
def test_what_assistants_get_passes_as_it_came(kind):
    assert policy_for(200, [(b"content-type", kind)]) == []


def test_an_answer_in_json_has_the_providers_headers_alone(raw, upstream):
    answer = raw.request(body=json.dumps({"model": "m", "messages": []}).encode())
    assert answer.header(b"content-security-policy") is None


@pytest.mark.parametrize(
    "cookie",
    [
        b"lunaroute_session_8081=x; Path=/", b" lunaroute_csrf=x", b"lunaroute_access_8081", b"=lunaroute_session=x", b"\t= lunaroute_a=x",
        b"messages=x; Path=/", b"=messages=x", b'"lunaroute_a"=x',
    ],
)  # fmt: skip
def test_a_provider_sets_no_cookie_of_lunaroutes(raw, upstream, cookie):
    async def script(exchange):
        await exchange.read_body()
        theirs = b"Set-Cookie: a=lunaroute_x; Path=/\r\nset-cookie: messagesX=1\r\n"
        ours = b"Set-Cookie: %b\r\nSET-COOKIE:%b\r\n" % (cookie, cookie)
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\n%b%b\r\n" % (theirs, ours))
        await exchange.send(b"HTTP/1.1 200 OK\r\n%b%bcontent-length: 2\r\n\r\n{}" % (ours, theirs))

    upstream.script(script)
    for answer in (raw.request(), raw.answer()):
        cookies = [value for name, value in answer.headers if name.lower() == b"set-cookie"]
        assert cookies == [b"a=lunaroute_x; Path=/", b"messagesX=1"], answer.head

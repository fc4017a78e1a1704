"""Who may see and use what: pages of other sites, other names, tokens, the owner's link."""

import http.cookiejar
import json
import os
import re
import stat
import urllib.error
import urllib.parse
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from lunaroute_site import access, owner
from proxy.forwarded import is_loopback, place_of
from proxy.guard import Guard
from proxy.throttle import ADDRESSES, FAILURES, WITHIN, Throttle
from tests.site.test_commands import run
from tests.support.raw import RawClient, assert_error
from tests.support.server import RunningServer, start_server

TOKEN = "a-token-that-nobody-guesses"
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-of-the-server", "OPENAI_API_KEY": "sk-of-the-server"}
BODY = json.dumps({"model": "m", "max_tokens": 1, "messages": []}).encode()
# What browsers send for a page of another site, and of another port of this machine.
FOREIGN = {
    "a form": b"Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
    "an old browser": b"Origin: https://evil.example\r\n",
    "a sandboxed frame": b"Origin: null\r\n",
    "another port": b"Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n",
    "no origin": b"Sec-Fetch-Site: cross-site\r\n",
    "another case": b"Sec-Fetch-Site: CROSS-SITE\r\n",
    "two sites": b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n",
    "two origins": b"Origin: https://evil.example\r\nOrigin: http://localhost\r\n",
}


# What browsers send for what is no page of another site: a link, the address bar, parts of pages, and where they do not trust
# an address they say less.
BROWSERS = {
    **FOREIGN,
    "a link": b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
    "the address bar": b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html,*/*;q=0.8\r\n",
    "a page of ours": b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
    "an image": b"Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
    "an extension": b"Origin: chrome-extension://abc\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: cors\r\n",
    "a page by an address that is not trusted": b"Accept: text/html,application/xhtml+xml;q=0.9\r\n",
    "an image by such an address": b"Accept: image/avif,image/webp,*/*;q=0.8\r\n",
}
# Node's fetch and WebSocket, curl, Python.
PROGRAMS = {
    "node": b"accept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n",
    "node's socket": b"sec-fetch-mode: websocket\r\n",
    "curl": b"accept: */*\r\n",
    "a list of types, and a key": b"accept: text/html, application/json\r\nx-api-key: k\r\n",
}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, provider):
    """A server with keys of its own, on loopback."""
    server = start_server(tmp_path_factory.mktemp("keyed"), provider.url, **KEYS)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, provider):
    """A server with keys and a token that listens on every address."""
    home = tmp_path_factory.mktemp("guarded")
    server = start_server(home, provider.url, LUNAROUTE_HOST="0.0.0.0", LUNAROUTE_AUTH_TOKEN=TOKEN, **KEYS)
    yield server
    assert server.stop() == 0


def ask(server: RunningServer, headers: bytes = b"", target: bytes = b"/v1/messages", host: bytes = b"", **options):
    host = host or b"localhost:%d" % server.port
    method = options.get("method", b"POST")
    with RawClient(server.port) as client:
        body = BODY if method == b"POST" else b""
        client.send(
            b"%b %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n%b"
            % (method, target, host, len(body), headers, body)
        )
        return client.answer(method)


# -- pages of other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize(("target", "dialect"), [(b"/v1/messages", "anthropic"), (b"/v1/responses", "openai")])
def test_a_page_of_another_site_reaches_no_provider_with_the_servers_key(keyed, upstream, headers, target, dialect):
    assert_error(ask(keyed, headers, target), dialect, 403, "another site")
    assert not upstream.requests


def test_nor_does_a_websocket_of_such_a_page(keyed, upstream):
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://localhost:{keyed.port}/v1/responses", origin="https://evil.example", proxy=None).close()
    assert refused.value.response.status_code == 403
    assert not upstream.requests


def test_nor_does_one_that_names_its_origin_and_another(keyed, upstream):
    handshake = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    own, foreign = b"Origin: http://localhost:%d\r\n" % keyed.port, b"Origin: https://evil.example\r\n"
    for origins in (own + foreign, foreign + own):
        assert ask(keyed, handshake + origins, b"/v1/responses", method=b"GET").status in (400, 403)
    assert not upstream.requests


def test_nor_does_a_name_that_somebody_pointed_here(keyed, upstream):
    host = b"evil.example:%d" % keyed.port
    assert_error(ask(keyed, b"Origin: http://%b\r\n" % host, host=host), "anthropic", 403, "not the name")
    assert not upstream.requests


def test_clients_pass(keyed, upstream):
    assert ask(keyed).status == 200
    assert ask(keyed, host=b"127.0.0.1:%d" % keyed.port).status == 200
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
@pytest.mark.parametrize("target", [b"/v1/page", b"/v1/messages", b"/api/oauth/profile", b"/t/lr_x/v1/page"])
def test_no_browser_reaches_a_provider_with_or_without_a_key_of_the_servers(server, upstream, headers, target):
    for method in (b"GET", b"POST"):
        answer = ask(server, headers + b"x-session-id: known\r\n", target, method=method)
        assert answer.status in (403, 404), answer
        assert b"/ui/" in answer.body
    assert not upstream.requests
    assert not server.rows("select 1 from sessions where session_id = 'known'")


@pytest.mark.parametrize(
    "host", [b"evil.example", b"evil.example:8081", b"127.0.0.1.evil.example", b"localhost.evil.example"]
)
def test_by_rebinding_nothing_is_read_and_nothing_recorded(server, upstream, host):
    for method, target in ((b"GET", b"/v1/models"), (b"POST", b"/v1/messages")):
        assert_error(
            ask(server, b"x-api-key: k\r\n", target, host, method=method),
            "anthropic" if method == b"POST" else "openai",
            403,
            "allowed_hosts",
        )
    assert not upstream.requests


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST:1",
        b"x.localhost",
        b"127.0.0.1",
        b"[::1]:8081",
        b"192.168.7.7:8081",
        b"lunaroute:8081",
        b"host.docker.internal:8081",
    ],
)
def test_names_and_numbers_of_this_machine_pass(server, upstream, host):
    assert ask(server, host=host).status == 200


@pytest.mark.parametrize("headers", PROGRAMS.values(), ids=PROGRAMS)
def test_programs_pass(server, upstream, headers):
    assert ask(server, headers).status == 200


def test_a_key_that_is_given_in_the_admin_is_guarded_from_the_next_request_on(start, upstream):
    server = start("serve", LUNAROUTE_AUTH_TOKEN=TOKEN)
    assert ask(server).status == 200
    code = (
        "from routing.models import Provider; from routing import keys; "
        "p = Provider(name='mine', provider_type='anthropic', base_url='http://127.0.0.1:9'); p.set_key('sk-x'); p.save()"
    )
    done = run(server.home.parent, "shell", "-c", code, LUNAROUTE_AUTH_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert ask(server).status == 401


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("target", [b"/sessions", b"/api/stats/overview", b"/metrics", b"/ui/", b"/admin/login/"])
def test_nor_do_they_reach_pages_and_api(keyed, headers, target):
    for method in (b"GET", b"POST"):
        assert ask(keyed, headers, target, method=method).status == 403


def test_a_link_to_a_page_may_stand_anywhere(keyed):
    link = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
    assert ask(keyed, link, b"/ui/sessions", method=b"GET").status == 200
    framed = link.replace(b"document", b"iframe")
    assert ask(keyed, framed, b"/ui/sessions", method=b"GET").status == 403


def test_pages_know_their_names(keyed, start):
    answer = ask(keyed, target=b"/ui/", host=b"evil.example", method=b"GET")
    assert (answer.status, b"allowed_hosts" in answer.body) == (400, True)
    server = start(LUNAROUTE_ALLOWED_HOSTS="evil.example, other.example")
    assert ask(server, target=b"/ui/", host=b"evil.example", method=b"GET").status == 200


# -- the token ----------------------------------------------------------------------------------------------------


def test_on_other_addresses_no_server_starts_without_a_token(tmp_path):
    for host in ("0.0.0.0", "::"):
        done = run(tmp_path, "--host", host, "serve")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"lunaroute-server: host [0.:]+: .*LUNAROUTE_AUTH_TOKEN.*127\.0\.0\.1\n", done.stderr)


def test_a_token_is_long(tmp_path):
    done = run(tmp_path, "serve", LUNAROUTE_AUTH_TOKEN="short")
    assert done.returncode == 2
    assert "LUNAROUTE_AUTH_TOKEN" in done.stderr
    assert "16 ASCII characters" in done.stderr
    assert "short" not in done.stderr.replace("shorter", "")


@pytest.mark.parametrize(
    "path", ["/sessions", "/api/stats/overview", "/metrics", "/api/docs", "/static/lunaroute/app.css"]
)
def test_it_is_asked_of_api_and_metrics(guarded, path):
    is_public = path.startswith("/static")
    status, headers, _ = guarded.get(path)
    assert status == (200 if is_public else 401)
    assert is_public or headers["WWW-Authenticate"].startswith("Bearer")
    assert guarded.get(path, {"Authorization": "Bearer wrong-token-wrong-token"})[0] == (200 if is_public else 401)
    assert guarded.get(path, {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert guarded.get(path, {"x-lunaroute-token": TOKEN})[0] == 200


def test_whether_it_answers_is_nobodys_secret(guarded):
    assert guarded.get("/healthz")[0] == 200


def test_a_browser_gives_it_once(guarded):
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    browser.addheaders = [("Accept", "text/html")]
    page = browser.open(f"{guarded.url}/ui/sessions?text_search=x", timeout=15)
    assert urllib.parse.urlsplit(page.url).path == "/login"
    form = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode()).group(1)

    def give(token: str, url: str = page.url):
        fields = {"csrfmiddlewaretoken": form, "token": token}
        return browser.open(url, urllib.parse.urlencode(fields).encode(), timeout=15)

    with pytest.raises(urllib.error.HTTPError) as wrong:
        give("not-the-token-at-all")
    assert wrong.value.code == 401
    assert b"This is not the token" in wrong.value.read()
    assert give(TOKEN).url == f"{guarded.url}/ui/sessions?text_search=x"
    (cookie,) = [cookie for cookie in jar if cookie.name == f"lunaroute_access_{guarded.port}"]
    assert TOKEN not in cookie.value
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert browser.open(f"{guarded.url}/ui/", timeout=15).url == f"{guarded.url}/ui/"
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        target = f"{guarded.url}/login?next={urllib.parse.quote(elsewhere)}"
        assert give(TOKEN, target).url == f"{guarded.url}/ui/"


@pytest.mark.parametrize(("page", "field"), [("/admin/login/", "password"), ("/login", "token")])
def test_who_guesses_waits(start, page, field):
    server = start(LUNAROUTE_AUTH_TOKEN=TOKEN)
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    browser.addheaders = [("x-lunaroute-token", TOKEN)] if page != "/login" else []
    form = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.open(f"{server.url}{page}").read().decode())
    fields = urllib.parse.urlencode(
        {"csrfmiddlewaretoken": form.group(1), "username": "owner", field: "a guess"}
    ).encode()
    seen = []
    for _ in range(FAILURES + 2):
        try:
            seen.append(browser.open(f"{server.url}{page}", fields).status)
        except urllib.error.HTTPError as error:
            seen.append(error.code)
            after = error.headers.get("Retry-After")
    assert seen[:FAILURES] == [200 if page == "/admin/login/" else 401] * FAILURES
    assert seen[FAILURES:] == [429, 429]
    assert 0 < int(after) <= WITHIN


def test_a_throttle_forgets_after_its_time_and_holds_a_bounded_number():
    now = 0.0
    throttle = Throttle(lambda: now)
    for _ in range(FAILURES - 1):
        throttle.failed("a")
    assert throttle.wait("a") == 0
    throttle.failed("a")
    now = 10.0
    assert throttle.wait("a") == WITHIN - 10
    assert throttle.wait("b") == 0
    now = WITHIN
    assert throttle.wait("a") == 0
    for number in range(ADDRESSES + 5):
        throttle.failed(str(number))
    assert len(throttle._failures) == ADDRESSES


def test_who_goes_on_with_one_wrong_token_has_guessed_once():
    throttle = Throttle(lambda: 0.0)
    for _ in range(3 * FAILURES):
        throttle.failed("a", b"an old token")
    assert throttle.wait("a") == 0


def test_a_token_that_was_right_passes_while_others_of_its_address_wait():
    throttle = Throttle(lambda: 0.0)
    throttle.passed("10.0.0.7", b"right")
    for number in range(FAILURES):
        throttle.failed("10.0.0.7", b"%d" % number)
    assert throttle.wait("10.0.0.7", b"right") == 0
    assert throttle.wait("10.0.0.7", b"another") > 0
    assert throttle.wait("10.0.0.8", b"another") == 0


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
    ],
)
def test_an_ipv6_network_is_one_place(one, other, is_same):
    assert (place_of(one) == place_of(other)) is is_same


def test_wrong_bearers_and_cookies_are_guesses_and_the_right_token_is_not_slowed(start):
    server = start(LUNAROUTE_AUTH_TOKEN=TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert server.get("/sessions", right)[0] == 200
    cookie = f"lunaroute_access_{server.port}"
    guesses = [
        {"Authorization": "Bearer a"},
        {"x-lunaroute-token": "b"},
        {"Cookie": f"{cookie}=c"},
        {"Authorization": "Bearer d"},
    ]
    for guess in [*guesses, {"Cookie": f"{cookie}=e"}]:
        assert server.get("/sessions", guess)[0] == 401
    status, headers, _ = server.get("/sessions", {"Authorization": "Bearer f"})
    assert status == 429
    assert 0 < int(headers["Retry-After"]) <= WITHIN
    assert server.get("/sessions", right)[0] == 200


def test_the_cookie_of_another_port_home_or_machine_is_none(monkeypatch):
    port = access.settings.LUNAROUTE.port
    value = access.cookie_value(TOKEN, "10.0.0.7")
    assert access.cookie_value(TOKEN, "10.0.0.7") == value
    assert access.cookie_value(TOKEN, "10.0.0.8") != value
    assert access.cookie_value(TOKEN, "127.0.0.1") == access.cookie_value(TOKEN, "::1")
    monkeypatch.setattr(access.settings, "SECRET_KEY", "of another home")
    assert access.cookie_value(TOKEN, "10.0.0.7") != value
    monkeypatch.undo()
    other = access.settings.LUNAROUTE.model_copy(update={"port": port + 1})
    monkeypatch.setattr(access.settings, "LUNAROUTE", other)
    assert access.cookie_value(TOKEN, "10.0.0.7") != value


def test_sockets_ask_for_it(guarded):
    address = f"ws://localhost:{guarded.port}/ui/live"
    with pytest.raises(InvalidStatus) as refused:
        connect(address, proxy=None).close()
    assert refused.value.response.status_code == 403


def test_the_proxy_asks_for_it_where_it_has_a_key(guarded, upstream):
    assert_error(ask(guarded), "anthropic", 401, "LUNAROUTE_AUTH_TOKEN", "x-lunaroute-token")
    assert_error(ask(guarded, target=b"/v1/responses"), "openai", 401, "x-lunaroute-token")
    assert ask(guarded, b"x-lunaroute-token: wrong-token-wrong-token\r\n").status == 401
    assert not upstream.requests
    assert ask(guarded, b"X-LunaRoute-Token: %b\r\n" % TOKEN.encode()).status == 200
    (received,) = upstream.requests
    assert b"x-lunaroute-token" not in {name.lower() for name, _ in received.headers}
    guarded.wait_recorded(1)
    for path in guarded.home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_guard_takes_any_name_where_a_token_is_asked_for():
    guard = Guard(("*",), TOKEN)
    headers = [(b"Host", b"lunaroute.example:8081"), (b"x-lunaroute-token", TOKEN.encode())]
    assert guard.refusal(headers) is None
    assert guard.asks_token(headers, None) is None
    assert guard.asks_token(headers[:1], None).status == 401


# -- the owner's link ---------------------------------------------------------------------------------------------


def link_of(output: str) -> str:
    return re.findall(r"http://\S+/owner/\S+", output)[-1]


def enter(link: str) -> tuple[int, str]:
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    try:
        page = browser.open(link, timeout=15)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    return page.status, page.read().decode()


def test_the_owners_link_works_once(start):
    server = start()
    link = link_of(server.output())
    assert stat.S_IMODE(os.stat(server.home / owner.FILE).st_mode) == 0o600
    assert link.rpartition("/")[2] not in (server.home / owner.FILE).read_text()
    assert enter(f"{link}x")[0] == 403
    status, page = enter(link)
    assert status == 200
    assert "Site administration" in page
    assert enter(link)[0] == 403
    done = run(server.home.parent, "login")
    assert done.returncode == 0
    assert enter(link_of(done.stdout))[0] == 200
    assert link.rpartition("/")[2].encode() not in (server.home / "db.sqlite3").read_bytes()


def test_the_owners_link_stands_for_the_token(start):
    server = start(LUNAROUTE_AUTH_TOKEN=TOKEN)
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    assert "Site administration" in browser.open(link_of(server.output()), timeout=15).read().decode()
    assert browser.open(f"{server.url}/ui/settings", timeout=15).url.endswith("/ui/settings")
    assert server.get("/ui/settings")[0] == 401


def test_there_is_no_link_without_a_server(tmp_path):
    done = run(tmp_path, "login")
    assert done.returncode == 1
    assert "is not running" in done.stderr


def test_a_link_ends_after_a_minute(tmp_path, monkeypatch):
    token = owner.make_link(tmp_path, "http://h").rpartition("/")[2]
    real = owner.time.time
    monkeypatch.setattr(owner.time, "time", lambda: real() + owner.VALID)
    assert not owner.use(tmp_path, token)
    monkeypatch.undo()
    assert owner.use(tmp_path, token)
    assert not owner.use(tmp_path, token)


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False),
        ("", False),
        ("fe80::1%eth0", False),
    ],
)
def test_it_is_for_this_machine(address, is_own):
    assert is_loopback(address) is is_own

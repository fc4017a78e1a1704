"""Whatever stands in a recorded text, a page shows it as text: no element, attribute or address is made of it."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from sessions.models import Exchange, Session, ToolCall
from tests.support.databases import sqlite_only
from tests.support.exchanges import compact

# Ends an attribute of either quotes, an element, a comment, a script and a text area, and then begins an element.
EVIL = "\"'></script></textarea></title>--><evil onload=evil() style='x'>{{7*7}}${7*7}\x1b[2J"
MARKDOWN = (
    f"[a](javascript:evil()) [b](data:text/html,evil) [c](vbscript:evil) [d](<//evil.example>) ![e](https://evil.example/e.png) "
    f"<img src=x onerror=evil()> <https://evil.example/{EVIL}> `{EVIL}` **{EVIL}** | {EVIL} |\n```{EVIL}\n{EVIL}\n```\n# {EVIL}"
)
SAID = f"{EVIL}\n{MARKDOWN}"


class Found(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "evil":
            self.problems.append(f"an element: {attrs}")
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or (name == "style" and "evil" in text):
                self.problems.append(f"{tag} {name}={text}")
            if name in ("href", "src", "action", "formaction", "srcset", "poster", "data") and tag != "meta":
                foreign = text.startswith(("javascript:", "vbscript:", "data:text", "//")) or (
                    tag not in ("a",) and "evil.example" in text
                )
                if foreign:
                    self.problems.append(f"{tag} {name}={text}")


@pytest.fixture
def hostile(record) -> Session:
    """A session with such texts wherever one may stand."""
    tool = {"name": EVIL, "description": SAID, "input_schema": {"type": "object", "properties": {EVIL: {"type": EVIL}}}}
    calls = [
        {"type": "thinking", "thinking": SAID, "signature": EVIL},
        {"type": "text", "text": SAID},
        {
            "type": "tool_use",
            "id": EVIL,
            "name": EVIL,
            "input": {EVIL: SAID, "file_path": EVIL, "old_string": SAID, "new_string": EVIL},
        },
        {
            "type": "tool_use",
            "id": "t2",
            "name": "Edit",
            "input": {"file_path": EVIL, "old_string": SAID, "new_string": EVIL},
        },
        {"type": EVIL, EVIL: EVIL},
    ]
    answer = compact({
        "id": EVIL, "type": "message", "role": "assistant", "model": EVIL, "stop_reason": EVIL, "content": calls,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    })  # fmt: skip
    head = {"model": EVIL, "system": SAID, "tools": [tool]}
    said = [{"role": "user", "content": SAID}]
    headers = [
        ("user-agent", EVIL.replace("\x1b", "")),
        ("x-project-id", EVIL.replace("\x1b", "")),
        ("x-evil", MARKDOWN.replace("\n", " ").replace("\x1b", "")),
    ]
    record(compact({**head, "messages": said}), answer, headers=headers)
    results = [
        {"type": "tool_result", "tool_use_id": EVIL, "content": SAID, "is_error": True},
        {
            "type": "tool_result",
            "tool_use_id": "t2",
            "content": [
                {"type": "text", "text": SAID},
                {"type": "image", "source": {"type": "base64", "media_type": EVIL, "data": "aGk="}},
            ],
        },
    ]
    said += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    record(compact({**head, "messages": said}), b"not JSON " + EVIL.encode(), headers=headers)
    routing = {
        "rule": EVIL,
        "why": EVIL,
        "provider": EVIL,
        "provider_type": EVIL,
        "model": EVIL,
        "attempts": [{"provider": EVIL, "status": 500, "duration_ms": 1.0, "why": EVIL}],
        "notes": [EVIL],
    }
    Exchange.objects.update(
        error=EVIL, client=EVIL[:32], provider=EVIL[:64], finish_reason=EVIL[:64], model_used=EVIL, client_ip=EVIL[:64],
        path=f"/{EVIL}", query=EVIL, method=EVIL[:16], routing=routing,
    )  # fmt: skip
    ToolCall.objects.update(name=EVIL)
    session = Session.objects.get()
    Session.objects.update(
        title=EVIL, client=EVIL[:32], provider=EVIL[:64], model_used=EVIL, model_tokens={EVIL: 5}, project=EVIL, tags=[EVIL],
        client_ip=EVIL[:64], user_agent=EVIL, error=EVIL, completed_at=datetime.now(UTC), cost_usd=1.0,
    )  # fmt: skip
    return session


PAGES = [
    "/ui/", "/ui/sessions", "/ui/sessions?text_search=evil", "/ui/sessions?model={evil}&project={evil}&tag={evil}&text_search={evil}",
    "/ui/analytics", "/ui/analytics/redactions", "/ui/routing", "/ui/routing?model={evil}&path={evil}", "/ui/settings", "/ui/pii/?text={evil}",
    "/ui/sessions/{id}", "/ui/sessions/{id}/outline", "/ui/sessions/{id}/chart", "/ui/sessions/{id}/diff",
    "/ui/sessions/{id}/exchanges/{first}", "/ui/sessions/{id}/exchanges/{second}", "/ui/sessions/{evil}",
    "/sessions/{id}/export?format=html", "/login?next={evil}",
    "/admin/record/session/", "/admin/record/exchange/", "/admin/record/toolcall/", "/admin/record/session/?q={evil}",
    "/admin/record/session/{pk}/change/", "/admin/record/exchange/{exchange}/change/",
]  # fmt: skip


@sqlite_only
def test_nothing_in_a_recorded_text_becomes_part_of_a_page(hostile, settings):
    settings.ALLOWED_HOSTS = ["*"]
    owner = get_user_model().objects.create_superuser("owner")
    client = Client(headers={"accept": "text/html"}, raise_request_exception=False)
    client.force_login(owner)
    first, second = Exchange.objects.order_by("pk")
    names = {
        "id": hostile.session_id,
        "first": first.request_id,
        "second": second.request_id,
        "pk": hostile.pk,
        "exchange": first.pk,
        "evil": quote(EVIL, safe=""),
    }
    shown = 0
    for page in PAGES:
        answer = client.get(page.format(**names))
        assert answer.status_code in (200, 302, 400, 404, 422), (page, answer.status_code)
        text = (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()
        assert not Found(text).problems, (page, Found(text).problems)
        shown += "evil" in text
    assert shown > len(PAGES) // 2

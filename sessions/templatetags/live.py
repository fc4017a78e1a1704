"""What a page says to static/lunaroute/live.js."""

import json

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions.live_view import version_of

register = template.Library()


@register.simple_tag(takes_context=True)
def live(context: template.Context) -> SafeString:
    """Attributes of the element that holds a session's articles: whom to follow, and what it has.

    Reads ``session``, ``turns`` and ``pages`` of the context. The last page shows what is new, the others what changes.
    """
    turns, pages = context["turns"], context.get("pages") or {}
    first = turns[0].number if turns else 1
    is_last = pages.get("number") == pages.get("last")
    asked: dict[str, object] = {"have": {turn.row.request_id: version_of(turn) for turn in turns}, "first": first}
    if not is_last:
        asked["last"] = turns[-1].number
    return format_html(
        'data-live="/ui/live/sessions/{}" data-live-have="{}"', context["session"].session_id, json.dumps(asked)
    )

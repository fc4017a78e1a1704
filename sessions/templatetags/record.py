"""Figures as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from sessions.browser.diffs import Line
from sessions.browser.marks import marks

register = template.Library()


@register.filter
def compact(number: float | None) -> str:
    """12.4k, 3.1M; small numbers as they are."""
    if number is None:
        return "–"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            value = number / limit
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}".removesuffix(".0") + unit
    return f"{number:.0f}"


@register.filter
def usd(amount: float | None) -> str:
    """$0.14, $0.0031; a dash where no price is known."""
    if amount is None:
        return "–"
    if amount < 0:
        return f"−{usd(-amount)}"
    if amount >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.0001 else "<$0.0001"


@register.filter
def duration(milliseconds: float | None) -> str:
    """0.4 ms, 45 ms, 2.3 s, 1 min 20 s."""
    if milliseconds is None:
        return "–"
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


@register.filter
def size(count: int | None) -> str:
    """812 B, 12.4 kB, 3.1 MB."""
    if count is None:
        return "–"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count} B"


@register.simple_tag
def moment(time: datetime | None) -> SafeString | str:
    """A time that app.js shows in the reader's own zone."""
    if time is None:
        return "–"
    utc = time.astimezone(UTC)
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M UTC"))


@register.filter
def by_type(counts: dict[str, int]) -> str:
    """3 EMAIL, 1 SSN: the most first."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


@register.filter
def total(counts: dict[str, int]) -> int:
    """The sum of counts by type."""
    return sum(counts.values())


@register.filter
def marked(text: str) -> SafeString:
    """Text with what redaction left in it marked, each token a link to those equal to it."""
    return marks().html(str(text))


@register.filter
def marked_in_link(text: str) -> SafeString:
    """The same where there can be no link."""
    return marks().html(str(text), links=False)


@register.filter
def snippet(parts: Iterable[tuple[str, bool]]) -> SafeString:
    """A snippet's parts within a link: with what redaction left marked, and what was searched for in <mark>."""
    pieces = [("mark" if hit else "", text) for text, hit in parts]
    return mark_safe(marks().around(pieces, _stressed, _stressed, links=False))


@register.filter
def changed(line: Line) -> SafeString:
    """A line of a diff, with what changed in it, and what redaction left."""
    pieces = [("", line.before), ("b", line.changed), ("", line.after)]
    return mark_safe(marks().around(pieces, _stressed, _stressed))


def _stressed(pieces: list[tuple[str, str]]) -> str:
    """Give pieces as HTML, each in the element that its note names."""
    return "".join(f"<{tag}>{escape(text)}</{tag}>" if tag and text else escape(text) for tag, text in pieces)

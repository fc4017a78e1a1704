"""Figures as people read them."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

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

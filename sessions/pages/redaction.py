"""A page to try redaction on: what would be found in a text, and what would be stored of it."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from pii.edits import Edit
from pii.findings import Finding
from pii.json_text import looks_like_json, project
from pii.redactor import Redactor
from sessions.pages import page

# Characters that are examined at once.
LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the text; with a finding, and what replaces it, where it is a value."""

    text: str
    finding: Finding | None = None
    replacement: str = ""


@page
@never_cache
@sensitive_variables()
@sensitive_post_parameters("text")
def attempt(request: HttpRequest) -> HttpResponse:
    """Show what redaction does to the text of the form, by the configuration in force. Nothing of it is kept."""
    pii = settings.LUNAROUTE.session_recording.pii
    context: dict[str, object] = {"place": "settings", "pii": pii, "longest": LONGEST}
    if request.method == "POST":
        text = request.POST.get("text", "").replace("\r\n", "\n")
        context["text"] = text[:LONGEST]
        if len(text) > LONGEST:
            context["problem"] = f"The text has {len(text):,} characters; up to {LONGEST:,} are examined here at once."
        else:
            context |= _examined(Redactor(pii.policy()), text)
    return render(request, "figures/redaction.html", context)


def _examined(redactor: Redactor, text: str) -> dict[str, object]:
    redacted = redactor.json(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    if redactor.counts["FAILED"]:
        return {
            "problem": "A detector failed, so nothing of this text would be stored. The log has the cause.",
            "text": text,
        }
    read = project(text, looks_like_json(text)).text  # escapes of JSON are no part of a value
    stretches = _stretches(read, redactor.find(read), redactor.edits(read))
    return {
        "stretches": stretches,
        "values": [stretch for stretch in stretches if stretch.finding],
        "redacted": redacted,
        "is_json": looks_like_json(text),
    }


def _stretches(text: str, findings: list[Finding], edits: list[Edit]) -> list[Stretch]:
    replacements = {edit.start: edit.replacement for edit in edits}
    stretches, at = [], 0
    for finding in findings:
        value = text[finding.start : finding.end]
        stretches += [Stretch(text[at : finding.start]), Stretch(value, finding, replacements.get(finding.start, ""))]
        at = finding.end
    return [stretch for stretch in (*stretches, Stretch(text[at:])) if stretch.text]

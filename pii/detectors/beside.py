"""Secrets without a form of their own that are known by a word beside them: the vendor's name, or Kubernetes' `kind: Secret`.

Shapes as gitleaks, betterleaks and TruffleHog have them (2026): UUIDs, 32 to 64 hexadecimal digits, 20 to 64 letters and
figures."""

from collections.abc import Iterator

from pii.detectors.base import Hit, look, search
from pii.detectors.stretches import near
from pii.detectors.worth import is_placeholder, is_token

_VENDORS = (
    r"adafruit|airtable|algolia|amplitude|asana|assemblyai|atlassian|bitbucket|bitly|cloudflare|cloudinary|codecov|cohere|coinbase|confluent"
    r"|contentful|coveralls|datadog|dd_?(?:api|app)|deepgram|deepseek|discord|dropbox|etsy|fastly|finnhub|flickr|fullstory|gumroad|heroku|honeycomb"
    r"|hubspot|intercom|jumpcloud|kucoin|kraken|launchdarkly|lokalise|mailgun|mapbox|meraki|mistral|netlify|new_?relic|okta|openweather(?:map)?"
    r"|ovh|pagerduty|pinecone|plaid|plivo|rollbar|scaleway|segment|sendbird|shodan|snyk|sonar|splunk|squarespace|sumo_?logic|travis|circle_?ci"
    r"|twilio|twitch|virustotal|vultr|wakatime|wandb|weatherstack|zendesk|zoom"
)
_NAME, _ASSIGNED = r"[A-Za-z0-9_. -]{0,24}", r"[\"'`\])]{0,2}[ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4}[\"'`]{0,2}"
_BEGINS = search(rf"(?i)(?:^|[^A-Za-z0-9])(?:{_VENDORS}){_NAME}{_ASSIGNED}[A-Za-z0-9][A-Za-z0-9_-]{{19}}")
_PARTS = look(rf"(?i)[^A-Za-z0-9]?(?:{_VENDORS})(?P<name>{_NAME}){_ASSIGNED}")
_VALUE = look(
    r"(?:(?P<shape>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32,64})"
    r"|(?=[^A-Z]{0,63}[A-Z])(?=[^a-z]{0,63}[a-z])[A-Za-z0-9_-]{20,64}={0,2})(?![A-Za-z0-9_./+@:-])"
)
# What else stands beside vendors' names and looks the same.
_NO_SECRET = search(
    r"(?i)(?:^|[^a-z])(?:id|ids|uuid|guid|sha\d*|hash|digest|checksum|md5|commit|rev|revision|ref|version|etag|image|tag|url|uri|host|trace|span|request"
    r"|ray|job|build|run|event|file|path|index|name|user|org|team|project|zone|channel|public|publishable|issue)s?(?:$|[^a-z])"
)


def _named(data: bytes) -> Iterator[Hit]:
    for match in _BEGINS.finditer(data):
        parts = _PARTS.match(data, match.start())
        value = parts and _VALUE.match(data, parts.end())
        if not parts or not value or _NO_SECRET.search(parts["name"]):
            continue
        if value["shape"] or is_token(value.group()):
            yield *value.span(), 0.8, "vendor-name"


_SECRET = search(r"(?:^|[\s{,\"])\"?kind\"?[ \t]{0,2}:[ \t]{0,2}\"?Secret\b")
_SECRETS_KIND = search("Secret")
_WINDOW = 4096  # characters before and after it in which its data stands
_DATA = search(r"(?m)^[ \t]*data:[ \t]*\n(?:[ \t]+[^\n]*(?:\n|$))+|\"data\"[ \t]*:[ \t\n]*\{[^{}]*\}")
_ENTRY = look(
    r"(?P<indent>[ \t]*)[\"']?[\w.-]{1,253}[\"']?[ \t]{0,8}:[ \t]{0,8}[\"']?(?P<value>[A-Za-z0-9+/]{4,}={0,2})[\"']?[ \t]*$"
)


def _of_kubernetes(data: bytes) -> Iterator[Hit]:
    """Values of `data` of a Secret: base64 (Kubernetes' API, core/v1)."""
    done = 0
    for match in _SECRET.finditer(data, near(data, (_SECRETS_KIND,), 13, 8)):
        start, end = max(match.start() - _WINDOW, done), match.end() + _WINDOW
        if end <= done:
            continue
        done = max(done, min(end, len(data)))
        for block in _DATA.finditer(data[start:done]):
            yield from _entries(block.group(), start + block.start())


def _entries(block: bytes, start: int) -> Iterator[Hit]:
    is_json = block[:1] == b'"'
    indent = len(block) - len(block.lstrip(b" \t"))
    at = block.index(b"{" if is_json else b"\n") + 1
    for line in block[at:].replace(b"}", b",").replace(b",", b"\n").split(b"\n"):
        entry = _ENTRY.match(line)
        if not is_json and line.strip() and len(line) - len(line.lstrip(b" \t")) <= indent:
            break
        if entry and len(entry["value"]) % 4 == 0 and not is_placeholder(entry["value"]):
            first, last = entry.span("value")
            yield start + at + first, start + at + last, 0.85, "kubernetes-secret"
        at += len(line) + 1


def beside(data: bytes) -> Iterator[Hit]:
    """Find keys beside their vendor's name, and what Kubernetes' Secrets hold."""
    yield from _named(data)
    yield from _of_kubernetes(data)

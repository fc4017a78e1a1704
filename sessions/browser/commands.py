"""Commands for a shell: a request sent again, a session gone on with in its client."""

import re
from shlex import quote

from routing.credentials import names_a_credential
from sessions.models import Exchange, Session

# As the clients' own `--help` has them.
_RESUME = {"claude-code": "claude --resume", "codex": "codex resume", "opencode": "opencode -s"}
# An id that begins with a dash would be an option.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
# What curl says by itself, what would come back compressed, and what is about one connection.
_NOT_SENT = frozenset((
    "host", "content-length", "accept-encoding", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "expect", "proxy-connection",
))  # fmt: skip
_CREDENTIALS = {"anthropic": "x-api-key: $ANTHROPIC_API_KEY", "openai": "Authorization: Bearer $OPENAI_API_KEY"}
# Bytes of a body that stands in the command itself.
MAX_INLINE = 4096


def resume_command(session: Session) -> str:
    """Give the command that goes on with a session, or "" where its client is not known."""
    begin = _RESUME.get(session.client)
    return f"{begin} {session.session_id}" if begin and _ID.match(session.session_id) else ""


def curl_command(row: Exchange, body: bytes | None, address: str) -> str:
    """Give the command that sends a request again through LunaRoute at `address`, or "" where that cannot be done.

    The credential is a variable of the shell's; a long body is fetched from the record.
    """
    if body is None or row.transport != "http":
        return ""
    parts = ["curl -sS --globoff --path-as-is"]
    if row.is_streaming:
        parts[0] += " -N"
    parts[0] += " --head" if row.method == "HEAD" else f" -X {quote(row.method)}"
    parts[0] += f" {quote(f'{address}{row.path}' + (f'?{row.query}' if row.query else ''))}"
    parts.append(f'-H "{_CREDENTIALS.get(row.listener, _CREDENTIALS["openai"])}"')
    sent = [(name, value) for name, value in row.request_headers if name.lower() not in _NOT_SENT]
    for name, value in sent:
        if not names_a_credential(name):
            parts.append(f"-H {quote(f'{name}: {value}' if value else f'{name};')}")
    if body and not any(name.lower() == "content-type" for name, _ in sent):
        parts.append("-H 'content-type:'")  # else curl calls it a form
    before = ""
    if text := _inline(body):
        parts.append(f"--data-raw {quote(text)}")
    elif body:
        raw = f"{address}/sessions/{row.session.session_id}/exchanges/{row.request_id}/raw"
        before = f"curl -fsS {quote(raw)} | "
        parts.append("--data-binary @-")
    return before + " \\\n  ".join(parts)


def _inline(body: bytes) -> str:
    """The body as text, or "" where it is too long or no text."""
    if len(body) > MAX_INLINE or b"\0" in body:
        return ""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""

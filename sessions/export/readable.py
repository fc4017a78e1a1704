"""A session to be read: Markdown, and HTML in one file that needs nothing else."""

import re
from collections.abc import Generator, Iterator

from django.template.loader import render_to_string

from sessions import queries, timeline
from sessions.export.parts import parts
from sessions.models import Session
from sessions.timeline import Call, Piece, Text, Turn


def turns(session: Session) -> Iterator[Turn]:
    """Read a session turn by turn."""
    number = 1
    for rows in parts(session):
        yield from timeline.turns(session, rows, number)
        number += len(rows)


def html(session: Session) -> Generator[bytes, None, None]:
    """One page with its style inside, without script; whatever was said stands in it as text."""
    context = {"session": session, "tools": queries.tools_of([session]).get(session.pk, [])}
    yield render_to_string("exports/head.html", context).encode("utf-8", "replace")
    for turn in turns(session):
        yield render_to_string("exports/turn.html", {"turn": turn}).encode("utf-8", "replace")
    yield b"</main>\n</body>\n</html>\n"


def markdown(session: Session) -> Generator[bytes, None, None]:
    """The conversation as Markdown; what is no prose stands in code blocks."""
    cost = "unknown" if session.cost_usd is None else f"${session.cost_usd:.4f}"
    head = [
        f"# {_line(session.title or session.session_id)}",
        "",
        f"- Session: `{session.session_id}`",
        f"- Started: {session.started_at.isoformat()}",
        f"- Client: {_line(session.client)}; provider: {_line(session.provider)}; model: {_line(session.model_used)}",
        f"- Requests: {session.requests}; tokens: {session.total_tokens:,}; cost: {cost}",
        "",
    ]
    yield "\n".join(head).encode("utf-8", "replace")
    for turn in turns(session):
        yield _turn(turn).encode("utf-8", "replace")


def _turn(turn: Turn) -> str:
    row = turn.row
    cost = "" if row.cost_usd is None else f", ${row.cost_usd:.4f}"
    head = f"\n## {turn.number} · {_line(row.model_used or f'{row.method} {row.path}')}\n\n"
    out = [head, f"{row.started_at:%Y-%m-%d %H:%M:%S} UTC, {row.total_tokens:,} tokens{cost}\n"]
    if turn.route is not None:
        out.append(f"\n*{_line(turn.route.words)}*\n")
        out += [f"- {_line(note)}\n" for note in turn.route.notes]
    for role, pieces in turn.messages:
        out.append(f"\n### {_line(role)}\n")
        out += [_piece(piece) for piece in pieces]
    if turn.answer:
        out.append("\n### assistant\n")
        out += [_piece(piece) for piece in turn.answer]
    if turn.error.head:
        out.append(f"\n**Failed:** {_line(_whole(turn.error))}\n")
    return "".join(out)


def _whole(text: Text) -> str:
    return text.head + text.rest


def _piece(piece: Piece) -> str:
    if piece.kind == "text":
        return f"\n{_whole(piece.text)}\n"
    if piece.kind == "call" and piece.call:
        return _call(piece.call)
    if piece.kind == "image":
        return f"\n[image {_line(piece.name)}]\n"
    if piece.kind == "note":
        return f"\n*{_line(_whole(piece.text))}*\n"
    name = {"thinking": "Thinking", "context": "Context", "result": "Result"}.get(piece.kind, piece.kind)
    return f"\n{name}{' (error)' if piece.is_error else ''}:\n{_fenced(_whole(piece.text))}"


def _call(call: Call) -> str:
    took = f" ({call.row.execution_ms:.0f} ms)" if call.row and call.row.execution_ms is not None else ""
    out = f"\n**{_line(call.name)}**{took}\n{_fenced(_whole(call.arguments))}"
    if call.result is not None:
        out += f"\nResult{' (error)' if call.row and call.row.is_error else ''}:\n{_fenced(_whole(call.result))}"
    return out


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in it (CommonMark 4.5)."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"\n{fence}\n{text}\n{fence}\n"


def _line(text: str) -> str:
    return " ".join(text.split())

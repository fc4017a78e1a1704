"""A session as one file: the formats, each a stream of bytes."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from sessions.export.csv_export import csv_lines
from sessions.export.json_export import json_object
from sessions.export.jsonl_export import jsonl
from sessions.export.readable import html, markdown
from sessions.models import Session


@dataclass(frozen=True, slots=True)
class Format:
    """How a session is written: ``write`` gives the file piece by piece."""

    media_type: str
    suffix: str
    write: Callable[[Session], Generator[bytes, None, None]]


FORMATS = {
    "jsonl": Format("application/x-ndjson", "jsonl", jsonl),
    "json": Format("application/json", "json", json_object),
    "markdown": Format("text/markdown; charset=utf-8", "md", markdown),
    "html": Format("text/html; charset=utf-8", "html", html),
    "csv": Format("text/csv; charset=utf-8", "csv", csv_lines),
}


def file_name(session: Session, suffix: str) -> str:
    """Name the file of a session; ids have no characters that a header or a file system minds (routing.session_ids)."""
    return f"lunaroute_{session.session_id[:100]}.{suffix}"

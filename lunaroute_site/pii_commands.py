"""The commands of redaction: `lunaroute-server pii scan FILE…|-` and `lunaroute-server pii apply`."""

import argparse
import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import orjson

from pii.redactor import Redactor
from pii.scan import Place, Scanner

CHUNK = 1 << 18
# Byte order marks; without one a text is read as UTF-8, and what is none of it as replacement characters.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def main(arguments: list[str]) -> int:
    """Run a command of `pii`; gives the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "apply":
        from lunaroute_site import pii_apply

        return pii_apply.apply(options.dry_run)
    return scan(options.files, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lunaroute-server pii", description="Personal data and secrets in texts.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "scan",
        help="say what would be found in files, and by which detector",
        description="Say what would be redacted in files by the configuration in force, whether redaction is enabled or "
        "not. Nothing is stored, and no value is printed whole.",
        epilog="Exit code: 0 nothing was found, 1 something was, 2 a file could not be read or the call is wrong.",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="a file of any size; - is the standard input")
    command.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    command = commands.add_parser(
        "apply",
        help="redact what was recorded before redaction was on",
        description="Redact, in place and for good, what is recorded and was redacted by no policy or by another than "
        "that of the configuration in force: rows, index and JSONL files. The server must be stopped (lunaroute-server "
        "stop), on all hosts that share the database. Interrupted, it goes on where it was when it is run again. Afterwards "
        "the database is written anew, which for a while takes its size once more on the disk.",
        epilog="Exit code: 0 all is redacted, 1 something could not be or the server runs, 2 redaction is not enabled or "
        "the call is wrong.",
    )
    command.add_argument("--dry-run", action="store_true", help="only count what would be replaced; the server may run")
    return parser


def scan(files: list[str], as_json: bool = False) -> int:
    """Print where in `files` values are: 0 nowhere, 1 somewhere, 2 a file could not be read."""
    from lunaroute_site import config

    redactor = Redactor(config.current().session_recording.pii.policy())
    found, failed = 0, False
    try:
        for name in files:
            try:
                with nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
                    for place in places(redactor, file):
                        found += 1
                        print(_json(name, place) if as_json else _row(name, place))
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                failed = True
                print(f"lunaroute-server: {Path(name)}: cannot be read ({error.strerror})", file=sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2 if failed else 1 if found else 0


def places(redactor: Redactor, file: BinaryIO) -> Iterator[Place]:
    """Give the values in a file, which is read piece by piece. Raises OSError."""
    scanner = Scanner(redactor)
    chunk = file.read(CHUNK)
    encoding = next((name for mark, name in _MARKS if chunk.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while chunk:
        yield from scanner.feed(decoder.decode(chunk))
        chunk = file.read(CHUNK)
    yield from scanner.feed(decoder.decode(b"", final=True))
    yield from scanner.end()


def _row(name: str, place: Place) -> str:
    where = f"{_printable(name)}:{place.line}:{place.column}"
    return f"{where:<32} {place.type:<12} {place.detector:<20} {place.confidence:.2f}  {_printable(place.hint)}"


def _json(name: str, place: Place) -> str:
    return orjson.dumps({"file": _printable(name), **asdict(place)}).decode()


def _printable(text: str) -> str:
    """Text that neither steers a terminal nor is none."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)

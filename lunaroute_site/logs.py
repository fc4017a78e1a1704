"""What is logged, in lines for people or for programs; without personal data where recording is without it."""

import logging
import os
import select
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime

import orjson

from pii.policy import FAILED, Policy
from pii.redactor import Redactor
from sessions.terminal import Terminal


class RedactingFormatter(logging.Formatter):
    """Redacts whole entries, what an exception says included."""

    def __init__(self, *arguments: object, policy: Policy, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._redactor = Redactor(policy)
        self._lock = threading.RLock()  # a failure within is logged, too

    def format(self, record: logging.LogRecord) -> str:
        """Give an entry as text. What cannot be formatted is withheld: logging itself would print it as it is."""
        with self._lock:
            try:
                text = super().format(record)
            except Exception as error:
                text = f"{record.levelname} {record.name}: {FAILED} ({type(error).__name__})"
            return self._redactor.text(text)


class JsonFormatter(logging.Formatter):
    """Gives each entry as one line of JSON; with a `policy`, each of its texts is redacted.

    ``time`` (UTC), ``level``, ``logger``, ``message``; ``request_id`` where it is about one exchange, ``exception`` with
    its traceback.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__()
        self._redactor = Redactor(policy) if policy else None
        self._lock = threading.RLock()

    def format(self, record: logging.LogRecord) -> str:
        """Give an entry as JSON. Of one that cannot be formatted, the text that it should have been made from is left."""
        with self._lock:
            entry = {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": self._text(_message(record)),
            }
            if request_id := getattr(record, "request_id", ""):
                entry["request_id"] = self._text(str(request_id))
            if record.exc_info and record.exc_info[0] is not None:
                entry["exception"] = self._text(self.formatException(record.exc_info))
            return orjson.dumps(entry).decode()

    def _text(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode()  # a path may hold what is no text
        return self._redactor.text(text) if self._redactor else text


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg if isinstance(record.msg, str) else type(record.msg).__name__} ({type(error).__name__})"


def log_uncaught() -> None:
    """Let exceptions that nobody catches, and warnings, be log entries like all others, in this process from now on."""
    logger = logging.getLogger("lunaroute")

    def report(kind: type[BaseException], error: BaseException, traceback: object) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            logger.critical("uncaught", exc_info=(kind, error, traceback))

    sys.excepthook = report
    threading.excepthook = lambda given: report(given.exc_type, given.exc_value, given.exc_traceback)
    sys.unraisablehook = threading.excepthook  # of those that Python itself can only ignore
    logging.captureWarnings(True)


class AtOnce:
    """A stream that takes what its file descriptor takes at once; the rest is dropped. For a process without threads."""

    # What a pipe that is ready to write takes without waiting.
    PIECE, PATIENCE = 256, 0.1

    def __init__(self, fd: int) -> None:
        self._fd = fd
        with suppress(OSError):
            if os.isatty(fd):
                # A terminal that is ready may take less than a piece. Opened again: all who have `fd` share its flags.
                flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
                self._fd = os.open(os.ttyname(fd), flags)

    def write(self, text: str) -> None:
        """Write it, as far as that goes without waiting."""
        data = text.encode("utf-8", "replace")
        with suppress(OSError, ValueError):
            while data and select.select([], [self._fd], [], self.PATIENCE)[1]:
                data = data[os.write(self._fd, data[: self.PIECE]) :]

    def flush(self) -> None:
        """Nothing is held back."""


class Queued:
    """A stream whose writing is left to a thread: who logs never waits for who reads."""

    def __init__(self, fd: int) -> None:
        self._terminal = Terminal(fd)

    def write(self, text: str) -> None:
        """Queue it."""
        self._terminal.write([text.removesuffix("\n")])

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self, seconds: float) -> None:
        """Wait until all is written, at most that long."""
        self._terminal.close(seconds)


def write_to(stream: AtOnce | Queued) -> None:
    """Let messages go to `stream`, in this process and those that are forked of it."""
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(stream)

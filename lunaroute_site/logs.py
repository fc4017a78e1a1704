"""What is logged, in lines for people; without personal data where recording is without it."""

import logging
import sys
import threading

from pii.policy import FAILED, Policy
from pii.redactor import Redactor


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

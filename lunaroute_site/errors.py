"""What is answered where LunaRoute's own pages and API fail: a database that is gone is not a bug."""

import logging
import sys
from http import HTTPStatus
from time import monotonic

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import server_error

GONE = "LunaRoute's database does not answer. Requests to providers are served all the same; try again in a moment."
# Seconds: after which to try again, and between two entries of the log about it.
RETRY_AFTER, SAY_EVERY = 5, 60


def is_gone(error: BaseException | None) -> bool:
    """Tell whether an error is about the database not being there: SQLite calls faults of a query operational, too."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    return connection.vendor != "sqlite" or any(words in str(error) for words in ("locked", "unable to open", "disk"))


def failed(request: HttpRequest) -> HttpResponse:
    """Answer in place of a view that raised: Django's ``handler500``."""
    if not is_gone(sys.exc_info()[1]):
        return server_error(request)
    if "text/html" in request.headers.get("Accept", ""):
        response = HttpResponse(f"{GONE}\n", content_type="text/plain; charset=utf-8")
    else:
        response = JsonResponse({"detail": GONE})
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response["Retry-After"] = str(RETRY_AFTER)
    return response


class OnceInAWhile(logging.Filter):
    """Says of a database that is gone so now and then, in a line, where Django has a traceback for each request."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = -SAY_EVERY

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything else pass."""
        error = record.exc_info[1] if record.exc_info else None
        if not is_gone(error):
            return True
        if monotonic() - self._said_at < SAY_EVERY:
            return False
        self._said_at = monotonic()
        reason = " ".join(str(error).split())
        record.msg, record.args, record.exc_info = f"the database does not answer: {reason}", (), None
        return True

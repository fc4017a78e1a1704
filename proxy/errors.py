"""LunaRoute's own answers, in the shape that the client's SDK expects of its vendor.

Anthropic: https://docs.anthropic.com/en/api/errors; OpenAI: https://platform.openai.com/docs/guides/error-codes.
"""

import orjson

# (Anthropic's type, OpenAI's type) for a status that LunaRoute itself answers with.
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "invalid_request_error"),
    403: ("permission_error", "invalid_request_error"),
    404: ("not_found_error", "invalid_request_error"),
    408: ("timeout_error", "server_error"),
    413: ("request_too_large", "invalid_request_error"),
    426: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "insufficient_quota"),
    500: ("api_error", "server_error"),
    502: ("api_error", "server_error"),
    503: ("overloaded_error", "server_error"),
    504: ("timeout_error", "server_error"),
}


class NotServed(Exception):
    """LunaRoute itself does not go on with a request. `kind` is an error name of :class:`proxy.capture.End`."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class UpstreamError(Exception):
    """The provider could not be asked or did not answer in full.

    ``kind`` is an error name of :class:`proxy.capture.End`; ``status`` is what the client gets while nothing
    has been sent to it yet; ``sent`` tells whether the provider may have begun to work on the request.
    """

    def __init__(self, kind: str, message: str, status: int = 502, sent: bool = False) -> None:
        super().__init__(message)
        self.kind, self.status, self.sent = kind, status, sent


def error_body(dialect: str, status: int, message: str, field: str | None = None) -> bytes:
    """Give the JSON of an error in `dialect` ("anthropic" or "openai"). `field` is the request's, if one is wrong."""
    anthropic_type, openai_type = _TYPES.get(status, _TYPES[500])
    if dialect == "anthropic":
        message = f"{field}: {message}" if field else message
        return orjson.dumps({"type": "error", "error": {"type": anthropic_type, "message": message}})
    return orjson.dumps({"error": {"message": message, "type": openai_type, "param": field, "code": None}})


def error_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Give the headers of an error answer; the mark tells it from one of the provider."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-lunaroute-error", b"1"),
    ]

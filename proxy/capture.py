"""What the proxy hands to whoever records: one exchange as a short run of frames.

The data plane does not know who listens. It emits frames on a stream socket; each frame is a fixed header
and a payload, and all frames of one exchange carry its number. Nothing is parsed here and nothing is
written to a file, because what passes may hold secrets that nobody has redacted yet.

Frame header, big-endian, ``HEADER.size`` bytes: payload length in bytes (u32), kind (u8), exchange number
(u64, unique while the connection lives), wall clock in microseconds since the epoch (u64).

========================  ====================================================================
kind                      payload
========================  ====================================================================
``BEGIN``                 JSON of :class:`Begin`: the request's head, once, first
``REQUEST_BODY``          raw bytes of the request body, in order (WebSocket: client to upstream)
``REQUEST_END``           the request body is complete: empty, or the capture mode if bodies were dropped
``RESPONSE_HEAD``         JSON of :class:`ResponseHead`
``RESPONSE_BODY``         raw bytes of the answer as they came, still encoded (WebSocket: upstream
                          to client). Several chunks may be joined
``END``                   JSON of :class:`End`: how it ended and the clock readings, once, last
``ACK``                   empty; from the recorder: the exchange is stored, forget it
``CHANGE``                JSON from the recorder: what it has just stored of an exchange of this web process
``ECHO``                  the same of another web process
``PARTIAL``               JSON from the recorder: more text of an answer that is under way
``WATCH``                 JSON to the recorder: which sessions somebody looks at. Number 0
``HELD``                  empty; to the recorder: all that this web process holds has been sent. Number 0
``TROUBLE``               JSON of :class:`Trouble`, from the recorder: what it cannot write, and why. Number 0
========================  ====================================================================

What is in ``CHANGE``, ``ECHO``, ``PARTIAL`` and ``WATCH`` is between the recorder and whoever the web process tells
(sessions/news.py).
"""

import struct

import msgspec

HEADER = struct.Struct(">IBQQ")

BEGIN, REQUEST_BODY, REQUEST_END, RESPONSE_HEAD, RESPONSE_BODY, END = 1, 2, 3, 4, 5, 6
WATCH, HELD = 50, 51
ACK, CHANGE, PARTIAL, ECHO, TROUBLE = 100, 101, 102, 103, 104

# A frame's payload never exceeds this; longer bodies are several frames.
MAX_PAYLOAD = 1 << 20


class Begin(msgspec.Struct, frozen=True):
    """The request's head as the client sent it.

    ``headers`` are pairs in order, decoded as Latin-1, without credentials. ``query`` is the raw query
    string (it may hold a key: whoever stores it masks it).
    """

    request_id: str
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    listener: str  # "anthropic" or "openai": the dialect that the client speaks
    provider: str  # the provider's name in the configuration
    provider_type: str  # "anthropic" or "openai": the dialect of the answer
    client_ip: str
    started_us: int  # wall clock, microseconds since the epoch
    upgrade: bool = False  # the client asked for a WebSocket
    metadata: dict[str, str] = {}  # e.g. {"project": "myapp"}
    owner: str = ""  # the user whose token came with it


class ResponseHead(msgspec.Struct, frozen=True):
    """The answer's head. ``status`` is what the client got."""

    status: int
    headers: list[tuple[str, str]]


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One provider that was asked, where a rule could ask several. The last one's answer is the client's."""

    provider: str
    status: int | None = None  # of its answer; None where none came
    duration_ms: float = 0.0  # until its answer's head, or its failure
    reason: str = (
        ""  # why the next one was asked: rate_limited, overloaded, server_error, or an error's name; "": it was not
    )
    may_be_charged: bool = False  # it had the request, and may have begun to work on it


class Routing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule, a marker or a provider's settings did to the exchange; absent where nothing did."""

    rule: str = ""  # the rule's name
    why: str = ""  # in words: which rule or marker chose the provider
    provider: str = ""  # who gave the answer
    provider_type: str = ""  # "anthropic" or "openai"
    model: str = ""  # the model that was asked, where it is not the client's
    dialect: str = ""  # what it was translated into ("anthropic", "openai-chat", "openai-responses"); "": it was not
    attempts: list[Attempt] = []
    notes: list[str] = []  # what was changed or left out on the way, in words


# Seconds: upper bounds of the classes in which the pauses between an answer's chunks are counted, beside one for more.
PAUSES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class End(msgspec.Struct, frozen=True):
    """How the exchange ended. Durations are in milliseconds, sizes in bytes, None where it never happened.

    ``error`` is None or one of ``client_disconnected``, ``upstream_connect``, ``upstream_timeout``,
    ``upstream_reset`` (before the answer's head), ``upstream_broken`` (in the middle of the answer),
    ``request_too_large``, ``request_timeout`` (its body came too slowly), ``bad_request``, ``overloaded`` (LunaRoute had no
    more descriptors), ``shutdown``, ``internal``; ``error_message`` says it in words.
    ``capture`` is ``full``, ``truncated`` (a body was longer than is kept) or ``metadata`` (the recorder was
    too far behind: no bodies).
    """

    completed_us: int
    duration_ms: float  # first byte of the request to last byte of the answer
    overhead_before_ms: float  # spent in the proxy before the request went out
    overhead_after_ms: float  # spent in the proxy between the first piece of the answer's body in and out
    provider_latency_ms: float | None  # request sent to last byte of the answer
    first_byte_ms: float | None  # request sent to the answer's head
    request_bytes: int
    response_bytes: int
    chunk_count: int
    attempts: int
    error: str | None = None
    error_message: str | None = None
    capture: str = "full"
    routing: Routing | None = None
    ingress_ms: float | None = None  # from the request's head to its body, as far as that was there to be sent
    routing_ms: float | None = None  # from there to the request as it goes out, less providers that were asked in vain
    pauses: list[int] = []  # between chunks of the answer, by the classes of PAUSES; empty: there was none
    pauses_ms: float = 0.0  # their sum: from the answer's first chunk to its last


class Trouble(msgspec.Struct, frozen=True):
    """What keeps a recorder from writing; empty where nothing does."""

    why: str = ""  # what the database or the disk said
    is_paused: bool = False  # nothing is written until that is over
    aside: int = 0  # exchanges that cannot be written while others can

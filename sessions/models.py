"""The record: sessions, their exchanges and tool calls, and the content they share.

A coding assistant sends its whole conversation again with every request. Content is therefore kept by the hash
of its bytes (:class:`Blob`), and a conversation as a chain of :class:`Node`, each one message after another: an
exchange names only the last node of its request, so a turn costs what was new in it. Two requests that begin
alike share the nodes of that beginning, which also tells which exchange continues which.
"""

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from pii.patterns import compiled
from proxy.capture import End
from sessions.packing import PackedJSONField


class Blob(models.Model):
    """Bytes, once. ``key`` is BLAKE2b-128 of the uncompressed bytes; ``codec`` says how they are packed
    (sessions/packing.py), or that they stand in another blob (sessions/content.py)."""

    key = models.BinaryField(primary_key=True, max_length=16)
    size = models.PositiveIntegerField(help_text="uncompressed, bytes")
    codec = models.PositiveSmallIntegerField(default=0)
    data = models.BinaryField()

    class Meta:
        db_table = "blobs"


class Node(models.Model):
    """One message in a chain. ``key`` is BLAKE2b-128 of parent key and blob key, so equal chains have equal keys."""

    key = models.BinaryField(primary_key=True, max_length=16)
    parent = models.BinaryField(max_length=16, default=b"", help_text="empty for the first message")
    blob = models.BinaryField(max_length=16)
    depth = models.PositiveIntegerField(help_text="messages in the chain up to here, this one included")

    class Meta:
        db_table = "nodes"
        # Who uses them, for deletion.
        indexes = [
            models.Index(fields=["parent"], name="nodes_parent"),
            models.Index(fields=["blob"], name="nodes_blob"),
        ]


class TokenCounts(models.Model):
    """Token classes that do not overlap; ``total_tokens`` is their sum."""

    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    thinking_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_creation_5m_tokens = models.BigIntegerField(default=0)
    cache_creation_1h_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    total_tokens = models.BigIntegerField(default=0)
    cost_usd = models.FloatField(null=True, help_text="None where no price is known")

    class Meta:
        abstract = True

    @property
    def cache_creation_tokens(self) -> int:
        return self.cache_creation_5m_tokens + self.cache_creation_1h_tokens


class Session(TokenCounts):
    """A conversation: the sums over its exchanges."""

    session_id = models.CharField(max_length=255, unique=True)
    title = models.CharField(max_length=200, blank=True)
    client = models.CharField(max_length=32, blank=True, help_text="claude-code, codex, opencode or other")
    provider = models.CharField(max_length=64, blank=True)
    dialect = models.CharField(max_length=16, blank=True)
    model_used = models.CharField(max_length=128, blank=True, help_text="the model that wrote most of it")
    model_tokens = models.JSONField(default=dict, help_text="total tokens by model")
    project = models.CharField(max_length=255, blank=True)
    owner = models.CharField(
        max_length=150, default="", blank=True, help_text="name of the user whose token it came with"
    )
    tags = models.JSONField(default=list)
    client_ip = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=512, blank=True)
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, help_text="when its last exchange ended")
    requests = models.PositiveIntegerField(default=0)
    tool_calls_count = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0, help_text="exchanges that failed")
    success = models.BooleanField(default=True, help_text="no exchange failed")
    error = models.TextField(blank=True, help_text="the last failure")
    duration_ms = models.FloatField(default=0, help_text="sum over exchanges")
    provider_time_ms = models.FloatField(default=0)
    proxy_overhead_ms = models.FloatField(default=0)
    pinned = models.BooleanField(
        default=False, help_text="somebody gave it a star (Star says who); no recorder writes it"
    )

    class Meta:
        db_table = "sessions"
        indexes = [
            models.Index(fields=["-started_at"], name="sessions_started"),
            models.Index(fields=["model_used", "-started_at"], name="sessions_model"),
            models.Index(fields=["owner", "-started_at"], name="sessions_owner"),
            models.Index(fields=["project", "-started_at"], name="sessions_project"),
        ]

    def __str__(self) -> str:
        return self.title or self.session_id

    def pin(self, pinned: bool, user: str = "") -> None:
        """Give the session the star of `user`, or take it away; "" is whoever has the server alone, and takes away all."""
        if pinned:
            Star.objects.get_or_create(session=self, user=user)
        else:
            self.stars.filter(**({"user": user} if user else {})).delete()
        # Nothing else: a recorder may be adding to its sums.
        Session.objects.filter(pk=self.pk).update(pinned=self.stars.exists())
        self.pinned = pinned


class Star(models.Model):
    """A user's star of a session. By name, as sessions are owned: in a team one member's star is no other's to take away."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="stars")
    user = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        db_table = "session_stars"
        constraints = [models.UniqueConstraint(fields=["session", "user"], name="session_stars_once")]


class Exchange(TokenCounts):
    """One request with its answer. Times are milliseconds, sizes bytes."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="exchanges")
    recorder = models.CharField(max_length=255, help_text="host and home that recorded it")
    request_id = models.CharField(max_length=64, unique=True)
    parent = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="children",
        help_text="the exchange whose conversation this one continues",
    )
    kind = models.CharField(max_length=16, default="model")
    listener = models.CharField(max_length=16)
    provider = models.CharField(max_length=64, help_text="who answered; while it runs, who was chosen")
    dialect = models.CharField(max_length=32, blank=True, help_text="anthropic, openai-chat, openai-responses or empty")
    transport = models.CharField(max_length=8, default="http", help_text="http or ws")
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=2048)
    model_requested = models.CharField(max_length=128, blank=True)
    model_used = models.CharField(max_length=128, blank=True)
    is_streaming = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(null=True)
    success = models.BooleanField(null=True, help_text="None while it runs")
    error = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=64, blank=True)
    has_refusal = models.BooleanField(default=False)
    capture = models.CharField(max_length=16, default="full", help_text="full, truncated or metadata")
    redactions = models.JSONField(default=dict, help_text="values that were replaced in it, by type")
    redacted_by = models.CharField(
        max_length=16, blank=True, help_text="the policy that redacted it (pii.policy); empty: none did"
    )
    client = models.CharField(max_length=32, blank=True)
    client_ip = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=512, blank=True)
    metadata = models.JSONField(default=dict)
    project = models.CharField(  # noqa: DJ001 (that nobody noted it is something else than that there was none)
        max_length=255,
        null=True,
        help_text="that it was made for, and counts for; None (before there was this): its session's",
    )
    routing = models.JSONField(
        default=dict,
        help_text="what a rule, a marker or a provider's settings did (proxy.capture.Routing); empty: nothing",
    )
    request_headers = PackedJSONField(default=list, help_text="pairs, in order, credentials left out")
    response_headers = PackedJSONField(default=list)
    response_id = models.CharField(max_length=128, blank=True, help_text="the vendor's own id of the answer")
    query = models.TextField(blank=True, help_text="raw, values named like a key masked")

    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    provider_latency_ms = models.FloatField(null=True)
    time_to_first_token_ms = models.FloatField(null=True)
    overhead_before_ms = models.FloatField(null=True)
    overhead_after_ms = models.FloatField(null=True)
    streaming_ms = models.FloatField(null=True)
    chunk_count = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=1)

    request_bytes = models.PositiveBigIntegerField(default=0)
    response_bytes = models.PositiveBigIntegerField(default=0)
    message_count = models.PositiveIntegerField(default=0)
    messages_from = models.PositiveIntegerField(default=0, help_text="messages before this index were known")
    tool_count = models.PositiveIntegerField(default=0)

    # The request body, in parts; sessions.split puts it together again.
    leaf = models.BinaryField(max_length=16, default=b"", help_text="Node of the last message")
    system = models.BinaryField(max_length=16, default=b"", help_text="Blob of the system prompt's JSON")
    tools = models.BinaryField(max_length=16, default=b"", help_text="Blob of the tool list's JSON")
    recipe = models.BinaryField(
        max_length=16, default=b"", help_text="Blob: how body, system, tools and messages fit together"
    )
    patches = models.BinaryField(default=b"", help_text="what this request's messages have beyond their nodes")
    body_sha256 = models.BinaryField(max_length=32, default=b"")
    response = models.BinaryField(
        max_length=16, default=b"", help_text="Blob of the answer's bytes, decoded from its content coding"
    )
    answer = models.BinaryField(
        max_length=16, default=b"", help_text="Blob: the answer as one JSON object, where `response` does not tell it"
    )

    # Of `redactions`, those since its request was recorded. No column: what the recorder tells of a change.
    new_redactions: dict[str, int] = {}
    # How it ended, where this process heard of it: the same.
    end: End | None = None

    class Meta:
        db_table = "exchanges"
        indexes = [
            models.Index(fields=["session", "started_at"], name="exchanges_session"),
            models.Index(fields=["response_id"], name="exchanges_response"),
            *(
                models.Index(fields=[name], name=f"exchanges_{name}_key")
                for name in ("leaf", "system", "tools", "recipe", "response", "answer")
            ),
            # Holds all that statistics ask for: rows are wide, and a span has many.
            models.Index(
                fields=[
                    "started_at", "kind", "model_used", "client", "provider", "session", "success", "status",
                    "duration_ms", "provider_latency_ms", "time_to_first_token_ms", "overhead_before_ms",
                    "overhead_after_ms", "input_tokens", "output_tokens", "thinking_tokens", "cache_read_tokens",
                    "cache_creation_5m_tokens", "cache_creation_1h_tokens", "audio_input_tokens",
                    "audio_output_tokens", "total_tokens", "cost_usd",
                ],
                name="exchanges_stats",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.request_id


class ToolCall(models.Model):
    """A tool call with what came back, once it did."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="tool_calls")
    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="tool_calls")
    result_exchange = models.ForeignKey(Exchange, null=True, on_delete=models.SET_NULL, related_name="tool_results")
    position = models.PositiveSmallIntegerField(default=0, help_text="order within the answer")
    call_id = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    arguments = models.BinaryField(max_length=16, help_text="Blob of the JSON text")
    result = models.BinaryField(max_length=16, default=b"", help_text="Blob of the result's text")
    input_bytes = models.PositiveIntegerField(default=0)
    output_bytes = models.PositiveIntegerField(null=True)
    is_error = models.BooleanField(null=True, help_text="None until the result came")
    started_at = models.DateTimeField(help_text="end of the answer that asked for it")
    execution_ms = models.FloatField(null=True)

    class Meta:
        db_table = "tool_calls"
        indexes = [
            models.Index(fields=["session", "call_id"], name="tool_calls_call"),
            models.Index(fields=["arguments"], name="tool_calls_arguments_key"),
            models.Index(fields=["result"], name="tool_calls_result_key"),
            models.Index(
                fields=["started_at", "name", "execution_ms", "is_error", "output_bytes"], name="tool_calls_stats"
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["exchange", "position"], name="tool_calls_position")]


class JsonlFile(models.Model):
    """How much of a JSONL file is certain: bytes past ``size`` were never committed and are cut off at start."""

    recorder = models.CharField(max_length=255)
    path = models.CharField(max_length=1024)
    session = models.ForeignKey(Session, null=True, on_delete=models.CASCADE, related_name="files")
    size = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "jsonl_files"
        constraints = [models.UniqueConstraint(fields=["recorder", "path"], name="jsonl_files_path")]


class FileRemoval(models.Model):
    """A JSONL file whose session has been deleted: to be removed, by whoever has it on its disk."""

    recorder = models.CharField(max_length=255)
    path = models.CharField(max_length=1024)

    class Meta:
        db_table = "file_removals"
        constraints = [models.UniqueConstraint(fields=["recorder", "path"], name="file_removals_once")]


def check_pattern(text: str) -> None:
    """Refuse what is no regular expression (RE2)."""
    try:
        compiled(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


class Price(models.DecimalField):
    """USD per million tokens."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"max_digits": 12, "decimal_places": 6, "validators": [MinValueValidator(0)], **options})


class ModelPrice(models.Model):
    """A price of one's own; it wins over the price list."""

    pattern = models.CharField(
        max_length=255,
        validators=[check_pattern],
        help_text="regular expression (RE2) that the whole name of the model matches, such as my-model-.*",
    )
    provider_type = models.CharField(
        max_length=16,
        blank=True,
        choices=[("anthropic", "anthropic"), ("openai", "openai")],
        help_text="empty: any; a price for one type wins over one for any, a longer pattern over a shorter",
    )
    input = Price(help_text="USD per million tokens, as all prices here")
    output = Price(help_text="thinking included")
    cache_read = Price(null=True, blank=True, help_text="empty: as input")
    cache_write_5m = Price(null=True, blank=True, help_text="empty: as input")
    cache_write_1h = Price(null=True, blank=True, help_text="empty: as cache write 5m")

    class Meta:
        db_table = "model_prices"
        verbose_name = "price"
        constraints = [models.UniqueConstraint(fields=["pattern", "provider_type"], name="model_prices_once")]

    def __str__(self) -> str:
        return f"{self.pattern} ({self.provider_type})" if self.provider_type else self.pattern


class SearchDocument(models.Model):
    """A text that is searched (sessions.search), and where it stands. PostgreSQL's index is a column ``vector`` of it.

    ``id`` holds the session's primary key, the kind and a number (sessions.search.documents.id_of).
    """

    id = models.BigIntegerField(primary_key=True)
    exchange_id = models.BigIntegerField(null=True, help_text="None for a title")
    blob = models.BinaryField(
        max_length=16, help_text="Blob of the message or answer; empty: the exchange has the text"
    )
    chunk = models.PositiveIntegerField(default=0, help_text="which part of a long text")

    class Meta:
        db_table = "search_documents"


class SearchSession(models.Model):
    """How far a session is indexed. One without such a row is not yet."""

    session_id = models.BigIntegerField(primary_key=True)
    title = models.CharField(max_length=200, blank=True, help_text="as it is indexed")
    documents = models.PositiveIntegerField(default=0, help_text="the number of the next one")
    upto = models.BigIntegerField(null=True, help_text="the last exchange that is indexed; None: all of them are")

    class Meta:
        db_table = "search_sessions"


class RetentionRun(models.Model):
    """A run of retention (sessions.keeping): when, why, and what it did. Sizes are bytes."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="None while it runs")
    trigger = models.CharField(max_length=16, help_text="schedule or command")
    compressed_files = models.PositiveIntegerField(default=0)
    compressed_before = models.PositiveBigIntegerField(default=0)
    compressed_after = models.PositiveBigIntegerField(default=0)
    deleted_sessions = models.PositiveIntegerField(default=0)
    deleted = models.JSONField(default=list, help_text="the first of them: session_id, title, why")
    freed_bytes = models.PositiveBigIntegerField(default=0)
    size_before = models.PositiveBigIntegerField(default=0)
    size_after = models.PositiveBigIntegerField(null=True)
    problems = models.JSONField(default=list, help_text="files that could not be read or written, and why")
    error = models.TextField(blank=True, help_text="why it ended before its end")

    class Meta:
        db_table = "retention_runs"
        ordering = ("-pk",)


# Where Django looks for models.
from sessions.budgets.models import Budget, BudgetNotice, BudgetSpend, QuotaWindow  # noqa: E402, F401

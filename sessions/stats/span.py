"""Which exchanges figures are made of: a span of time, and filters."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from django.db import connection
from django.utils import timezone

from sessions import viewing

# Spans up to this long are shown by the hour.
BY_THE_HOUR = timedelta(days=2)
# Buckets that one span may have; the longest span by day is some twenty-seven years.
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` up to, but without, `until` (both aware); days begin by the clocks of `zone`.

    Filters that are None let everything pass; `model` takes names that begin so, the others are exact.
    """

    since: datetime
    until: datetime
    zone: tzinfo = field(default_factory=timezone.get_default_timezone)
    project: str | None = None
    client: str | None = None
    model: str | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        # Differences of times in one time zone are differences of its clocks, which are set back now and then.
        object.__setattr__(self, "since", self.since.astimezone(UTC))
        object.__setattr__(self, "until", self.until.astimezone(UTC))

    @classmethod
    def days(cls, count: int, now: datetime | None = None, **filters: str | None) -> "Span":
        """The last `count` days by the machine's calendar, today included, up to now."""
        zone = timezone.get_default_timezone()
        now = (now or datetime.now(UTC)).astimezone(zone)
        first = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=count - 1)
        # One microsecond on: `until` is not part of a span, this very moment is.
        return cls(first.replace(tzinfo=zone), now + timedelta(microseconds=1), zone, **filters)

    @property
    def before(self) -> "Span":
        """The span of the same length that ends where this one begins."""
        return replace(self, since=self.since - (self.until - self.since), until=self.since)

    @property
    def is_by_hour(self) -> bool:
        """Whether the span is short enough to be shown by the hour."""
        return self.until - self.since <= BY_THE_HOUR

    def edges(self, by_hour: bool) -> list[datetime]:
        """Give the starts of the days (or hours) that the span touches and the end of the last, in `zone`.

        Raises ValueError for more than MAX_BUCKETS.
        """
        start = self.since.astimezone(self.zone).replace(minute=0, second=0, microsecond=0)
        if by_hour:
            edges = [start.astimezone(UTC)]
            step = timedelta(hours=1)
            if (self.until - self.since) / step > MAX_BUCKETS:
                raise ValueError(f"the span has more than {MAX_BUCKETS} hours")
            while edges[-1] < self.until:
                edges.append(edges[-1] + step)  # in UTC: an hour that a change of clocks repeats is two
            return [edge.astimezone(self.zone) for edge in edges]
        if (self.until - self.since) / timedelta(days=1) > MAX_BUCKETS:
            raise ValueError(f"the span has more than {MAX_BUCKETS} days")
        edges = [start.replace(hour=0, fold=0)]
        while edges[-1] < self.until:
            # By the calendar: a day on which clocks change has 23 or 25 hours.
            edges.append((edges[-1].replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.zone))
        return edges

    def where(self, since: str = "%s", until: str = "%s") -> tuple[str, str, list[object]]:
        """Give (joins, condition, parameters) over exchanges `e`; `since` and `until` may be columns instead."""
        # An expression, or SQLite would rather make an index by kind than use the one by time.
        joins, conditions = "", [f"e.started_at >= {since}", f"e.started_at < {until}", "e.kind || '' = 'model'"]
        parameters: list[object] = [moment(t) for t, at in ((self.since, since), (self.until, until)) if at == "%s"]
        more, values, needs_session = self.filters()
        if needs_session:
            joins = " JOIN sessions s ON s.id = e.session_id"
        return joins, " AND ".join([*conditions, *more]), [*parameters, *values]

    def filters(self) -> tuple[list[str], list[object], bool]:
        """Give conditions, their parameters, and whether they are about the session (`s`) too."""
        conditions: list[str] = []
        parameters: list[object] = []
        for column, value in (("client", self.client), ("provider", self.provider)):
            if value is not None:
                conditions.append(f"e.{column} = %s")
                parameters.append(value)
        if self.model is not None:
            conditions.append(f"substr(e.model_used, 1, {len(self.model)}) = %s")
            parameters.append(self.model)
        if self.project is not None:
            conditions.append("s.project = %s")
            parameters.append(self.project)
        seen, names = viewing.condition()
        if seen:
            conditions.append(seen)
            parameters += names
        return conditions, parameters, self.project is not None or bool(seen)


def moment(time: datetime) -> object:
    """A time as a parameter of SQL."""
    return connection.ops.adapt_datetimefield_value(time.astimezone(UTC))


def rows(sql: str, parameters: list[object]) -> list[tuple]:
    """Ask the database."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()

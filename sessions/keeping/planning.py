"""What is due: files to compress, sessions to delete, and what stays although it is old."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef, Sum

from sessions.keeping.sizes import Sizes, measure
from sessions.models import Exchange, JsonlFile, Session

AGE, SIZE = "age", "size"
# Bytes that stand for a request of a session without a JSONL file.
PER_REQUEST = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept for how long; None: without a limit. `folder` has the JSONL files, `recorder` names who writes them."""

    folder: Path
    recorder: str
    max_age_days: float | None = None
    max_total_bytes: int | None = None
    compress_after_days: float | None = None

    @classmethod
    def of(cls, config: Any) -> "Policy":
        """Read it from the configuration (session_recording.cleanup.retention)."""
        recording = config.session_recording
        keys = recording.cleanup.retention
        limit = None if keys.max_total_size_gb is None else int(keys.max_total_size_gb * 1e9)
        return cls(recording.sessions_dir, config.identity, keys.max_age_days, limit, keys.compress_after_days)


@dataclass(frozen=True, slots=True)
class Due:
    """A session to delete. `bytes` is an estimate: what it shares with others stays."""

    pk: int
    session_id: str
    title: str
    ended_at: datetime
    why: str  # AGE or SIZE
    bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do now. `compress` has the files' bytes, `kept` counts sessions that stay though they are due."""

    sizes: Sizes
    compress: tuple[int, int]  # files, bytes
    delete: tuple[Due, ...]
    pinned: int
    running: int

    @property
    def bytes(self) -> int:
        """What deleting would free, about."""
        return sum(due.bytes for due in self.delete)


def plan(policy: Policy, now: datetime) -> Plan:
    """Say what is due."""
    sizes = measure(policy.folder)
    delete = due(policy, now, sizes)
    old = _old(policy, now)
    files = [row.size for row in to_compress(policy, now, {d.pk for d in delete}) if Path(row.path).is_file()]
    return Plan(
        sizes, (len(files), sum(files)), tuple(delete), old.filter(pinned=True).count(),
        old.filter(pinned=False).filter(_runs()).count(),
    )  # fmt: skip


def _runs() -> Exists:
    return Exists(Exchange.objects.filter(session=OuterRef("pk"), success=None))


def _old(policy: Policy, now: datetime) -> Any:
    """Sessions beyond the age; with a limit of size alone, those that are over it would be: none can be named as kept."""
    if policy.max_age_days is None:
        return Session.objects.none()
    return Session.objects.filter(completed_at__lt=now - timedelta(days=policy.max_age_days))


def _deletable() -> Any:
    """Sessions that may go, those that ended first before the others."""
    return Session.objects.filter(~_runs(), pinned=False).exclude(completed_at=None).order_by("completed_at", "pk")


def due(policy: Policy, now: datetime, sizes: Sizes) -> list[Due]:
    """Give the sessions to delete: by age, and as many more as bring the store below its size, the oldest first."""
    if policy.max_age_days is None and (policy.max_total_bytes is None or sizes.used <= policy.max_total_bytes):
        return []
    written = JsonlFile.objects.filter(session__isnull=False).aggregate(total=Sum("size"))["total"] or 0
    unwritten = Session.objects.filter(files__isnull=True).aggregate(total=Sum("requests"))["total"] or 0
    share = sizes.used / max(written + unwritten * PER_REQUEST, 1)
    oldest = None if policy.max_age_days is None else now - timedelta(days=policy.max_age_days)
    used, found = sizes.used, []
    for pk, session_id, title, ended_at, requests, size in _rows():
        is_old = oldest is not None and ended_at < oldest
        is_over = policy.max_total_bytes is not None and used > policy.max_total_bytes
        if not is_old and not is_over:
            break
        freed = int((size or requests * PER_REQUEST) * share)
        used -= freed
        found.append(Due(pk, session_id, title, ended_at, AGE if is_old else SIZE, freed))
    return found


def _rows() -> Iterator[tuple]:
    columns = ("pk", "session_id", "title", "completed_at", "requests", "bytes")
    return _deletable().annotate(bytes=Sum("files__size")).values_list(*columns).iterator(chunk_size=500)


def to_compress(policy: Policy, now: datetime, but: set[int] = frozenset()) -> Iterator[JsonlFile]:
    """Give the files of sessions that ended long enough ago, this recorder's own; `but` are sessions that go anyway."""
    if policy.compress_after_days is None:
        return
    before = now - timedelta(days=policy.compress_after_days)
    rows = JsonlFile.objects.filter(recorder=policy.recorder, session__completed_at__lt=before, size__gt=0)
    for row in rows.order_by("pk").iterator(chunk_size=500):
        if row.session_id not in but:
            yield row

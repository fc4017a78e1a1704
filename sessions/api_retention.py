"""The API's view of retention: what is kept for how long, what is due, and what was done."""

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from sessions import keeping, viewing
from sessions.api_common import BAD, known_parameters
from sessions.models import RetentionRun

router = Router(tags=["retention"])
# Sessions and runs that an answer names.
NAMED = 100


class DueOut(Schema):
    """A session that is to be deleted."""

    session_id: str
    title: str
    ended_at: datetime
    why: str = Field(description="age or size")
    bytes: int = Field(description="about what that frees")


class RunOut(Schema):
    """A run, as it ended or as far as it is."""

    started_at: datetime
    finished_at: datetime | None
    trigger: str
    compressed_files: int
    compressed_before: int
    compressed_after: int
    deleted_sessions: int
    deleted: list[dict[str, str]]
    freed_bytes: int
    size_before: int
    size_after: int | None
    problems: list[str]
    error: str


class RetentionOut(Schema):
    """Sizes are bytes."""

    compress_after_days: float | None
    max_age_days: float | None
    max_total_bytes: int | None
    interval_minutes: float
    database_bytes: int
    free_bytes: int = Field(description="of the database's file, beyond what rows and indexes take")
    files_bytes: int
    to_compress_files: int
    to_compress_bytes: int
    to_delete: int
    to_delete_bytes: int
    due: list[DueOut] = Field(description=f"the first {NAMED}")
    kept_pinned: int = Field(description="older than max_age_days, and kept because of their star")
    kept_running: int
    runs: list[RunOut] = Field(description="the last ones first")


@router.get("/retention", response={200: RetentionOut, **BAD}, summary="Retention")
@known_parameters()
def retention(request: HttpRequest) -> RetentionOut:
    """What is kept for how long, what is due, and what the last runs did."""
    policy = keeping.Policy.of(settings.LUNAROUTE)
    plan = keeping.plan(policy, timezone.now())
    return RetentionOut(
        compress_after_days=policy.compress_after_days,
        max_age_days=policy.max_age_days,
        max_total_bytes=policy.max_total_bytes,
        interval_minutes=settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes,
        database_bytes=plan.sizes.database,
        free_bytes=plan.sizes.free,
        files_bytes=plan.sizes.files,
        to_compress_files=plan.compress[0],
        to_compress_bytes=plan.compress[1],
        to_delete=len(plan.delete),
        to_delete_bytes=plan.bytes,
        due=[DueOut.from_orm(due) for due in viewing.without_titles(plan.delete[:NAMED])],
        kept_pinned=plan.pinned,
        kept_running=plan.running,
        runs=[RunOut.from_orm(run) for run in viewing.without_deleted(RetentionRun.objects.all()[:NAMED])],
    )

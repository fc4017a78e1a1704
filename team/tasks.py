"""What Celery does for a team."""

from datetime import UTC, datetime

from celery import shared_task

from team import audit


@shared_task
def forget_audit() -> None:
    """Delete old entries of the audit log."""
    audit.forget_old(datetime.now(UTC))

"""The commands of retention: `lunaroute-server retention run [--dry-run]` and `lunaroute-server retention status`."""

import argparse

from lunaroute_site.record_commands import fail, ready


def main(arguments: list[str]) -> int:
    """Run a command of `retention`; gives the exit code."""
    options = _parser().parse_args(arguments)
    problem = ready()
    if problem:
        return fail(problem)
    from django.db import DatabaseError

    try:
        return status() if options.command == "status" else run(options.dry_run)
    except DatabaseError as error:
        return fail(f"retention: {' '.join(str(error).split())}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lunaroute-server retention",
        description="Old sessions: compressed, and deleted, as the configuration says.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="compress and delete what is due",
        description="Compress and delete what is due by session_recording.cleanup.retention. The server may run; it does the "
        "same by itself. Interrupted, the next run goes on.",
        epilog="Exit code: 0 done, 1 something could not be, or another process is at it.",
    )
    command.add_argument("--dry-run", action="store_true", help="only say what would be done")
    commands.add_parser(
        "status", help="say what is kept for how long, what the store takes, what was done and what is due"
    )
    return parser


def run(is_dry: bool) -> int:
    """Do what is due, or say what that is."""
    from django.conf import settings
    from django.utils import timezone

    from sessions import keeping

    config = settings.LUNAROUTE
    policy = keeping.Policy.of(config)
    if is_dry:
        _say_plan(keeping.plan(policy, timezone.now()))
        return 0
    try:
        done = keeping.run(policy, config.home, "command")
    except keeping.AnotherRuns:
        return fail("retention: another process is at it already")
    except OSError as error:
        return fail(f"{error.filename or config.home}: {error.strerror}")
    print(_said(done))
    for problem in done.problems:
        fail(problem)
    return 1 if done.problems else 0


def status() -> int:
    """Say how the store is kept."""
    from django.conf import settings
    from django.utils import timezone

    from sessions import keeping
    from sessions.models import RetentionRun

    policy = keeping.Policy.of(settings.LUNAROUTE)
    minutes = settings.LUNAROUTE.session_recording.cleanup.retention.cleanup_interval_minutes
    print(f"Compressed after: {_days(policy.compress_after_days)}")
    print(f"Deleted after:    {_days(policy.max_age_days)}")
    print(f"At most:          {'no limit' if policy.max_total_bytes is None else size(policy.max_total_bytes)}")
    plan = keeping.plan(policy, timezone.now())
    sizes = plan.sizes
    print(
        f"The store takes:  {size(sizes.used)} (database {size(sizes.database)}, files {size(sizes.files)}; "
        f"{size(sizes.free)} of the database are free)"
    )
    _say_plan(plan)
    print(f"The server looks every {minutes:g} minutes.")
    for done in RetentionRun.objects.all()[:5]:
        print(f"  {timezone.localtime(done.started_at):%Y-%m-%d %H:%M}, by {done.trigger}: {_said(done)}")
    return 0


def _say_plan(plan) -> None:
    files, bytes_ = plan.compress
    if not files and not plan.delete:
        print("Due:              nothing")
    else:
        sessions = f"{len(plan.delete)} sessions to delete (about {size(plan.bytes)})"
        print(f"Due:              {sessions}, {files} files to compress ({size(bytes_)})")
    for due in plan.delete[:20]:
        why = "too old" if due.why == "age" else "over the size"
        print(f"  {due.ended_at:%Y-%m-%d} {due.session_id} ({why}) {due.title[:60]}".rstrip())
    if len(plan.delete) > 20:
        print(f"  … and {len(plan.delete) - 20} more")
    if plan.pinned or plan.running:
        print(f"Kept though old:  {plan.pinned} with a star, {plan.running} that run")


def _said(done) -> str:
    if done.finished_at is None:
        return "under way"
    text = f"{done.deleted_sessions} sessions deleted, {done.compressed_files} files compressed"
    if done.compressed_files:
        text += f" ({done.compressed_before / max(done.compressed_after, 1):.1f} times smaller)"
    text += f", {size(done.freed_bytes)} freed"
    return f"{text}; it ended early: {done.error}" if done.error else text


def _days(days: float | None) -> str:
    return "never" if days is None else f"{days:g} days"


def size(bytes_: int) -> str:
    """Give bytes as people say them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if bytes_ >= factor:
            return f"{bytes_ / factor:.1f} {unit}"
    return f"{bytes_} bytes"

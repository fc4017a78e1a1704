"""Moves a record from one database into another one: from a laptop's SQLite to a team's PostgreSQL.

What is there already is not written again, so an interrupted move goes on where it was. In the end both are read and
compared, row by row.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from django.apps import apps
from django.core.management.color import no_style
from django.db import connections, models, transaction

# Rows that are read and written at once.
AT_ONCE = 1000
# Made anew from the rest, or of the moment only.
LEFT_OUT = {
    "record.SearchDocument",
    "record.SearchSession",
    "record.FileRemoval",
    "routing.Revision",
    "routing.Reset",
    "routing.Rest",
    "routing.Trip",
}
# What PostgreSQL takes in no text, and what stands there instead.
NUL, INSTEAD = "\x00", "�"


class MoveProblem(Exception):
    """Why the record cannot be moved, in one line."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A table that was moved: its rows, and how many of them this run has written."""

    table: str
    rows: int
    written: int


def tables() -> list[type[models.Model]]:
    """Give the models whose rows are moved, each after those that it refers to."""
    found = [apps.get_model("auth", "User")]
    for label in ("routing", "record", "team"):
        models = apps.get_app_config(label).get_models(include_auto_created=True)
        found += [model for model in models if model._meta.label not in LEFT_OUT]
    ordered: list[type[models.Model]] = []
    while found:
        for model in found:
            others = {f.related_model for f in model._meta.concrete_fields if f.is_relation} - {model}
            if not others & set(found):
                ordered.append(model)
                found.remove(model)
                break
    return ordered


def move(source: str, target: str, tell: Callable[[str], None] = lambda line: None) -> list[Moved]:
    """Copy all rows from the database called `source` to `target`, which has its tables, and compare them.

    `tell` hears a line for each table. Raises MoveProblem where the target holds a record of its own, or where a row did
    not arrive as it was; DatabaseError where one of them cannot be asked.
    """
    _check_target(source, target)
    done = []
    for model in tables():
        written = copy(model, source, target)
        moved = Moved(model._meta.db_table, model._base_manager.using(source).count(), written)
        tell(f"{moved.table}: {moved.rows} rows, {moved.written} of them written now")
        done.append(moved)
    _count_on(target)
    for model in tables():
        _compare(model, source, target)
    return done


def _check_target(source: str, target: str) -> None:
    """The target may hold a part of the source's rows, from a move that was interrupted, and no others."""
    session = apps.get_model("record", "Session")
    for part in _parts(session.objects.using(target).order_by("pk").values_list("pk", "session_id").iterator()):
        here = dict(session.objects.using(source).filter(pk__in=[pk for pk, _ in part]).values_list("pk", "session_id"))
        for pk, session_id in part:
            if here.get(pk) != session_id:
                raise MoveProblem(
                    f"the database to move to has a session {session_id} that this record does not have: "
                    "move into an empty one (import its JSONL files there instead to join two records)"
                )


def _parts(rows: Iterator) -> Iterator[list]:
    part: list = []
    for row in rows:
        part.append(row)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _rows(model: type[models.Model], database: str, after: Any = None) -> Iterator[list[models.Model]]:
    """Give all rows behind the key `after`, in parts, by their keys."""
    while True:
        query = model._base_manager.using(database).order_by("pk")
        part = list((query if after is None else query.filter(pk__gt=after))[:AT_ONCE])
        if not part:
            return
        yield part
        after = part[-1].pk


def copy(model: type[models.Model], source: str, target: str) -> int:
    """Copy the rows of a table that are not there yet; gives their number."""
    last = model._base_manager.using(target).order_by("-pk").values_list("pk", flat=True).first()
    selves = [f for f in model._meta.concrete_fields if f.is_relation and f.related_model is model]
    written = 0
    for part in _rows(model, source, last):
        for row in part:
            _clean(row)
            for field in selves:  # what it refers to may not be there yet
                setattr(row, field.attname, None)
        with transaction.atomic(using=target):
            model._base_manager.using(target).bulk_create(part)
        written += len(part)
    for field in selves:
        _refer(model, field, source, target)
    return written


def _refer(model: type[models.Model], field: models.Field, source: str, target: str) -> None:
    """Set what rows of a table refer to in the same table."""
    name = field.attname
    wanted = model._base_manager.using(source).exclude(**{name: None}).order_by("pk").values_list("pk", name)
    for part in _parts(wanted.iterator()):
        there = dict(model._base_manager.using(target).filter(pk__in=[pk for pk, _ in part]).values_list("pk", name))
        late = [model(pk=pk, **{name: value}) for pk, value in part if there[pk] != value]
        if late:
            model._base_manager.using(target).bulk_update(late, [field.name])


def _clean(row: models.Model) -> None:
    """Leave out of a row what PostgreSQL does not take, and SQLite did."""
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(value, str):
            value = value.replace(NUL, INSTEAD)
            setattr(row, field.attname, value[: field.max_length] if field.max_length else value)
        elif isinstance(field, models.JSONField) and value:
            setattr(row, field.attname, orjson.loads(orjson.dumps(value).replace(b"\\u0000", INSTEAD.encode())))


def _count_on(database: str) -> None:
    """Let new rows get keys behind those that were written."""
    connection = connections[database]
    statements = connection.ops.sequence_reset_sql(no_style(), tables())
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _compare(model: type[models.Model], source: str, target: str) -> None:
    """Raise MoveProblem unless both databases have the same rows."""
    for part in _rows(model, source):
        wanted = {_key(row): _digest(row, is_clean=False) for row in part}
        there = model._base_manager.using(target).filter(pk__in=[row.pk for row in part])
        found = {_key(row): _digest(row, is_clean=True) for row in there}
        for key, digest in wanted.items():
            if found.get(key) != digest:
                what = "is not" if key not in found else "is not the same"
                raise MoveProblem(f"{model._meta.db_table}: row {key!r} {what} in the database that was moved to")


def _key(row: models.Model) -> Any:
    return bytes(row.pk) if isinstance(row.pk, bytes | memoryview) else row.pk


def _digest(row: models.Model, is_clean: bool) -> bytes:
    if not is_clean:
        _clean(row)
    found = hashlib.blake2b(digest_size=16)
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        value = bytes(value).hex() if isinstance(value, bytes | memoryview) else value
        found.update(orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS) + b"\n")
    return found.digest()

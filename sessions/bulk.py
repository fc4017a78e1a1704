"""Many rows at once, without what the ORM does for each: the recorder's writes are the store's hot path."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any

import orjson
from django.db import connections, models
from django.db.models.base import ModelState

from sessions.packing import PackedJSONField

# Values in one query; SQLite allows more variables than this everywhere.
AT_ONCE = 500
# Types that both databases take as they are.
_PLAIN = (
    models.CharField, models.TextField, models.IntegerField, models.FloatField, models.ForeignKey, models.BooleanField,
    models.BinaryField,
)  # fmt: skip


def make(model: type[models.Model], **values: Any) -> models.Model:
    """Make a row with `values` of plain fields: in a tenth of the time that the model's constructor takes."""
    row = model.__new__(model)
    members = row.__dict__
    members["_state"] = ModelState()
    members.update(_defaults(model))
    members.update(values)
    return row


@cache
def _defaults(model: type[models.Model]) -> dict[str, Any]:
    """Values of a new row; those that could be changed in place (lists, dictionaries) are not among them."""
    values = {name: value for name, value in vars(model()).items() if name != "_state"}
    return {name: value for name, value in values.items() if not isinstance(value, dict | list)}


@cache
def _columns(
    model: type[models.Model], names: tuple[str, ...] | None, vendor: str
) -> tuple[list[str], Callable[[models.Model], tuple], list[tuple[int, Callable]]]:
    """Give columns, a function that reads them of a row, and what prepares values (by their place)."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.BigAutoField)]
    if names is not None:
        fields = [model._meta.get_field(name) for name in names]
    prepared = [(place, _preparing(f, vendor)) for place, f in enumerate(fields) if not _is_plain(f)]
    read = attrgetter(*(field.attname for field in fields))
    return [f.column for f in fields], read if len(fields) > 1 else lambda row: (read(row),), prepared


def _is_plain(field: models.Field) -> bool:
    return isinstance(field, _PLAIN) and not isinstance(field, PackedJSONField)


def _preparing(field: models.Field, vendor: str) -> Callable[[Any], Any]:
    if vendor == "sqlite" and isinstance(field, models.DateTimeField):
        return _sqlite_time
    if vendor == "sqlite" and type(field) is models.JSONField:
        return _sqlite_json
    connection = connections["default"]
    return lambda value: field.get_db_prep_save(value, connection)


def _sqlite_time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _sqlite_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _values(
    rows: Iterable[models.Model], read: Callable[[models.Model], tuple], prepared: list[tuple[int, Callable]]
) -> list[list]:
    found = []
    for row in rows:
        values = list(read(row))
        for place, prepare in prepared:
            values[place] = prepare(values[place])
        found.append(values)
    return found


def known(table: str, column: str, values: Collection[object]) -> set:
    """Give those of `values` that stand in a table's column."""
    # PostgreSQL gives bytes as memoryviews.
    return {bytes(v) if isinstance(v, memoryview) else v for (v,) in _select(f'"{column}"', table, column, values)}


def keys_of(table: str, column: str, values: Collection[object]) -> dict:
    """Give the primary key of each of `values` that stands in a table's column."""
    return dict(_select(f'"{column}", "id"', table, column, values))


def _select(what: str, table: str, column: str, values: Collection[object]) -> list[tuple]:
    found, wanted = [], list(values)
    with connections["default"].cursor() as cursor:
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(f'SELECT {what} FROM "{table}" WHERE "{column}" IN ({marks})', some)
            found += cursor.fetchall()
    return found


def insert_tuples(table: str, columns: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Insert `rows`, those that are not there yet."""
    _insert(table, columns, rows, " ON CONFLICT DO NOTHING")


def insert(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert `rows`. Primary keys that the database gives are not read back."""
    columns, read, prepared = _columns(model, None, connections["default"].vendor)
    _insert(model._meta.db_table, columns, _values(rows, read, prepared))


def _insert(table: str, columns: Sequence[str], rows: Sequence[Sequence], conflict: str = "") -> None:
    if not rows:
        return
    names = ", ".join(f'"{column}"' for column in columns)
    statement, marks = f'INSERT INTO "{table}" ({names}) VALUES ', "(" + ", ".join(["%s"] * len(columns)) + ")"
    connection = connections["default"]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(statement + marks + conflict, rows)
            return
        for start in range(0, len(rows), AT_ONCE):  # one statement is one way to the server and back
            some = rows[start : start + AT_ONCE]
            many = ", ".join([marks] * len(some))
            cursor.execute(statement + many + conflict, [value for row in some for value in row])


def update(
    model: type[models.Model],
    rows: Iterable[models.Model],
    names: tuple[str, ...] | None = None,
    by: tuple[str, ...] = ("id",),
) -> None:
    """Write the fields `names` (all by default) of `rows`, which are in the database, found by the columns `by`."""
    rows = list(rows)
    if not rows:
        return
    connection = connections["default"]
    columns, read, prepared = _columns(model, names, connection.vendor)
    assignments = ", ".join(f'"{column}" = %s' for column in columns)
    condition = " AND ".join(f'"{column}" = %s' for column in by)
    values = _values(rows, read, prepared)
    with connection.cursor() as cursor:
        cursor.executemany(
            f'UPDATE "{model._meta.db_table}" SET {assignments} WHERE {condition}',
            [[*own, *(getattr(row, name) for name in by)] for own, row in zip(values, rows, strict=True)],
        )

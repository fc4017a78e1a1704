"""Many rows at once, without what the ORM does for each: the recorder's writes are the store's hot path."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any

import orjson
from django.db import connections, models
from django.db.models.base import ModelState

from sessions import binary
from sessions.packing import PackedJSONField, pack_field

# Values in one query; SQLite allows more variables than this everywhere.
AT_ONCE = 500
# What PostgreSQL calls values.
_ARRAYS = {bytes: "bytea", str: "text", int: "bigint"}
# Types that SQLite takes as they are.
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
    prepared = [(place, prepare) for place, f in enumerate(fields) if (prepare := _preparing(f, vendor)) is not None]
    read = attrgetter(*(field.attname for field in fields))
    return [f.column for f in fields], read if len(fields) > 1 else lambda row: (read(row),), prepared


def _preparing(field: models.Field, vendor: str) -> Callable[[Any], Any] | None:
    if isinstance(field, PackedJSONField):
        return _packed
    if vendor == "postgresql" or isinstance(field, _PLAIN):
        return None  # what sessions.binary takes, or any database
    if isinstance(field, models.DateTimeField):
        return _sqlite_time
    if type(field) is models.JSONField:
        return _sqlite_json
    connection = connections["default"]
    return lambda value: field.get_db_prep_save(value, connection)


def _packed(value: Any) -> bytes:
    return pack_field(orjson.dumps(value))


@cache
def _kinds(model: type[models.Model], columns: tuple[str, ...]) -> list[str]:
    """Give the SQL types of columns, without their lengths."""
    by_column = {field.column: field for field in model._meta.concrete_fields}
    return [by_column[column].db_type(connections["default"]).partition("(")[0] for column in columns]


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
    """Give those of `values`, texts or keys of content, that stand in a table's column."""
    # PostgreSQL gives bytes as memoryviews.
    return {bytes(v) if isinstance(v, memoryview) else v for (v,) in _select(f'"{column}"', table, column, values)}


def read(
    model: type[models.Model], names: Sequence[str], keys: Collection[int], is_locked: bool = False
) -> list[tuple]:
    """Give primary key and fields `names` (no times) of the rows with these keys; `is_locked`: in the keys' order, and
    until the transaction ends nobody else writes them."""
    fields = [model._meta.pk, *map(model._meta.get_field, names)]
    end = f' ORDER BY "{fields[0].column}" FOR UPDATE' if is_locked else ""
    what = ", ".join(f'"{field.column}"' for field in fields)
    found = _select(what, model._meta.db_table, fields[0].column, keys, end)
    places = [place for place, field in enumerate(fields) if isinstance(field, models.JSONField)]
    for place in places:
        found = [(*row[:place], orjson.loads(row[place]), *row[place + 1 :]) for row in found]
    return found


def _select(what: str, table: str, column: str, values: Collection[object], end: str = "") -> list[tuple]:
    found, wanted = [], list(values)
    if not wanted:
        return []
    connection = connections["default"]
    if connection.vendor == "postgresql":
        kind = _ARRAYS[type(wanted[0])]
        statement = f'SELECT {what} FROM "{table}" WHERE "{column}" = ANY(%b::{kind}[]){end}'
        return binary.execute(connection, statement, [binary.array(kind, wanted)])
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(f'SELECT {what} FROM "{table}" WHERE "{column}" IN ({marks}){end}', some)
            found += cursor.fetchall()
    return found


def insert_tuples(model: type[models.Model], columns: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Insert `rows`, those that are not there yet. The first column is the key."""
    # All in one order: who waits for a key that somebody else writes must not have one that the other waits for.
    _insert(model, columns, sorted(rows, key=itemgetter(0)), " ON CONFLICT DO NOTHING")


def insert(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert `rows`. Primary keys that the database gives are not read back."""
    columns, read, prepared = _columns(model, None, connections["default"].vendor)
    _insert(model, columns, _values(rows, read, prepared))


def insert_with_keys(model: type[models.Model], rows: Mapping[str, models.Model], name: str) -> None:
    """Insert rows, given by the value of their unique column `name`, and set the primary keys that the database gives."""
    columns, read, prepared = _columns(model, None, connections["default"].vendor)
    found = _insert(model, columns, _values(rows.values(), read, prepared), f' RETURNING "{name}", "id"')
    for value, key in found or _select(f'"{name}", "id"', model._meta.db_table, name, rows):
        rows[value].pk = key


def _insert(model: type[models.Model], columns: Sequence[str], rows: Sequence[Sequence], end: str = "") -> list[tuple]:
    """Insert `rows`. Gives what the statement's `end` returns: SQLite nothing."""
    if not rows:
        return []
    names = ", ".join(f'"{column}"' for column in columns)
    statement = f'INSERT INTO "{model._meta.db_table}" ({names}) '
    connection = connections["default"]
    if connection.vendor == "postgresql":
        source, arrays = binary.unnest(_kinds(model, tuple(columns)), rows)
        return binary.execute(connection, f"{statement}SELECT * FROM {source}{end}", arrays, "RETURNING" in end)
    marks = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f"{statement}VALUES ({marks}){end.partition(' RETURNING')[0]}", rows)
    return []


def together() -> AbstractContextManager[None]:
    """Wait for PostgreSQL only where something is read: what is wrong with a statement may be raised with a later one."""
    connection = connections["default"]
    return binary.pipeline(connection) if connection.vendor == "postgresql" else nullcontext()


def update(
    model: type[models.Model],
    rows: Iterable[models.Model],
    names: tuple[str, ...] | None = None,
    by: tuple[str, ...] = ("id",),
) -> None:
    """Write the fields `names` (all by default) of `rows`, which are in the database, found by the columns `by`."""
    rows = list(rows)
    columns, read, prepared = _columns(model, names, connections["default"].vendor)
    values = _values(rows, read, prepared)
    update_tuples(
        model, columns, by,
        [[*own, *(getattr(row, name) for name in by)] for own, row in zip(values, rows, strict=True)],
    )  # fmt: skip


def update_tuples(
    model: type[models.Model], columns: Sequence[str], by: Sequence[str], rows: Sequence[Sequence]
) -> None:
    """Write `columns` of the rows that are found by the columns `by`: each of `rows` has the values of both."""
    if not rows:
        return
    connection, table = connections["default"], model._meta.db_table
    if connection.vendor == "postgresql":
        source, arrays = binary.unnest(_kinds(model, (*columns, *by)), rows)
        names = [f"c{number}" for number in range(len(arrays))]
        assignments = ", ".join(f'"{column}" = v.{name}' for column, name in zip(columns, names, strict=False))
        condition = " AND ".join(f't."{c}" = v.{n}' for c, n in zip(by, names[len(columns) :], strict=True))
        statement = f'UPDATE "{table}" t SET {assignments} FROM {source} v({", ".join(names)}) WHERE {condition}'
        binary.execute(connection, statement, arrays, gives_rows=False)
        return
    assignments = ", ".join(f'"{column}" = %s' for column in columns)
    condition = " AND ".join(f'"{column}" = %s' for column in by)
    with connection.cursor() as cursor:
        cursor.executemany(f'UPDATE "{table}" SET {assignments} WHERE {condition}', rows)

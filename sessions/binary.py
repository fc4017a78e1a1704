"""Values as PostgreSQL takes them in its binary format: rows in columns, each column one array.

One statement then takes any number of rows, in one way to the server and back, and neither side writes or reads values
as text. https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES says where the formats stand:
in each type's own `recv` function.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from struct import Struct
from typing import Any

import orjson
from django.db.backends.base.base import BaseDatabaseWrapper

# Times count from here.
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"
_int2, _int4, _int8, _float8 = (Struct(code).pack for code in ("!ih", "!ii", "!iq", "!id"))
_size = Struct("!i").pack
# Dimensions, whether there are nulls (the server looks itself), type of the elements, their number, number of the first.
_head = Struct("!iiIii").pack


def _bytes(value: bytes | memoryview) -> bytes:
    return _size(len(value)) + value


def _text(value: str) -> bytes:
    data = value.encode()
    return _size(len(data)) + data


def _jsonb(value: Any) -> bytes:
    data = orjson.dumps(value)
    return _size(len(data) + 1) + b"\1" + data


def _time(value: datetime) -> bytes:
    return _int8(8, (value - _EPOCH) // _MICROSECOND)


# By the name that a type has in SQL: its number, and what makes an element of a value.
_TYPES: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "boolean": (16, lambda value: b"\0\0\0\1\1" if value else b"\0\0\0\1\0"),
    "bytea": (17, _bytes),
    "bigint": (20, lambda value: _int8(8, value)),
    "smallint": (21, lambda value: _int2(2, value)),
    "integer": (23, lambda value: _int4(4, value)),
    "text": (25, _text),
    "double precision": (701, lambda value: _float8(8, value)),
    "varchar": (1043, _text),
    "timestamp with time zone": (1184, _time),
    "jsonb": (3802, _jsonb),
}


class _Array(bytes):
    """An array in binary format."""


@cache
def _dumper() -> type:
    """Give what hands an `_Array` to psycopg, which is loaded where there is a PostgreSQL."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = 0  # statements name the type

        def dump(self, obj: _Array) -> bytes:
            return obj

    return ArrayDumper


def array(kind: str, values: Iterable[Any]) -> _Array:
    """Give values of the SQL type `kind` as an array."""
    number, encode = _TYPES[kind]
    elements = [_NULL if value is None else encode(value) for value in values]
    if not elements:
        return _Array(_head(0, 0, number, 0, 1)[:12])
    return _Array(b"".join((_head(1, 0, number, len(elements), 1), *elements)))


def unnest(kinds: Sequence[str], rows: Sequence[Sequence]) -> tuple[str, list[_Array]]:
    """Give `rows`, whose columns have the SQL types `kinds`, as a source of rows in a statement, and its parameters."""
    arrays = [array(kind, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]
    return "unnest(" + ", ".join(f"%b::{kind}[]" for kind in kinds) + ")", arrays


@contextmanager
def pipeline(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Send the statements that give nothing together with the next that does: one way to the server and back for all.
    What is wrong with one of them is raised with that one, or at the end."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def execute(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any], gives_rows: bool = True
) -> list[tuple]:
    """Run a statement with parameters, arrays (`%b`) among them. Gives its rows if it `gives_rows`."""
    import psycopg

    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.adapters.register_dumper(_Array, _dumper())
        cursor.execute(statement, parameters)
        return cursor.fetchall() if gives_rows else []

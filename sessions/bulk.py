"""Many rows at once, without what the ORM does for each: the recorder's writes are the store's hot path."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from django.db import connections, models

# Values in one query; SQLite allows more variables than this everywhere.
AT_ONCE = 500
# Types that both databases take as they are.
_PLAIN = (
    models.CharField, models.TextField, models.IntegerField, models.FloatField, models.ForeignKey, models.BooleanField,
)  # fmt: skip


@cache
def _columns(model: type[models.Model], names: tuple[str, ...] | None) -> list[tuple[str, str, models.Field | None]]:
    """Give (attribute, column, field that prepares the value or None) for a model's fields."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.BigAutoField)]
    if names is not None:
        fields = [model._meta.get_field(name) for name in names]
    return [(f.attname, f.column, None if isinstance(f, _PLAIN) else f) for f in fields]


def _values(row: models.Model, columns: list[tuple[str, str, models.Field | None]], connection) -> list[object]:
    return [
        getattr(row, name) if field is None else field.get_db_prep_save(getattr(row, name), connection)
        for name, _, field in columns
    ]


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


def insert_tuples(table: str, columns: Sequence[str], rows: Sequence[tuple]) -> None:
    """Insert `rows`, those that are not there yet."""
    if not rows:
        return
    names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join(["%s"] * len(columns))
    with connections["default"].cursor() as cursor:
        cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING', rows)


def insert(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert `rows`. Primary keys that the database gives are not read back."""
    if not rows:
        return
    columns = _columns(model, None)
    names = ", ".join(f'"{column}"' for _, column, _ in columns)
    marks = ", ".join(["%s"] * len(columns))
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks})',
            [_values(row, columns, connection) for row in rows],
        )


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
    columns = _columns(model, names)
    assignments = ", ".join(f'"{column}" = %s' for _, column, _ in columns)
    condition = " AND ".join(f'"{column}" = %s' for column in by)
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.executemany(
            f'UPDATE "{model._meta.db_table}" SET {assignments} WHERE {condition}',
            [[*_values(row, columns, connection), *(getattr(row, name) for name in by)] for row in rows],
        )

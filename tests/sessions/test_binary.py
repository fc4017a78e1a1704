"""Values on their way to PostgreSQL in its binary format, and what happens to statements that are sent together."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from django.db import DataError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions import binary, bulk
from sessions.models import Blob, Session
from tests.support.databases import default_database

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
VALUES = {
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(allow_nan=False),
    "text": TEXT,
    "varchar": TEXT,
    "timestamp with time zone": TIMES,
}


@pytest.fixture
def postgres(postgres_url, django_db_blocker):
    with django_db_blocker.unblock(), default_database(postgres_url), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.parametrize("kind", VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_values_arrive_as_they_are(postgres, kind, data):
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=5))
    source, arrays = f"unnest(%b::{kind}[])", [binary.array(kind, values)]
    assert [value for (value,) in binary.execute(connection, f"SELECT * FROM {source}", arrays)] == values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(JSON, max_size=4))
def test_json_arrives_as_it_is(postgres, values):
    statement = "SELECT coalesce(jsonb_agg(v), '[]') FROM unnest(%b::jsonb[]) v"
    ((found,),) = binary.execute(connection, statement, [binary.array("jsonb", values)])
    assert orjson.loads(found) == values


def test_a_time_of_another_zone_is_the_same_moment(postgres):
    time = datetime(2026, 3, 4, 5, 6, 7, 8, timezone(timedelta(hours=-3, minutes=-30)))
    arrays = [binary.array("timestamp with time zone", [time])]
    assert binary.execute(connection, "SELECT (%b::timestamptz[])[1]", arrays) == [(time,)]


def test_rows_that_are_there_stay(postgres):
    columns = ("key", "size", "codec", "data")
    bulk.insert_tuples(Blob, columns, [(b"a", 1, 0, b"1"), (b"b", 1, 0, b"2")])
    bulk.insert_tuples(Blob, columns, [(b"b", 9, 9, b"9"), (b"c", 1, 0, b"3")])
    assert {bytes(key): bytes(data) for key, data in Blob.objects.values_list("key", "data")} == {
        b"a": b"1", b"b": b"2", b"c": b"3",
    }  # fmt: skip


def test_rows_get_the_keys_that_the_database_gives_them(both_databases):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    rows = {name: Session(session_id=name, started_at=now, tags=["é", 1]) for name in ("one", "two", "three")}
    bulk.insert_with_keys(Session, rows, "session_id")
    assert {name: Session.objects.get(session_id=name).pk for name in rows} == {n: row.pk for n, row in rows.items()}
    rows["two"].title, rows["three"].title, rows["three"].tags = "zwei", "drei", []
    bulk.update(Session, [rows["two"], rows["three"]], ("title", "tags"))
    found = {row.session_id: (row.title, row.tags, row.started_at) for row in Session.objects.all()}
    assert found == {"one": ("", ["é", 1], now), "two": ("zwei", ["é", 1], now), "three": ("drei", [], now)}
    read = bulk.read(Session, ("title", "tags"), [rows["three"].pk], is_locked=both_databases == "postgres")
    assert read[0][:2] == (rows["three"].pk, "drei")


def test_what_is_wrong_with_a_statement_that_was_sent_with_others_is_raised(postgres):
    with pytest.raises(DataError), transaction.atomic(), bulk.together():
        bulk.insert_tuples(Blob, ("key", "size", "codec", "data"), [(b"x", 1, 0, b"1")])
        arrays = [binary.array("text", ["a\0b"])]
        binary.execute(connection, "SELECT * FROM unnest(%b::text[])", arrays, gives_rows=False)
        bulk.insert_tuples(Blob, ("key", "size", "codec", "data"), [(b"y", 1, 0, b"1")])
    assert not Blob.objects.exists()

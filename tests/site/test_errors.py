"""What counts as a database that is gone."""

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError

from lunaroute_site.errors import is_gone


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (OperationalError("database is locked"), True),
        (OperationalError("unable to open database file"), True),
        (OperationalError("disk I/O error"), True),
        (InterfaceError("unable to open"), True),
        (OperationalError("no such column: x"), False),
        (OperationalError('fts5: syntax error near "'), False),
        (IntegrityError("locked"), False),
        (ValueError("disk"), False),
        (None, False),
    ],
)
def test_a_fault_of_a_query_is_a_bug_and_no_503(error, gone):
    assert is_gone(error) is gone

"""Routing over a test's own database."""

from pathlib import Path

import pytest

from routing import live, revision
from tests.sessions.conftest import both_databases, chosen_database, database  # noqa: F401


@pytest.fixture
def home(tmp_path: Path, settings, monkeypatch) -> Path:
    """A home of the test's own, and nothing that another test left of what is served."""
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"home": tmp_path / "home"})
    monkeypatch.setattr(live, "current", None)
    revision.counter.cache_clear()
    yield tmp_path / "home"
    revision.counter.cache_clear()

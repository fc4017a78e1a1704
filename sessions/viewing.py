"""Who looks at the record: what they may see of it, for every query that pages and API make.

Nobody in particular (None) sees everything: the owner of a laptop, a command, the recorder. In a team each request and
each socket names its viewer before anything is read (team/access.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from sessions.models import Session


@dataclass(frozen=True, slots=True)
class Viewer:
    """A user, the projects whose sessions others share with them, and whether they may read everything."""

    name: str
    projects: frozenset[str] = frozenset()
    sees_all: bool = False


_viewer: ContextVar[Viewer | None] = ContextVar("viewer", default=None)


def current() -> Viewer | None:
    """Give who looks."""
    return _viewer.get()


def look_as(viewer: Viewer | None) -> None:
    """Let `viewer` be who looks, in this context from now on."""
    _viewer.set(viewer)


@contextmanager
def viewed_by(viewer: Viewer | None) -> Iterator[None]:
    """Let `viewer` be who looks, for a while."""
    token = _viewer.set(viewer)
    try:
        yield
    finally:
        _viewer.reset(token)


def sessions() -> QuerySet[Session]:
    """Give the sessions that whoever looks may see."""
    viewer = _viewer.get()
    if viewer is None or viewer.sees_all:
        return Session.objects.all()
    # "" is no project: sessions without one are shared with nobody.
    return Session.objects.filter(Q(owner=viewer.name) | Q(project__in=viewer.projects - {""}))


def condition() -> tuple[str, list[object]]:
    """Give the same as SQL over sessions `s` with its parameters; "" where everything may be seen."""
    viewer = _viewer.get()
    if viewer is None or viewer.sees_all:
        return "", []
    projects = sorted(viewer.projects - {""})
    if not projects:
        return "s.owner = %s", [viewer.name]
    return f"(s.owner = %s OR s.project IN ({', '.join(['%s'] * len(projects))}))", [viewer.name, *projects]


def may_change(session: Session) -> bool:
    """Tell whether whoever looks may delete a session that they see: their own, and who may read everything any."""
    viewer = _viewer.get()
    return viewer is None or viewer.sees_all or session.owner == viewer.name

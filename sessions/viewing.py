"""Who looks at the record: what they may see of it, for every query that pages and API make.

Nobody in particular (None) sees everything: the owner of a laptop, a command, the recorder. In a team each request and
each socket names its viewer before anything is read (team/access.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from sessions.models import Session, Star


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


def star(session: Session, pinned: bool) -> None:
    """Give a session the star of whoever looks, or take it away."""
    viewer = _viewer.get()
    session.pin(pinned, viewer.name if viewer is not None else "")


def starred(found: QuerySet[Session], pinned: bool) -> QuerySet[Session]:
    """Give those of sessions that have the star of whoever looks, or those that have not."""
    viewer = _viewer.get()
    if viewer is None:
        return found.filter(pinned=pinned)
    own = Exists(Star.objects.filter(session=OuterRef("pk"), user=viewer.name))
    return found.filter(own if pinned else ~own)


def with_own_stars(found: list[Session]) -> list[Session]:
    """Let ``pinned`` of sessions say whether whoever looks gave them a star."""
    viewer = _viewer.get()
    if viewer is not None:
        own = set(Star.objects.filter(session__in=found, user=viewer.name).values_list("session", flat=True))
        for session in found:
            session.pinned = session.pk in own
    return found


def without_titles(due: Iterable[Any]) -> list[Any]:
    """Give dataclasses that name sessions (`session_id`, `title`), without the titles of those that whoever looks may not see."""
    due = list(due)
    if _sees_all():
        return due
    seen = set(sessions().filter(session_id__in=[one.session_id for one in due]).values_list("session_id", flat=True))
    return [one if one.session_id in seen else replace(one, title="") for one in due]


def without_deleted(runs: Iterable[Any]) -> list[Any]:
    """Give runs of retention; what they deleted has its titles only for who may read everything."""
    runs = list(runs)
    if not _sees_all():
        for run in runs:
            run.deleted = [{**one, "title": ""} for one in run.deleted]
    return runs


def _sees_all() -> bool:
    viewer = _viewer.get()
    return viewer is None or viewer.sees_all

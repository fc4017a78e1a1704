"""Tokens: made once, shown once, and known to every process that serves."""

import secrets
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import m2m_changed, post_delete, post_save

from proxy.identity import Identities, User, digest
from routing import revision
from team.models import Limit, Project, Token

# Before it, so that scanners for secrets know what they have found.
PREFIX = "lr_"
# In a browser's session: by which token it was signed in.
_BY = "team_signed_in_by"


def make(user: Any, name: str, expires_at: datetime | None = None) -> tuple[Token, str]:
    """Make a token for `user`; gives its row and the token itself, which nobody can show again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    row = Token.objects.create(
        user=user, name=name, digest=digest(secret.encode()), hint=secret[-4:], expires_at=expires_at
    )
    return row, secret


def user_of(token: str) -> Any | None:
    """Return the active user of a token, or None."""
    return _user_by(digest(token.encode("utf-8", "replace")))


def mark(session: Any, token: str) -> None:
    """Note in a browser's session that it was signed in by `token`, with which it ends; or, with "", by something else."""
    session[_BY] = digest(token.encode()).hex() if token else ""


def is_ended(session: Any, user: Any) -> bool:
    """Return whether a browser's session was signed in by a token that is none of `user` any more."""
    by = session.get(_BY, "")
    return bool(by) and _user_by(bytes.fromhex(by)) != user


def _user_by(key: bytes) -> Any | None:
    row = Token.objects.select_related("user").filter(digest=key).first()
    if row is None or not row.user.is_active or (row.expires_at and row.expires_at <= datetime.now(UTC)):
        return None
    return row.user


def identities() -> Identities:
    """Give all tokens of active users, for the proxy. Raises DatabaseError."""
    projects: dict[str, set[str]] = defaultdict(set)
    for user, project in Project.members.through.objects.values_list("user__username", "project__name"):
        projects[user].add(project)
    rows = Token.objects.filter(user__is_active=True).values_list("digest", "user__username", "expires_at")
    return Identities(
        {
            bytes(key): User(name, at.timestamp() if at else None, frozenset(projects.get(name, ())))
            for key, name, at in rows
        }
    )


def connect() -> None:
    """Let every process load them anew when one changes, or a user does, or what a user may use, or a project."""
    for model in (Token, Limit, Project, get_user_model()):
        for signal in (post_save, post_delete):
            signal.connect(_changed, sender=model, dispatch_uid=f"team.tokens.{model.__name__}")
    m2m_changed.connect(_changed, sender=Project.members.through, dispatch_uid="team.tokens.members")


def _changed(using: str | None = None, update_fields: Any = None, **_: Any) -> None:
    if update_fields is not None and set(update_fields) == {"last_login"}:
        return  # who signs in changes no token
    revision.changed(using or "default")

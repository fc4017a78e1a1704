"""Users' names and first passwords: what an administrator can give without coming to read anything by it."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from sessions.models import Session
from team.models import Account

# In a browser's session: its user's password is known to somebody else.
MUST_CHANGE = "must_change_password"


def problem_of_name(name: str) -> str:
    """Say why no user of that name may be made on a page, or nothing: who is called so would own sessions, or read them all."""
    if name in settings.LUNAROUTE.team.readers:
        return "expected another name: team.readers has this one, and who is called so is made by `lunaroute-server users add`"
    if Session.objects.filter(owner=name).exists():
        return "expected another name: there are sessions of a user who was called so, which would be this one's"
    return ""


def is_fresh(user: Any) -> bool:
    """Tell whether nothing can be reached by a user yet: no session, token or project, and they never came in."""
    has_come = user.last_login is not None or user.tokens.exists() or hasattr(user, "oidc_login")
    has_come = has_come or user.shared_projects.exists() or user.invitations.exists()
    return not has_come and not problem_of_name(user.get_username())


def password_is_known(user: Any) -> None:
    """Note that somebody else has set the user's password: it lets in to be changed."""
    Account.objects.update_or_create(user=user, defaults={"must_change_password": True})


def password_is_own(user: Any) -> None:
    """Note that the user has set it."""
    Account.objects.filter(user=user).update(must_change_password=False)


def note_login(request: HttpRequest | None = None, user: Any = None, **_: object) -> None:
    """Let a browser's session know what its user has to do first (a receiver of user_logged_in)."""
    if request is not None and Account.objects.filter(user=user, must_change_password=True).exists():
        request.session[MUST_CHANGE] = True

"""The audit log: each read of a session, each search, export, deletion and change, and each sign-in. Never what was read."""

import logging
import re
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse

from team.models import AuditEntry

logger = logging.getLogger("lunaroute.audit")

# A session and all below it; the image of a message; the admin's pages of the record.
_READ = re.compile(r"/(ui/)?sessions/[^/]+(/.*)?|/ui/images/.*|/admin/record/(session|exchange|toolcall)/.+")
_EXPORT = re.compile(r"/sessions/[^/]+/(export|exchanges/[^/]+/raw)")
_LOGIN = re.compile(r"/login(/.*)?|/owner/.*|/admin/login/|/logout|/admin/logout/")
# The secret in the path of the owner's link.
_SECRET = re.compile(r"^(/owner/|/t/)[^/?]+")


def action_of(method: str, path: str, query: str) -> str:
    """Name what a request does; "" for what nobody needs to know later."""
    if _LOGIN.fullmatch(path):
        return "login" if method == "POST" or path.startswith(("/owner/", "/login/")) else ""
    if method == "DELETE" or (method == "POST" and path.endswith("/delete")):
        return "delete"
    if method not in ("GET", "HEAD", "OPTIONS"):
        return "change"
    if _EXPORT.fullmatch(path):
        return "export"
    if _READ.fullmatch(path):
        return "read"
    return "search" if "text_search=" in query else ""


def note(request: HttpRequest, response: HttpResponse) -> None:
    """Write down what a request did, if that matters."""
    query = request.META.get("QUERY_STRING", "")
    action = action_of(request.method or "", request.path_info, query)
    if action:
        name = request.user.get_username() if request.user.is_authenticated else request.POST.get("username", "")
        # What was searched for is as telling as what was found.
        target = request.path_info if action in ("login", "search") else request.get_full_path_info()
        write(name, action, target, response.status_code, request.META.get("REMOTE_ADDR") or "")


def write(user: str, action: str, target: str, status: int, address: str) -> None:
    """Write an entry down; where the database cannot be written it is in the server's log at least."""
    target = _SECRET.sub(r"\1…", target).replace("\0", "")[:500]
    user = user.replace("\0", "")[:150]
    try:
        AuditEntry.objects.create(
            at=datetime.now(UTC), user=user, action=action, target=target, status=status, address=address[:64]
        )
    except Error:
        logger.error("not in the audit log: %r %s %r (%d) from %s", user, action, target, status, address)


def forget_old(now: datetime) -> int:
    """Delete entries beyond ``team.audit_days``; gives how many."""
    before = now - timedelta(days=settings.LUNAROUTE.team.audit_days)
    return AuditEntry.objects.filter(at__lt=before).delete()[0]

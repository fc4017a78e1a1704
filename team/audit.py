"""The audit log: each read of a session, each search, list, export, deletion and change, each sign-in and each step towards
reading, and what was refused. Never what was read, looked for or given as a token.

Whom it concerns stands there, too (``subject``): people see on their account page what others did that concerns them.
"""

import logging
import queue
import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from time import monotonic

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error, close_old_connections, connection
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from sessions import viewing
from sessions.models import Session
from team.models import AuditEntry

logger = logging.getLogger("lunaroute.audit")

# A session and all below it; the image of a message; the admin's pages of the record. A part of a path may have newlines.
_READ = re.compile(r"(?s)/(ui/)?sessions/[^/]+(/.*)?|/ui/images/.*|/admin/record/(session|exchange|toolcall)/.+")
_EXPORT = re.compile(r"/sessions/[^/]+/(export|exchanges/[^/]+/raw)")
_LIST = re.compile(
    r"/sessions/?|/ui/?|/ui/sessions/?|/ui/analytics/?|/ui/live|/admin/record/(session|exchange|toolcall)/"
)
_LOGIN = re.compile(r"(?s)/login(/.*)?|/owner/.*|/admin/login/|/logout|/admin/logout/")
_SESSION = re.compile(r"/(?:ui/|ui/live/)?sessions/([^/]+)")
# The secret in the path of the owner's link, of a client's token.
_SECRET = re.compile(r"^(/owner/|/t/)[^/?]+")
# Parameters of what is looked for: of lists, of a session's page, of the admin.
SEARCHES = ("text_search", "find", "q")
# Steps towards reading, of which the person concerned is told.
MEMBER, CREDENTIAL, ROLE = "member", "credential", "role"
STEPS = (MEMBER, CREDENTIAL, ROLE)
REFUSED, TOKEN = "refused", "token"
READS = ("read", "export", "delete")
COMMAND_LINE = "(command line)"


def action_of(method: str, path: str, parameters: object) -> str:
    """Name what a request does; "" for what nobody needs to know later. `parameters` are names, decoded."""
    if _LOGIN.fullmatch(path):
        return "login" if method == "POST" or path.startswith(("/owner/", "/login/")) else ""
    if path.endswith("/pin"):
        return "change"  # of one's own star
    if method == "DELETE" or (method == "POST" and path.endswith("/delete")):
        return "delete"
    if method not in ("GET", "HEAD", "OPTIONS"):
        return "change"
    if _EXPORT.fullmatch(path):
        return "export"
    if _READ.fullmatch(path):
        return "read"
    if any(name in parameters for name in SEARCHES):
        return "search"
    viewer = viewing.current()
    return "list" if viewer is not None and viewer.sees_all and _LIST.fullmatch(path) else ""


def subject_of(action: str, path: str, user: str) -> str:
    """Give whose session it is that `user` reads, exports or deletes, where it is another's. To be asked before it is done."""
    found = _SESSION.match(path) if action in READS else None
    if found is None:
        return ""
    owner = Session.objects.filter(session_id=found[1][:255].replace("\0", "")).values_list("owner", flat=True).first()
    return owner if owner and owner != user else ""


def note(request: HttpRequest, response: HttpResponse, action: str, subject: str = "") -> None:
    """Write down what a request did, or that it was refused, if that matters."""
    user = request.user.get_username() if request.user.is_authenticated else ""
    if action == "login" and not user:
        user = _known(request.POST.get("username", ""))
    address = request.META.get("REMOTE_ADDR") or ""
    if action:
        write(user, action, target_of(request, action), response.status_code, address, subject)
    elif response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        refused(user, request.path_info, response.status_code, address)


def target_of(request: HttpRequest, action: str) -> str:
    """Give the address that was asked, without what was looked for: that is as telling as what was found."""
    if action in ("login", "search"):
        return request.path_info
    query = request.GET.copy()
    for name in (*SEARCHES, "csrfmiddlewaretoken"):
        query.pop(name, None)
    return f"{request.path_info}?{query.urlencode()}" if query else request.path_info


def _known(name: str) -> str:
    """Give the name that somebody signs in by if it is a user's: people type passwords and tokens where names belong."""
    name = name.strip().replace("\0", "")[:150]
    return name if name and get_user_model().objects.filter(username=name).exists() else "(unknown)" if name else ""


def write(user: str, action: str, target: str, status: int, address: str, subject: str = "") -> None:
    """Write an entry down; where the database cannot be written it is in the server's log at least."""
    target = _SECRET.sub(r"\1…", target).replace("\0", "")[:500]
    user, subject = user.replace("\0", "")[:150], subject.replace("\0", "")[:150]
    try:
        AuditEntry.objects.create(
            at=datetime.now(UTC), user=user, action=action, target=target, status=status, address=address[:64],
            subject=subject,
        )  # fmt: skip
    except Error:
        about = f" about {subject!r}" if subject else ""
        logger.error("not in the audit log: %r %s %r (%d)%s from %s", user, action, target, status, about, address)


def concerning(user: str) -> list[AuditEntry]:
    """Give what others did lately that concerns `user`, the latest first."""
    return list(_concerning(user)[:50])


def news_for(user: str, since: datetime | None) -> int:
    """Give how much of that is new: steps towards reading, and what those read who may read everything."""
    found = _concerning(user).filter(Q(action__in=STEPS) | Q(user__in=settings.LUNAROUTE.team.readers))
    return (found.filter(at__gt=since) if since is not None else found).count()


def _concerning(user: str):
    return AuditEntry.objects.filter(subject=user, status__lt=HTTPStatus.BAD_REQUEST).exclude(user=user)


# -- what is refused ------------------------------------------------------------------------------------------------

# Entries of an address in a minute, and those that wait to be written: whoever has no way in fills no table.
MOST, WINDOW, WAITING = 30, 60.0, 1000
_entries: "queue.Queue[tuple[str, str, str, int, str]]" = queue.Queue(WAITING)
_lock = threading.Lock()
_counts: Counter[str] = Counter()
_since = 0.0
_writer: threading.Thread | None = None


def refused(user: str, target: str, status: int, address: str, action: str = REFUSED) -> None:
    """Write down, in a moment, that a request was refused. Returns at once; of one address so many in a minute."""
    global _since, _writer
    with _lock:
        if monotonic() - _since > WINDOW:
            more = {at: count - MOST for at, count in _counts.items() if count > MOST}
            for at, count in more.items():
                _put("", f"({count} more were refused)", 0, at, REFUSED)
            _counts.clear()
            _since = monotonic()
        if len(_counts) < WAITING or address in _counts:
            _counts[address] += 1
        if _counts[address] > MOST:
            return
        _put(user, target, status, address, action)
        if _writer is None or not _writer.is_alive():
            _writer = threading.Thread(target=_write_all, name="audit", daemon=True)
            _writer.start()


def wrong_token(path: str, address: str) -> None:
    """Write down, in a moment, that a client of a provider's sent a token that nobody has."""
    refused("", path, HTTPStatus.UNAUTHORIZED, address, TOKEN)


def _put(user: str, target: str, status: int, address: str, action: str) -> None:
    try:
        _entries.put_nowait((user, action, target, status, address))
    except queue.Full:
        logger.error("not in the audit log: %r %s %r (%d) from %s", user, action, target[:500], status, address)


def _write_all() -> None:
    while True:
        entry = _entries.get()
        close_old_connections()
        while True:
            write(*entry)
            try:
                entry = _entries.get_nowait()
            except queue.Empty:
                break
        connection.close()


def forget_old(now: datetime) -> int:
    """Delete entries beyond ``team.audit_days``; gives how many."""
    before = now - timedelta(days=settings.LUNAROUTE.team.audit_days)
    return AuditEntry.objects.filter(at__lt=before).delete()[0]

"""Whether the server answers, and whether it should be sent requests."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from proxy import state
from proxy.link import RecorderLink

# Seconds that the record may be behind before that is worth a word.
MAX_LAG = 30


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the server answers. Asks nobody else, so it is as quick as it can be."""
    return HttpResponse(b'{"status":"ok"}', content_type="application/json")


def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether requests may be sent here, 503 where not, and what does not work though they may.

    ``status`` is ``ready``, ``degraded`` (requests are served, but something beside them is out of order) or
    ``stopping``; ``problems`` names each. A database or a recorder that is gone stops no request, so a load balancer
    should take no server out for it: it would be gone for all of them at once.
    """
    current = state.current
    if current is None or current.stopping:
        return JsonResponse({"status": "stopping", "problems": []}, status=503)
    problems = [problem for problem in (_of_recorder(current.link), _of_database()) if problem]
    return JsonResponse({"status": "degraded" if problems else "ready", "problems": problems})


def _of_recorder(link: RecorderLink | None) -> str:
    if link is None:
        return ""
    if not link.is_attached:
        return "the recorder is not there: what passes is held in memory until it is"
    trouble = link.trouble
    if trouble.is_paused:
        return f"nothing can be recorded, and what passes is held in memory: {trouble.why}"
    if trouble.aside:
        return f"{trouble.aside} exchanges cannot be recorded, and are held: {trouble.why}"
    behind = link.seconds_behind()
    return f"the record is {behind:.0f} s behind" if behind > MAX_LAG else ""


def _of_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        connection.close()
        return f"the database does not answer: {' '.join(str(error).split())}"
    return ""

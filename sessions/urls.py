"""Pages and API of the record."""

from django.urls import path
from django.views.generic import RedirectView

from sessions import pages
from sessions.api import api, page_for_browsers

_api = api.urls[0]
for _pattern in _api:
    if str(_pattern.pattern) in ("sessions", "sessions/<session_id>"):
        _pattern.callback = page_for_browsers(_pattern.callback)

urlpatterns = [
    path("", RedirectView.as_view(url="/ui/")),
    path("ui", RedirectView.as_view(url="/ui/")),
    path("ui/", pages.sessions, name="sessions"),
    path("ui/sessions", pages.sessions),
    path("ui/sessions/<str:session_id>", pages.session, name="session"),
    path("", (_api, "api", "api")),
]

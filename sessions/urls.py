"""Pages and API of the record."""

from django.urls import path, re_path
from django.views.generic import RedirectView

from sessions.api import api, page_for_browsers
from sessions.pages import budgets, figures, keeping, listing, redaction, routing, session

_api = api.urls[0]
for _pattern in _api:
    if str(_pattern.pattern) in ("sessions", "sessions/<session_id>"):
        _pattern.callback = page_for_browsers(_pattern.callback)

urlpatterns = [
    path("", RedirectView.as_view(url="/ui/")),
    path("ui", RedirectView.as_view(url="/ui/")),
    path("ui/", figures.dashboard, name="dashboard"),
    path("ui/analytics", figures.analytics, name="analytics"),
    path("ui/analytics/redactions", figures.redactions, name="redactions"),
    path("ui/routing", routing.overall, name="routing"),
    path("ui/routing/reset", routing.reset, name="reset"),
    path("ui/settings", figures.configuration, name="settings"),
    path("ui/notices", budgets.current, name="notices"),
    path("ui/notices/<int:pk>/dismiss", budgets.dismiss, name="dismiss"),
    path("ui/store", keeping.store, name="store"),
    path("ui/pii/", redaction.attempt, name="redaction"),
    path("ui/sessions", listing.sessions, name="sessions"),
    path("ui/sessions/<str:session_id>", session.session, name="session"),
    path("ui/sessions/<str:session_id>/outline", session.outline, name="outline"),
    path("ui/sessions/<str:session_id>/chart", session.chart, name="chart"),
    path("ui/sessions/<str:session_id>/diff", session.comparison, name="comparison"),
    path("ui/sessions/<str:session_id>/pin", session.pin, name="pin"),
    path("ui/sessions/<str:session_id>/delete", session.delete, name="delete"),
    path("ui/sessions/<str:session_id>/exchanges/<str:request_id>", session.exchange, name="exchange"),
    re_path(
        r"^ui/images/(?P<key>[0-9a-f]{32})/(?P<dialect>[a-z-]+)/(?P<number>[0-9]{1,4})$",
        session.image,
        name="image",
    ),
    path("", (_api, "api", "api")),
]

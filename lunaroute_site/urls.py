"""LunaRoute's own addresses; everything else goes to a provider (proxy/urls.py)."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from lunaroute_site.access import login
from lunaroute_site.metrics import metrics
from lunaroute_site.owner import enter

admin.site.site_header = admin.site.site_title = "LunaRoute"


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the server answers. Asks nobody else, so it is as quick as it can be."""
    return HttpResponse(b'{"status":"ok"}', content_type="application/json")


urlpatterns = [
    path("healthz", healthz),
    path("metrics", metrics),
    path("login", login),
    path("owner/<str:token>", enter),
    path("admin/", admin.site.urls),
    path("", include("sessions.urls")),
]

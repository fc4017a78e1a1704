"""LunaRoute's own addresses; everything else goes to a provider (proxy/urls.py)."""

from django.contrib import admin
from django.urls import include, path

from lunaroute_site.access import login
from lunaroute_site.health import healthz, readyz
from lunaroute_site.metrics import metrics
from lunaroute_site.owner import enter

admin.site.site_header = admin.site.site_title = "LunaRoute"


urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("login", login),
    path("owner/<str:token>", enter),
    path("admin/", admin.site.urls),
    path("", include("sessions.urls")),
]

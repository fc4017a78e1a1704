"""LunaRoute's own addresses; everything else goes to a provider (proxy/urls.py)."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from lunaroute_site.access import login
from lunaroute_site.health import healthz, readyz
from lunaroute_site.metrics import metrics
from lunaroute_site.owner import enter
from team.pages import account, decide, invited, leave, password, revoke, sign_in, sign_out

admin.site.site_header = admin.site.site_title = "LunaRoute"


handler500 = "lunaroute_site.errors.failed"

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("login", sign_in if settings.LUNAROUTE.team.enabled else login),
    path("logout", sign_out),
    path("ui/account", account, name="account"),
    path("ui/account/tokens/<int:pk>/revoke", revoke),
    path("ui/account/password", password),
    path("ui/account/invitations/<int:pk>", invited),
    path("ui/account/decisions/<int:pk>", decide),
    path("ui/account/projects/<int:pk>/leave", leave),
    path("owner/<str:token>", enter),
    path("admin/", admin.site.urls),
    path("", include("sessions.urls")),
]
if settings.LUNAROUTE.team.oidc is not None:
    from team import oidc  # loads much that nobody else needs

    urlpatterns += [path("login/oidc", oidc.begin), path("login/oidc/callback", oidc.callback)]

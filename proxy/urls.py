"""The data plane's one address: whatever is not LunaRoute's own."""

from django.urls import re_path

from proxy.views import passthrough

urlpatterns = [re_path(r"", passthrough)]

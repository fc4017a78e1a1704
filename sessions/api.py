"""The REST API. Addresses by subject: api_sessions.py, api_stats.py, api_config.py, api_retention.py, api_budgets.py."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.cache import patch_vary_headers
from ninja import NinjaAPI

from sessions import api_budgets, api_config, api_retention, api_sessions, api_stats
from sessions.api_common import JsonRenderer

api = NinjaAPI(
    title="LunaRoute",
    version="1",
    description="Recorded sessions of coding assistants.",
    docs_url="/api/docs",
    openapi_url="/api/openapi.json",
    renderer=JsonRenderer(),
    urls_namespace="api",
)
api.add_router("", api_sessions.router)
api.add_router("/api/stats", api_stats.router)
api.add_router("/api", api_config.router)
api.add_router("/api", api_retention.router)
api.add_router("/api", api_budgets.router)


def page_for_browsers(view: Callable) -> Callable:
    """Send a browser, which asks for text/html, from `/sessions` to the page with the same filters."""

    @wraps(view)
    def choose(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            query = f"?{request.GET.urlencode()}" if request.GET else ""
            response = HttpResponseRedirect(f"/ui/{request.path.strip('/')}{query}")
        else:
            response = view(request, *args, **kwargs)
        patch_vary_headers(response, ["Accept"])
        return response

    return choose

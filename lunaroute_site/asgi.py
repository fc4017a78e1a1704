"""The ASGI application of LunaRoute's own pages, API and WebSockets, and, under another server, of the proxy too.

`lunaroute-server` serves the data plane by its own protocol, beside this application; see lunaroute_site/server.py.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

application = ProtocolTypeRouter({"http": get_asgi_application()})

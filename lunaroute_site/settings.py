"""Django's settings, made from LunaRoute's configuration (config.py). Apps read that as ``settings.LUNAROUTE``."""

import socket
from pathlib import Path

import dj_database_url

from lunaroute_site import config
from lunaroute_site.machine import secret_key, time_zone

LUNAROUTE = config.current()
BASE_DIR = Path(__file__).resolve().parent.parent
HOME = LUNAROUTE.home

SECRET_KEY = secret_key(LUNAROUTE.secrets)
DEBUG = False
# Where a token is asked for on other addresses than this machine's own, the name protects nothing: it may be any.
ALLOWED_HOSTS = (
    ["localhost", ".localhost", "127.0.0.1", "[::1]", LUNAROUTE.host, socket.gethostname(), *LUNAROUTE.allowed_hosts]
    if LUNAROUTE.is_local or LUNAROUTE.allowed_hosts
    else ["*"]
)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",  # its static files
    "ninja",  # its API page, from its own static files
    "sessions",
    "routing",
    "team",
]

MIDDLEWARE = [
    "lunaroute_site.forwarded.forwarded",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "lunaroute_site.middleware.content_security_policy",
    "lunaroute_site.access.gate",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "team.access.members_only",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "lunaroute_site.urls"
ASGI_APPLICATION = "lunaroute_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sessions.pages.budgets.shown_notices",
                "team.pages.who",
            ],
        },
    }
]

if LUNAROUTE.database_url:
    DATABASES = {
        "default": dj_database_url.parse(
            LUNAROUTE.database_url.get_secret_value(), conn_max_age=60, conn_health_checks=True
        )
    }
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        # Seconds, the last in milliseconds: a host or network that is gone does not say so.
        DATABASES["default"]["OPTIONS"] = {
            "connect_timeout": 5, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 30_000, **DATABASES["default"].get("OPTIONS", {}),
        }  # fmt: skip
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": HOME / "db.sqlite3",
            "CONN_MAX_AGE": 60,
            "OPTIONS": {
                "timeout": 5,  # seconds that a writer waits for another
                "transaction_mode": "IMMEDIATE",
                # WAL: pages read while the recorder writes. NORMAL loses nothing when a process dies, only, at
                # worst, the last moments when the machine does.
                # A new database gives back pages that nothing uses any more.
                "init_command": "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
                "PRAGMA synchronous=NORMAL; PRAGMA mmap_size=268435456;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if LUNAROUTE.redis_url:
    # Publish and subscribe: what nobody takes at once is gone, and a page catches up from the database.
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [LUNAROUTE.redis_url], "prefix": "lunaroute"},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_URL = "/login"
# Believed only of proxies that are trusted: of others lunaroute_site.forwarded takes the header away.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Not the names of another Django project that runs on the same host name.
# Nor those of another LunaRoute: cookies know hosts, and no ports.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"lunaroute_session_{LUNAROUTE.port}", f"lunaroute_csrf_{LUNAROUTE.port}"
SECURE_REFERRER_POLICY = "same-origin"

# Bytes that a page may be sent. They stay in memory: a temporary file would keep what nobody has redacted.
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

LANGUAGE_CODE = "en-us"
TIME_ZONE = time_zone()
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Straight from the applications' directories: there is no collecting step between a clone and a running server.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600

_LEVEL = {"trace": "DEBUG", "warn": "WARNING"}.get(LUNAROUTE.logging.level, LUNAROUTE.logging.level.upper())
_LINE = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
_POLICY = LUNAROUTE.session_recording.pii.policy() if LUNAROUTE.session_recording.pii.enabled else None
if LUNAROUTE.logging.format == "json":
    _LINE = {"()": "lunaroute_site.logs.JsonFormatter", "policy": _POLICY}
elif _POLICY:
    _LINE = {"()": "lunaroute_site.logs.RedactingFormatter", "fmt": _LINE["format"],
             "policy": _POLICY}  # fmt: skip
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": _LINE},
    "filters": {"database": {"()": "lunaroute_site.errors.OnceInAWhile"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["database"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "lunaroute": {"level": _LEVEL},
        "django": {"handlers": [], "level": "ERROR", "propagate": True},
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {
            "level": "CRITICAL"
        },  # a 400, and nothing that its sender may fill a log with
        "psycopg.pool": {"level": "CRITICAL"},  # what needs a connection says that there is none
    },
}

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """The record. Its label is its own because django.contrib.sessions already has "sessions"."""

    name = "sessions"
    label = "record"
    verbose_name = "Recorded sessions"
    default_auto_field = "django.db.models.BigAutoField"

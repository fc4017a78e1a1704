"""The application."""

from django.apps import AppConfig


class TeamConfig(AppConfig):
    """Users, tokens, projects, audit."""

    name = "team"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from team import tokens

        tokens.connect()

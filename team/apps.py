"""The application."""

from django.apps import AppConfig


class TeamConfig(AppConfig):
    """Users, tokens, projects, audit."""

    name = "team"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from team import accounts, tokens

        tokens.connect()
        user_logged_in.connect(accounts.note_login, dispatch_uid="team.accounts.login")

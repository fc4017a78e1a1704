from django.apps import AppConfig


class RoutingConfig(AppConfig):
    """Providers and rules that are made in the admin."""

    name = "routing"
    verbose_name = "Routing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from routing import revision

        revision.connect()

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TelemetryConfig(AppConfig):
    name = "telemetry"

    def ready(self) -> None:
        post_migrate.connect(_sync, sender=self)


def _sync(**kwargs: Any) -> None:
    from telemetry.seeds import sync_catalog  # noqa: PLC0415  (models load after apps)

    sync_catalog()

"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    """Sources, channels and forwarders of third parties."""

    name = "integrations"

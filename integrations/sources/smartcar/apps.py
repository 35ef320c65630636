"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class SmartcarConfig(AppConfig):
    """Vehicles of many makers through Smartcar."""

    name = "integrations.sources.smartcar"
    label = "smartcar"

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Rules, alerts and their delivery."""

    name = "alerts"

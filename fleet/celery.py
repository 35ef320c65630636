"""The Celery application; `worker` and `beat` of the Procfile run it."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

app = Celery("motorpool")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["telemetry"])


@setup_logging.connect
def _keep_our_logs(**kwargs: object) -> None:
    """Celery sets up no logs of its own: the settings did."""

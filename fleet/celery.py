"""The Celery application; `worker` and `beat` of the Procfile run it."""

from __future__ import annotations

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, task_prerun, worker_init

from fleet.schedule import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

app = Celery("motorpool")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = SCHEDULE
app.autodiscover_tasks(["telemetry", "alerts", "fleet.accounts", "integrations.sources.smartcar"])


@task_prerun.connect
def _name_the_task(task_id: str, task: Any, **kwargs: object) -> None:
    """Every log line of a task carries its id and name."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@worker_init.connect
def _let_the_web_go_first(**kwargs: object) -> None:
    """Where both share a machine, who waits for an answer comes before what is derived from it."""
    os.nice(5)


@setup_logging.connect
def _keep_our_logs(**kwargs: object) -> None:
    """Celery sets up no logs of its own: the settings did."""

"""The Celery application; `worker` and `beat` of the Procfile run it."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import billiard
import structlog
from celery import Celery
from celery.signals import setup_logging, task_prerun, worker_init, worker_process_shutdown, worker_shutting_down

from fleet.lib import background
from fleet.schedule import SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

LONGEST_STOP = 15.0
"""Seconds from SIGTERM on; platforms kill after 30."""

log = structlog.get_logger(__name__)
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


@worker_shutting_down.connect
def _end_in_time(**kwargs: object) -> None:
    """A pool that is stopped in its first moments may never end by itself (billiard); tasks bear being killed."""
    timer = threading.Timer(LONGEST_STOP, _end_pool)
    timer.daemon = True
    timer.start()


def _end_pool() -> None:
    for child in billiard.active_children():
        if child.pid is not None:
            log.warning("worker.killed", pid=child.pid, seconds=LONGEST_STOP)
            os.kill(child.pid, signal.SIGKILL)


@worker_process_shutdown.connect
def _finish_sending(**kwargs: object) -> None:
    """Messages that are on their way arrive before their process ends."""
    background.drain(LONGEST_STOP - 3)


@setup_logging.connect
def _keep_our_logs(**kwargs: object) -> None:
    """Celery sets up no logs of its own: the settings did."""

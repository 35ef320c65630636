"""Do the sinks' work without Celery, Redis or beat: for a cron job, or while the broker is away."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from telemetry import sinks, state_sink


class Command(BaseCommand):
    """``manage.py sweep``."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", type=float, default=0, help="seconds; without it, once")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            done = sinks.run_all() + state_sink.detect_offline()
            self.stdout.write(f"{done} vehicles")
            if not options["every"]:
                return
            time.sleep(options["every"])

"""Make an installation ready to serve: migrate, collect static files, and seed the demo where it is asked for."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand

from fleet import demo
from fleet.accounts.services import setup_token
from telemetry import store


class Command(BaseCommand):
    """``manage.py prepare``."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="create the demo organization")
        parser.add_argument("--demo-file", type=Path, help="where its sign-ins and keys are written")
        parser.add_argument("--url", default=settings.BASE_URL, help="the portal's address")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        with store.open_connection() as connection:
            store.make_ahead(connection, datetime.now(UTC))
        self._collect_static()
        if options["demo"]:
            demo.create(options["demo_file"], options["url"])
            return
        token = setup_token()
        if token:
            self.stdout.write("Nobody has signed up yet. Create the first organization (this link works once):")
            self.stdout.write(f"  {options['url']}/setup/{token}")

    def _collect_static(self) -> None:
        """Collect only when a file has changed, since hashing thousands takes seconds."""
        digest = hashlib.sha256()
        for finder in get_finders():
            for name, storage in finder.list([]):
                digest.update(f"{name} {Path(storage.path(name)).stat().st_size}".encode())
                if not storage.location.startswith(str(Path(settings.ROOT) / ".venv")):
                    digest.update(str(Path(storage.path(name)).stat().st_mtime_ns).encode())
        root = Path(settings.STATIC_ROOT)
        stamp = root / ".collected"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        call_command("collectstatic", verbosity=0, interactive=False)
        stamp.write_text(digest.hexdigest())

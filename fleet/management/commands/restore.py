"""Fill an empty database from a file of ``manage.py backup``."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from fleet import backups


class Command(BaseCommand):
    """``manage.py restore FILE``."""

    help = "Migrate an empty database and fill it from a backup; counts and checksums must agree, or nothing is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        try:
            tables = backups.restore(options["file"])
        except backups.BackupError as error:
            raise CommandError(error.detail) from None
        rows = sum(table["rows"] for table in tables.values())
        self.stdout.write(f"{rows} rows of {len(tables)} tables restored; counts and checksums agree.")

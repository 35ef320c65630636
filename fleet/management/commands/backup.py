"""Write the whole database to a file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from fleet import backups


class Command(BaseCommand):
    """``manage.py backup FILE``."""

    help = "Write the whole database to a file, in one snapshot, while the portal goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        tables = backups.write(options["file"])
        rows = sum(table["rows"] for table in tables.values())
        size = options["file"].stat().st_size
        self.stdout.write(f"{rows} rows of {len(tables)} tables, {size} bytes, in {options['file']}")
        self.stdout.write("Keep FIELD_ENCRYPTION_KEYS and SECRET_KEY too, elsewhere: without them secrets stay closed.")

"""``manage.py rotate_keys``: seal every stored secret with the newest of FIELD_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from integrations.channels import secrets
from integrations.sources.smartcar import services


class Command(BaseCommand):
    """Put the new key in front of the old one first; drop the old one when this has ended. It can be run again."""

    help = "Seals every stored secret with the newest of FIELD_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Reseal, and say how many."""
        self.stdout.write(f"{sum(1 for part in (services, secrets) for _ in part.reseal())} secrets sealed anew")

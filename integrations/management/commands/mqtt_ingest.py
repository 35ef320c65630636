"""``manage.py mqtt_ingest``: take collectors' batches from an MQTT broker."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from integrations.sources.mqtt.bridge import Bridge, Broker


class Command(BaseCommand):
    """Run until SIGTERM; several may run beside each other."""

    help = "Takes collectors' batches from the MQTT broker at MQTT_URL (docs/collector.md)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the bridge."""
        if not settings.MQTT["url"]:
            raise CommandError("MQTT_URL is not set; see .env.example.")
        try:
            asyncio.run(_run(Bridge(Broker(**settings.MQTT), settings.INTERNAL_URL)))
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None


async def _run(bridge: Bridge) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, bridge.stop)
    await bridge.run()

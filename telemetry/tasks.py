"""Celery's way into telemetry: ids in, one call each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import shared_task

from fleet.lib import background
from telemetry import retention, sinks, state_sink, store
from telemetry.commands import carrying, queue


@shared_task
def run_sinks() -> None:
    """Process what was committed: rung by the doorbell, and by beat for what no bell announced."""
    sinks.run_prompt()


@shared_task
def roll_up() -> None:
    """Bring the rollups up to date, beside what people wait for."""
    sinks.run_sink("rollups")


@shared_task
def detect_offline() -> None:
    """Find vehicles that fell silent."""
    state_sink.detect_offline()


@shared_task
def expire_commands() -> None:
    """Time out the commands that nobody carried out."""
    queue.expire()


@shared_task
def carry_out(command_id: str) -> None:
    """Begin to carry out one command through a maker's cloud; where all hands are full it is announced again."""
    background.run(carrying.carry_out, command_id)


@shared_task
def find_commands() -> None:
    """Announce again the commands for makers' clouds that no message reached."""
    for command_id in carrying.waiting():
        carry_out.apply_async((command_id,), expires=60)


@shared_task
def make_partitions() -> None:
    """Make the partitions of the coming weeks, so that ingest finds them."""
    with store.open_connection() as connection:
        store.make_ahead(connection, datetime.now(UTC))


@shared_task
def apply_retention() -> None:
    """Let go what organizations do not keep any longer."""
    retention.apply()


@shared_task
def trim_buffers() -> None:
    """The same for organizations that keep only the last seconds."""
    retention.trim_buffers()


@shared_task
def trim_rejected() -> None:
    """Forget old refusals, and the telemetry of vehicles that were deleted."""
    store.trim_rejected(datetime.now(UTC) - timedelta(days=store.REJECTED_DAYS))
    for organization_id, vehicle_id in store.orphans():
        store.purge_vehicle(organization_id, vehicle_id)

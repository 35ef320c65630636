"""Carry out, in a worker, the commands that go through a maker's cloud."""

from __future__ import annotations

from typing import Any

import structlog
from django.utils import timezone

from fleet.lib.errors import MotorpoolError
from telemetry.commands import queue
from telemetry.commands.carriers import carrier_of
from telemetry.models import Command, CommandState

log = structlog.get_logger(__name__)


def waiting() -> list[str]:
    """The ids of commands for carriers that nobody has taken."""
    now = timezone.now()
    open_ones = Command.objects.filter(type__in=queue.CLOUD_KINDS, state=CommandState.QUEUED, expires_at__gt=now)
    return [str(pk) for pk in open_ones.order_by("created_at").values_list("pk", flat=True)[:50]]


def carry_out(command_id: str) -> None:
    """Carry out one command, unless another worker has taken it; a kill leaves it to time out, never to run twice."""
    command = queue.claim_one(command_id)
    if command is None:
        return
    result: Any = None
    detail = ""
    try:
        carrier = carrier_of(command.vehicle)
        if carrier is None:
            raise MotorpoolError("The vehicle is not connected to its maker's cloud any more.")
        result = carrier.carry_out(command.vehicle, command.type, command.arguments)
    except MotorpoolError as error:
        detail = error.detail
    except Exception:
        log.exception("command.failed", command=command_id)
        detail = "Something failed here; whether the vehicle did it is not known."
    queue.finish(
        command_id=command_id, vehicle_id=command.vehicle_id, succeeded=not detail, result=result, detail=detail
    )

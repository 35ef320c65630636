"""Commands: made by people, claimed once for a connected agent, answered by it or timed out. PostgreSQL is the queue.

``queued -> sent -> succeeded | failed | timed_out``. Each step is one conditional UPDATE, so that two web processes
never send the same command, and an answer that comes too late changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from fleet.accounts.models import User
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError
from fleet.lib.ids import uuid_of
from telemetry.commands import carriers, results, trouble_codes
from telemetry.models import Command, CommandState, VehicleSettings
from telemetry.selectors import latest_of
from vehicles.models import Vehicle

MOST_OPEN = 50
"""Per vehicle."""
FORMULA = re.compile(r"[A-Za-z0-9 .,:+\-*/%&|<>()^~{}]{1,200}")
HEADER = re.compile(r"[0-7][0-9A-F]{2}|[01][0-9A-F]{7}")
"""The identifier of a control unit on CAN, 11 or 29 bits."""
PID = re.compile(r"(?:0[12569]|1A|2[12])(?:[0-9A-F]{2}){1,7}")
"""Reading services of SAE J1979 and ISO 14229/14230; those that change the vehicle have commands of their own."""
STILL_SECONDS = 60
"""A speed older than this does not prove that the vehicle stands."""


class CommandError(MotorpoolError):
    """A command that cannot be made (422 for its arguments, 409 for the vehicle's state)."""

    status = 422
    code = "invalid_command"


@dataclass(frozen=True)
class Kind:
    """How long a command waits for its agent, and how long the agent may take."""

    wait: timedelta
    seconds: int
    cloud: bool = False
    """Carried out through the maker's cloud, not by an agent."""


KINDS = {
    "pid_query": Kind(timedelta(minutes=1), 15),
    "dtc_read": Kind(timedelta(minutes=5), 60),
    "dtc_clear": Kind(timedelta(minutes=1), 60),
    "setting": Kind(timedelta(days=7), 30),
    "media": Kind(timedelta(minutes=1), 15),
    "collector_config": Kind(timedelta(days=7), 30),
    "lock": Kind(timedelta(minutes=5), 280, cloud=True),
    "unlock": Kind(timedelta(minutes=5), 280, cloud=True),
    "charge_start": Kind(timedelta(minutes=5), 280, cloud=True),
    "charge_stop": Kind(timedelta(minutes=5), 280, cloud=True),
    "charge_limit": Kind(timedelta(minutes=5), 280, cloud=True),
    "destination": Kind(timedelta(minutes=5), 280, cloud=True),
}
CLOUD_KINDS = tuple(name for name, kind in KINDS.items() if kind.cloud)


def create(
    *,
    vehicle: Vehicle,
    user: User,
    kind: str,
    arguments: Mapping[str, Any],
    confirmed: bool = False,
    request: Any = None,
) -> Command:
    """Queue a command.

    Args:
        confirmed: a person has said so; clearing codes needs it.

    Raises:
        CommandError: the arguments are wrong, too much waits, or the vehicle may be moving.
    """
    if kind not in KINDS:
        raise CommandError(f"There is no command {kind[:30]!r}: there are {', '.join(KINDS)}.")
    checked = _checked(kind, arguments)
    if kind == "unlock" and not confirmed:
        raise CommandError('Unlocking has to be confirmed: send "confirm": true.')
    if KINDS[kind].cloud and carriers.carrier_of(vehicle) is None:
        raise CommandError("The vehicle is not connected to its maker's cloud.", status=409, code="conflict")
    if kind == "dtc_clear":
        _ensure_may_clear(vehicle, confirmed)
    now = timezone.now()
    with transaction.atomic():
        locked = Vehicle.objects.select_for_update().get(pk=vehicle.pk)
        waiting = locked.commands.filter(state__in=(CommandState.QUEUED, CommandState.SENT), expires_at__gt=now)
        if waiting.count() >= MOST_OPEN:
            raise CommandError(f"{MOST_OPEN} commands wait for this vehicle already.", status=409, code="conflict")
        command = Command.objects.create(
            organization=vehicle.organization, vehicle=vehicle, user=user, type=kind, arguments=checked,
            expires_at=now + KINDS[kind].wait,
        )  # fmt: skip
        if kind == "setting":
            _desire(vehicle, checked)
        audit(
            "command.queued", organization=vehicle.organization, user=user, target=vehicle, request=request, type=kind
        )
    if KINDS[kind].cloud:
        carriers.announce(command)
    return command


def claim(vehicle_ids: Collection[int]) -> list[Command]:
    """The queued commands of vehicles whose agents are connected, now ``sent``; nobody else gets them."""
    now = timezone.now()
    with transaction.atomic():
        commands = list(
            Command.objects.select_for_update(skip_locked=True)
            .filter(vehicle_id__in=vehicle_ids, state=CommandState.QUEUED, expires_at__gt=now)
            .exclude(type__in=CLOUD_KINDS)
            .order_by("created_at")[:100]
        )
        for command in commands:
            command.state, command.sent_at = CommandState.SENT, now
            command.expires_at = now + timedelta(seconds=KINDS[command.type].seconds)
        Command.objects.bulk_update(commands, ["state", "sent_at", "expires_at"])
    return commands


def claim_one(command_id: str) -> Command | None:
    """One queued command, now ``sent``; None where somebody else has it, or its time is over."""
    now = timezone.now()
    with transaction.atomic():
        queued = Command.objects.select_for_update(of=("self",)).select_related("vehicle__organization")
        command = queued.filter(pk=command_id, state=CommandState.QUEUED, expires_at__gt=now).first()
        if command is not None:
            command.state, command.sent_at = CommandState.SENT, now
            command.expires_at = now + timedelta(seconds=KINDS[command.type].seconds)
            command.save(update_fields=["state", "sent_at", "expires_at"])
    return command


def finish(*, command_id: str, vehicle_id: int, succeeded: bool, result: Any, detail: str) -> bool:
    """Note an agent's answer; false where the command is not its own, or not open any more."""
    known = uuid_of(command_id)
    if known is None:
        return False
    result_given = result is not None
    with transaction.atomic():
        command = Command.objects.filter(pk=known, vehicle_id=vehicle_id, state=CommandState.SENT).first()
        if command is None:
            return False
        result = results.checked(command.type, result)
        if succeeded and result is None and result_given:
            succeeded, detail = False, "The agent's answer does not have the form of a result of this command."
        state = CommandState.SUCCEEDED if succeeded else CommandState.FAILED
        changed = Command.objects.filter(pk=known, vehicle_id=vehicle_id, state=CommandState.SENT).update(
            state=state, result=result, detail=detail[:500], finished_at=timezone.now()
        )
        if not changed:
            return False
        command = Command.objects.select_related("vehicle__organization", "user").get(pk=known)
        if succeeded and command.type in ("dtc_read", "dtc_clear") and isinstance(result, dict):
            trouble_codes.record(command.vehicle, result)
        audit(
            f"command.{state}", organization=command.organization, user=command.user, target=command.vehicle,
            type=command.type,
        )  # fmt: skip
    return True


def expire(organization_id: int | None = None) -> int:
    """Time out what was not sent or not answered in time, of one organization or of all; returns how many."""
    mine = {} if organization_id is None else {"organization_id": organization_id}
    return Command.objects.filter(
        state__in=(CommandState.QUEUED, CommandState.SENT), expires_at__lte=timezone.now(), **mine
    ).update(
        state=CommandState.TIMED_OUT,
        finished_at=F("expires_at"),
        detail="Nobody carried it out in time, or its end was not told.",
    )


def report(*, organization_id: int, vehicle_id: int, settings: Any) -> None:
    """Keep the settings that an agent says it has; raises `CommandError` for what are none."""
    plain = isinstance(settings, dict) and len(settings) <= 100
    if not plain or not all(isinstance(v, (str, int, float, bool)) and len(str(v)) < 200 for v in settings.values()):
        raise CommandError("settings is an object of at most 100 plain values.")
    VehicleSettings.objects.update_or_create(
        vehicle_id=vehicle_id,
        defaults={"organization_id": organization_id, "reported": settings, "reported_at": timezone.now()},
    )


def settings_of(vehicle: Vehicle) -> VehicleSettings:
    """The vehicle's settings, empty where none were asked for or told."""
    return VehicleSettings.objects.filter(vehicle=vehicle).first() or VehicleSettings(vehicle=vehicle)


def _desire(vehicle: Vehicle, arguments: dict[str, Any]) -> None:
    row, _ = VehicleSettings.objects.get_or_create(vehicle=vehicle, defaults={"organization": vehicle.organization})
    row.desired = {**row.desired, arguments["name"]: arguments["value"]}
    row.save(update_fields=["desired"])


def _checked(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the command takes, and no others; their values are the agent's to judge, who knows the car."""
    if kind == "pid_query":
        pid = str(arguments.get("pid", "")).replace(" ", "").upper()
        formula = str(arguments.get("formula") or "")
        if not PID.fullmatch(pid):
            raise CommandError("pid is two to eight hex bytes of a reading service, such as 010C or 221E1C.")
        if formula and not FORMULA.fullmatch(formula):
            raise CommandError(
                "formula has numbers, A to ZZ for the data bytes, + - * / % & | << >> ^, brackets and functions."
            )
        checked = {"pid": pid, **({"formula": formula} if formula else {})}
        for key in ("header", "receive"):
            unit = str(arguments.get(key) or "").replace(" ", "").upper()
            if unit and not HEADER.fullmatch(unit):
                raise CommandError(f"{key} is three hex digits, such as 7E0, or eight, such as 18DA10F1.")
            if unit:
                checked[key] = unit
        return checked
    if kind == "setting":
        name, value = arguments.get("name"), arguments.get("value")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
            raise CommandError("name is a setting's name, such as charge_limit.")
        if not isinstance(value, (str, int, float, bool)) or len(str(value)) > 100:
            raise CommandError("value is a number, text, true or false.")
        return {"name": name, "value": value}
    if kind == "media":
        allowed = {k: v for k, v in arguments.items() if k in ("action", "volume", "device_address")}
        if not isinstance(allowed.get("action"), str) or len(str(allowed)) > 300:
            raise CommandError("action is one of play, pause, next, previous, volume and connect.")
        return allowed
    if kind == "charge_limit":
        return {"percent": int(_between("percent", arguments.get("percent"), 50, 100))}
    if kind == "destination":
        return {
            "latitude": _between("latitude", arguments.get("latitude"), -90, 90),
            "longitude": _between("longitude", arguments.get("longitude"), -180, 180),
        }
    if kind == "collector_config":
        allowed = {k: v for k, v in arguments.items() if k in ("driver", "options", "log_level")}
        if len(json.dumps(allowed)) > 4_000 or ("driver" in allowed) != isinstance(allowed.get("options"), dict):
            raise CommandError(
                "driver comes with options, a table of at most 4,000 characters; log_level stands alone."
            )
        return allowed
    return {}


def _between(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise CommandError(f"{name} is a number from {low:g} to {high:g}.")
    return float(value)


def _ensure_may_clear(vehicle: Vehicle, confirmed: bool) -> None:
    """Clearing resets readiness and may hide a fault: a person confirms it, and the vehicle must be known to stand."""
    if not confirmed:
        raise CommandError('Clearing codes has to be confirmed: send "confirm": true.')
    (latest,) = latest_of(vehicle.organization, [vehicle])
    speed = latest["signals"].get("vehicle.speed")
    if speed is None:
        raise CommandError("The vehicle's speed is not known.", status=409, code="conflict")
    if float(speed["value"]) > 0:
        raise CommandError("The vehicle moves.", status=409, code="conflict")
    age = (timezone.now() - datetime.fromisoformat(speed["time"])).total_seconds()
    if age > STILL_SECONDS:
        raise CommandError(f"The last known speed is {age:.0f} s old.", status=409, code="conflict")

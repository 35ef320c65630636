"""Webhook bodies of every generation as one shape. Pure; tolerant, since documents and traffic differ.

Version 4 (today's): ``eventType`` with ``data``; version 2: ``eventName`` with ``payload``; and the bodies of the
older Smartcar server that this portal stands in for (``type: VehicleState``, or ``vehicleId`` with ``eventType``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.sources.smartcar.conversions import dict_of, list_of
from integrations.sources.smartcar.legacy_signals import legacy_event_signals, legacy_signals_of
from integrations.sources.smartcar.signals import Signal, epoch_of, signals_of


@dataclass(frozen=True)
class Delivery:
    """What an event tells of one vehicle."""

    remote_id: str
    user_id: str
    signals: list[Signal]


@dataclass(frozen=True)
class CloudError:
    """A trouble between Smartcar and the car or its account."""

    type: str
    code: str
    resolved: bool
    words: str
    signals: tuple[str, ...]
    """The codes it is about; empty for all."""


@dataclass(frozen=True)
class Event:
    """A webhook body."""

    event_id: str
    kind: str
    """VERIFY, VEHICLE_STATE, VEHICLE_ERROR, or whatever else the body calls itself."""
    mode: str
    delivered_at: float | None
    deliveries: list[Delivery] = field(default_factory=list)
    errors: list[CloudError] = field(default_factory=list)
    user_id: str = ""


def identity_of(body: bytes, parsed: Any) -> str:
    """What makes a delivery the same as an earlier one: its event id, or the whole body where it has none."""
    if isinstance(parsed, dict):
        for holder in (parsed, parsed.get("payload")):
            if (
                isinstance(holder, dict)
                and isinstance(holder.get("eventId"), str)
                and 8 <= len(holder["eventId"]) <= 70
            ):
                return str(holder["eventId"])
    return "sha256:" + hashlib.sha256(body).hexdigest()


def challenge_of(parsed: Any) -> tuple[bool, object]:
    """Whether a body asks for verification, and its challenge."""
    if not isinstance(parsed, dict):
        return False, None
    if parsed.get("eventType") == "VERIFY":
        return True, dict_of(parsed.get("data")).get("challenge")
    if parsed.get("eventName") == "verify":
        return True, dict_of(parsed.get("payload")).get("challenge")
    return False, None


def event_of(body: bytes, parsed: Any) -> Event:
    """The event in a body; one that nobody knows has no deliveries."""
    root = dict_of(parsed)
    identity = identity_of(body, parsed)
    if "eventName" in root:
        return _version_2(identity, root)
    data, meta = dict_of(root.get("data")), dict_of(root.get("meta"))
    kind = str(root.get("eventType") or root.get("type") or "unknown")[:40]
    delivered = epoch_of(meta.get("deliveredAt"))
    mode = str(meta.get("mode") or "").upper()
    user = _id(dict_of(data.get("user")).get("id"))
    vehicle = _id(root.get("vehicleId")) or _id(dict_of(data.get("vehicle")).get("id"))
    errors = [_error(entry) for entry in list_of(data.get("errors")) if isinstance(entry, dict)]
    deliveries: list[Delivery] = []
    if vehicle and kind in ("VEHICLE_STATE", "VEHICLE_ERROR"):
        deliveries = [Delivery(vehicle, user, signals_of(data.get("signals")))]
    elif isinstance(data.get("vehicles"), list):  # the older server's batch
        deliveries = [
            Delivery(_id(entry.get("vehicleId")), user, signals_of(_named(entry.get("signals"))))
            for entry in data["vehicles"]
            if isinstance(entry, dict) and _id(entry.get("vehicleId"))
        ]
    elif vehicle:  # the older server's single event: {"vehicleId", "eventType": "Group.Name", "data": body}
        deliveries = [Delivery(vehicle, user, signals_of(_named({kind: data})))]
    return Event(identity, kind, mode, delivered, deliveries=deliveries, errors=errors, user_id=user)


def _version_2(identity: str, root: Mapping[str, Any]) -> Event:
    payload = dict_of(root.get("payload"))
    kind = str(root.get("eventName"))[:40]
    at = epoch_of(payload.get("eventTime"))
    deliveries = [
        Delivery(_id(entry.get("vehicleId")), "", legacy_signals_of(entry.get("data")))
        for entry in list_of(payload.get("vehicles"))
        if isinstance(entry, dict) and _id(entry.get("vehicleId"))
    ]
    vehicle = _id(payload.get("vehicleId"))
    charging = legacy_event_signals(str(payload.get("eventType")), at) if vehicle and at is not None else []
    if charging:
        deliveries.append(Delivery(vehicle, "", charging))
        kind = str(payload["eventType"])
    return Event(identity, kind, str(root.get("mode") or "").upper(), at, deliveries=deliveries)


def _error(entry: Mapping[str, Any]) -> CloudError:
    signals = [s.get("code") if isinstance(s, dict) else s for s in list_of(entry.get("signals"))]
    return CloudError(
        str(entry.get("type") or "")[:40],
        str(entry.get("code") or "")[:40],
        entry.get("state") == "RESOLVED",
        str(entry.get("suggestedUserMessage") or entry.get("description") or "")[:300],
        tuple(s.lower().replace(".", "-") for s in signals if isinstance(s, str)),
    )


def _named(signals: Any) -> list[dict[str, Any]]:
    """``{"Group.Name": body}`` as a list of signals."""
    if not isinstance(signals, dict):
        return signals if isinstance(signals, list) else []
    return [{"code": str(name).lower().replace(".", "-"), "body": body} for name, body in signals.items()]


def _id(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 40 else ""

"""Reads that join the store with vehicles: latest readings as the API and the pages show them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from fleet.accounts.models import Organization
from fleet.lib.api import written
from fleet.lib.public_ids import Kind, number_of
from telemetry import directory, states, store, units
from telemetry.models import VehicleState
from vehicles.models import Vehicle

PORTAL = "portal"
"""Stands for a device where the portal fetched readings itself."""


def latest_of(organization: Organization, vehicles: Iterable[Vehicle], system: str = "metric") -> list[dict[str, Any]]:
    """Every signal's newest reading of some vehicles, with their derived states: two queries for any number."""
    listed = list(vehicles)
    rows = store.read_latest(organization.pk, [vehicle.pk for vehicle in listed])
    derived = latest_states(organization.pk, rows)
    now = time.time()
    return [
        _shape(vehicle, rows.get(vehicle.pk), derived.get(vehicle.pk, states.NEVER), now, system) for vehicle in listed
    ]


def latest_states(organization_id: int, rows: Mapping[int, store.LatestRow]) -> dict[int, str]:
    """The state of each vehicle now."""
    moved = dict(
        VehicleState.objects.filter(organization_id=organization_id, vehicle_id__in=list(rows)).values_list(
            "vehicle_id", "moved_at"
        )
    )
    now = time.time()
    return {vehicle_id: judge(row, moved.get(vehicle_id), now).state for vehicle_id, row in rows.items()}


def judge(row: store.LatestRow, moved_at: datetime | None, now: float) -> states.Verdict:
    """A vehicle's state from its latest row."""
    readings: dict[str, states.Reading] = {}
    listed = directory.signals_in_order(row.signals)
    for index in listed.telling:
        text = row.texts[index]
        value = float(row.values[index]) if text is None else text
        readings[listed.signals[index].name] = (value, float(row.times[index]) / 1e6)
    last = float(row.times.max()) / 1e6 if len(row.times) else None
    return states.judge(readings, last, moved_at.timestamp() if moved_at else None, now, settings.OFFLINE_AFTER_SECONDS)


def signal_ids(organization: Organization, names: Iterable[str]) -> dict[str, tuple[int, directory.SignalInfo]]:
    """The ids of named signals, the organization's and the catalog's; unknown names are left out."""
    wanted = set(names)
    catalog = directory.catalog()
    found = {name: catalog[name] for name in wanted & catalog.keys()}
    own = wanted - catalog.keys()
    if own:
        for signal in organization.signals.filter(name__in=own):
            found[signal.name] = (signal.pk, directory.SignalInfo(signal.name, signal.unit, signal.kind))
    return found


def _shape(vehicle: Vehicle, row: store.LatestRow | None, state: str, now: float, system: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": vehicle.public_id,
        "name": vehicle.name,
        "vin": vehicle.vin,
        "state": state,
        "time": None,
        "age_s": None,
        "seq": None,
        "signals": {},
    }
    if row is None or not len(row.signals):
        return body
    infos = directory.signals_in_order(row.signals).signals
    times = row.times.tolist()
    newest = max(times)
    body |= {"time": written(newest), "age_s": round(max(0.0, now - newest / 1e6), 3), "seq": row.version}
    # Frames share their instants: few distinct times are written once each.
    moments = {time: written(time) for time in set(times)}
    sources = {source: directory.source(source) for source in set(row.sources.tolist())}
    signals = body["signals"]
    for info, source, moment, value, text in zip(
        infos, row.sources.tolist(), times, row.values.tolist(), row.texts, strict=True
    ):
        unit, shown = info.unit, value if text is None else text
        if system != "metric" and text is None:
            conversion = units.conversion(unit, system)
            unit, shown = conversion.unit, conversion.apply(value)
        signals[info.name] = {"value": shown, "unit": unit, "time": moments[moment], "source": sources[source]}
    return body


def rejected_of(rows: Any, device: str, code: str, signal: str) -> Any:
    """Rejected readings, or their counts, of a device, a reason and a signal; an empty text stands for all.

    ``device`` is a public id, or `PORTAL` for what the portal fetched itself.
    """
    if device:
        device_id = number_of(Kind.DEVICE, device)
        rows = rows.filter(device_id=device_id) if device_id or device == PORTAL else rows.none()
    if code:
        rows = rows.filter(code=code[:30])
    return rows.filter(signal=signal[:100]) if signal else rows

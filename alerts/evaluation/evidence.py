"""What an alert keeps of the moment at which it was raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alerts import wire
from alerts.evaluation.compiled import Compiled
from alerts.evaluation.engine import Finding
from alerts.models import Alert
from alerts.rules.definition import Compare, leaves_of
from telemetry import directory, store
from telemetry.models import TroubleCode, TroubleCodeStatus
from telemetry.units import rounded

AROUND = 60_000_000
MOST_SIGNALS = 100


def add(made: Sequence[tuple[Alert, Compiled, Finding]]) -> None:
    """Give new alerts their value and evidence: two queries for any number."""
    by_organization: dict[int, set[int]] = {}
    for alert, _, _ in made:
        by_organization.setdefault(alert.organization_id, set()).add(alert.vehicle_id)
    latest: dict[int, store.LatestRow] = {}
    for organization_id, vehicles in by_organization.items():
        latest |= store.read_latest(organization_id, vehicles)
    frames = freeze_frames({alert.vehicle_id for alert, _, _ in made})
    for alert, compiled, finding in made:
        told = finding.values(compiled.rule)
        infos = directory.signals(told)
        row = latest.get(alert.vehicle_id)
        around = _around(row, finding.episode.opened) if row is not None else {}
        leaf = next((leaf for leaf in leaves_of(compiled.rule.condition) if isinstance(leaf, Compare)), None)
        first = None if leaf is None else leaf.signal
        asked: dict[str, Any] = {}
        for signal, value in told.items():
            info = infos.get(signal)
            if info is not None:
                asked[info.name] = around.get(info.name) if info.kind in ("text", "enum") else value
        if first in told and infos.get(first):
            alert.value = asked.get(infos[first].name)
        alert.evidence = {"signals": {**around, **asked}}
        if isinstance(alert.value, float) and leaf is not None:
            alert.evidence["shown"] = _shown(compiled, leaf, alert.value, infos[leaf.signal].unit)
        place = around.get("location.latitude"), around.get("location.longitude")
        if None not in place:
            alert.evidence["place"] = {"latitude": place[0], "longitude": place[1]}
        if alert.vehicle_id in frames:
            alert.evidence["freeze_frame"] = frames[alert.vehicle_id]


def _around(row: store.LatestRow, moment: int) -> dict[str, Any]:
    """What was told within a minute of the moment."""
    listed = directory.signals_in_order(row.signals).signals
    found: dict[str, Any] = {}
    for info, time, value, text in zip(listed, row.times.tolist(), row.values.tolist(), row.texts, strict=True):
        if abs(time - moment) <= AROUND and len(found) < MOST_SIGNALS:
            found[info.name] = value if text is None else text
    return found


def _shown(compiled: Compiled, leaf: Compare, value: float, unit: str) -> str:
    """The value in the unit that the rule gave its threshold in; the leaf is the first comparison."""
    part = next(part for part in wire.parts_of(compiled.row.condition) if "op" in part)
    given = part.get("unit")
    if given and not leaf.rate:
        value, unit = (value - leaf.unit[1]) / leaf.unit[0], given
    return f"{rounded(value)} {unit}".strip()


def freeze_frames(vehicle_ids: set[int]) -> dict[int, dict[str, Any]]:
    """The newest freeze frame of each vehicle whose trouble code still stands."""
    rows = (
        TroubleCode.objects.filter(vehicle_id__in=vehicle_ids, freeze_frame__isnull=False)
        .exclude(status=TroubleCodeStatus.CLEARED)
        .order_by("last_seen")
    )
    return {row.vehicle_id: {"code": row.code, **(row.freeze_frame or {})} for row in rows}

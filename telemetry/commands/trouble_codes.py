"""The life of a trouble code: pending, confirmed, permanent, cleared, with when it was first and last told."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.utils import timezone

from telemetry.models import TroubleCode, TroubleCodeStatus
from vehicles.models import Vehicle

WELL_FORMED = re.compile(r"[PCBU][0-3][0-9A-F]{3}(-[0-9A-F]{2})?")
"""SAE J2012 (ISO 15031-6), with the failure type byte of the longer form."""
MOST = 200
LARGEST_FRAME = 50
_STATUSES = {status.value for status in TroubleCodeStatus} - {TroubleCodeStatus.CLEARED.value}


@transaction.atomic
def record(vehicle: Vehicle, result: dict[str, Any]) -> None:
    """Note what a reading of the codes found. A code that the vehicle reports no longer is cleared.

    ``result["not_read"]`` names the statuses whose codes the vehicle did not report (a control unit that does not
    support the service, say): codes of those statuses stay as they are.
    """
    now = timezone.now()
    told = _told(result)
    frame = _freeze_frame(result)
    Vehicle.objects.select_for_update().get(pk=vehicle.pk)  # two readings at once take turns
    known = {row.code: row for row in TroubleCode.objects.filter(vehicle=vehicle)}
    for code, status in told.items():
        row = known.get(code) or TroubleCode(
            organization=vehicle.organization, vehicle=vehicle, code=code, first_seen=now
        )
        row.status, row.last_seen, row.cleared_at = status, now, None
        if frame is not None and frame.get("code") in (None, code):
            row.freeze_frame = frame
        row.save()
    not_read = result.get("not_read")
    kept = {TroubleCodeStatus.CLEARED.value, *(map(str, not_read) if isinstance(not_read, dict) else ())}
    gone = [code for code, row in known.items() if code not in told and row.status not in kept]
    TroubleCode.objects.filter(vehicle=vehicle, code__in=gone).update(status=TroubleCodeStatus.CLEARED, cleared_at=now)


def _told(result: dict[str, Any]) -> dict[str, str]:
    """Code to status; what is no code is left out: the answer comes from a device."""
    codes = result.get("codes")
    found: dict[str, str] = {}
    for entry in codes[:MOST] if isinstance(codes, list) else ():
        code = str(entry.get("code", "")).upper() if isinstance(entry, dict) else ""
        if WELL_FORMED.fullmatch(code) and entry.get("status") in _STATUSES:
            found[code] = entry["status"]
    return found


def _freeze_frame(result: dict[str, Any]) -> dict[str, Any] | None:
    frame = result.get("freeze_frame")
    if not isinstance(frame, dict) or not frame or len(frame) > LARGEST_FRAME:
        return None
    return {str(k)[:100]: v for k, v in frame.items() if isinstance(v, (int, float, str)) and len(str(v)) <= 100}

"""What agents may answer: a result's form by the kind of its command, bounded, since it comes from a device."""

from __future__ import annotations

import json
from typing import Any

import msgspec

LARGEST = 64_000
"""Characters of a result as JSON."""


class _Answer(msgspec.Struct):
    ecu: str = ""
    bytes: str = ""
    value: float | None = None


class _PidQuery(msgspec.Struct):
    answers: list[_Answer]
    pid: str = ""


class _Code(msgspec.Struct):
    code: str
    status: str = "confirmed"


Plain = str | float | bool | None


class _Codes(msgspec.Struct, omit_defaults=True):
    codes: list[_Code] = []
    vin: str | None = None
    mil: bool | None = None
    count: int | None = None
    cleared: bool | None = None
    readiness: dict[str, Plain] = {}
    freeze_frame: dict[str, Any] = {}
    not_read: dict[str, str] = {}
    refused: str | None = None


_FORMS: dict[str, Any] = {"pid_query": _PidQuery, "dtc_read": _Codes, "dtc_clear": _Codes}


def checked(kind: str, result: Any) -> dict[str, Any] | None:
    """The result in its form, without what has no meaning; None for what is none, or too large."""
    if not isinstance(result, dict):
        return None
    try:
        if len(json.dumps(result, allow_nan=False)) > LARGEST:
            return None
        form = _FORMS.get(kind)
        if form is None:
            return result
        found: dict[str, Any] = msgspec.to_builtins(msgspec.convert(result, form, strict=True))
        frame = found.get("freeze_frame")
        if frame:
            found["freeze_frame"] = {name: value for name, value in frame.items() if isinstance(value, Plain)}
        return found
    except (ValueError, TypeError, RecursionError):
        return None

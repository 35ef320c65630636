"""Reading and clearing trouble codes (SAE J1979, services 02, 03, 04, 07 and 0A)."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from motorpool_collector.driver import CollectorError
from motorpool_collector.obd import codes
from motorpool_collector.obd.answers import Answer
from motorpool_collector.obd.parameters import FREEZE_FRAME, PARAMETERS, blank, monitor_status

Ask = Callable[[bytes], Answer]
"""Sends a request to all control units."""
SERVICES = ((0x07, "pending"), (0x03, "confirmed"), (0x0A, "permanent"))
NOT_SUPPORTED = (0x11, 0x12, 0x7E, 0x7F)
"""Negative responses of control units that have no such service: they keep no codes that could be missed."""
ON_CAN = "6789BC"
"""Protocol numbers of an ELM327 on which a count stands before the codes."""


def read_codes(ask: Ask, protocol: str, more: Dict[str, Any]) -> Dict[str, Any]:
    """The trouble codes with their status, the lamp, the monitors and the freeze frame.

    Args:
        protocol: the adapter's protocol number, empty where it is not known.
        more: what else the result says, such as the VIN.

    Returns:
        ``codes``, and where some could not be read ``not_read``: by status the reason.

    Raises:
        CollectorError: no service could be read.
    """
    found, not_read = _codes(ask, protocol)
    status = monitor_status(next(iter(ask(b"\x01\x01").data.values()), b""))
    if status is not None and status.count and "confirmed" not in found.values():
        not_read.setdefault("confirmed", f"the car counts {status.count} codes and names none")
    if len(not_read) == len(SERVICES):
        reasons = "; ".join(f"{state}: {reason}" for state, reason in not_read.items())
        raise CollectorError(f"The trouble codes cannot be read: {reasons}.")
    result = {**more, **_listed(found, not_read)}
    if status is not None:
        result |= {"mil": status.mil, "count": status.count, "readiness": status.readiness}
    frame = _freeze_frame(ask) if found else {}
    return {**result, "freeze_frame": frame} if frame else result


def clear_codes(ask: Ask, protocol: str, more: Dict[str, Any]) -> Dict[str, Any]:
    """Clear the codes (service 04), and read them again to see what is left.

    Raises:
        CollectorError: no control unit did it; the message says why, and which codes are still stored.
    """
    answer = ask(b"\x04")
    left, not_read = _codes(ask, protocol)
    if not answer.data:
        still = f" Still stored: {', '.join(sorted(left))}." if left else ""
        hint = "the ignition has to be on, the engine off"
        raise CollectorError(f"The codes were not cleared: {answer.reason()}; {hint}.{still}")
    result = {**more, "cleared": True, **_listed(left, not_read)}
    return {**result, "refused": answer.reason()} if answer.refused else result


def _codes(ask: Ask, protocol: str) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Codes with their status; and by status why its codes are not known ("not supported" is not "none")."""
    found: Dict[str, str] = {}
    not_read: Dict[str, str] = {}
    for service, status in SERVICES:
        answer = ask(bytes([service]))
        if answer.broken or answer.pending or (not answer.data and not answer.no_data):
            not_read[status] = answer.reason()
        refused = {unit: code for unit, code in answer.refused.items() if code not in NOT_SUPPORTED}
        if refused:
            not_read[status] = answer.reason()
        for unit, data in answer.data.items():
            counted: Optional[bool] = protocol in ON_CAN if protocol and unit != "car" else None
            try:
                found.update(dict.fromkeys(codes.trouble_codes(data, counted), status))
            except CollectorError as error:
                not_read[status] = str(error)
    return found, not_read


def _listed(found: Dict[str, str], not_read: Dict[str, str]) -> Dict[str, Any]:
    listed: Dict[str, Any] = {"codes": [{"code": code, "status": status} for code, status in sorted(found.items())]}
    return {**listed, "not_read": not_read} if not_read else listed


def _freeze_frame(ask: Ask) -> Dict[str, Any]:
    """The values at the moment of a code; empty where the car keeps none, which is no fault."""
    frame: Dict[str, Any] = {}
    for data in ask(b"\x02\x02\x00").data.values():
        if len(data) == 2 and any(data) and not blank(data):
            frame["code"] = codes.code_name(data[0], data[1])
    if not frame:
        return {}
    for parameter in (PARAMETERS[name] for name in FREEZE_FRAME):
        for data in ask(bytes([0x02, parameter.pid, 0])).data.values():
            if len(data) == parameter.size and not blank(data):
                value = parameter.decode(int.from_bytes(data, "big"))
                frame.setdefault(parameter.signal, round(value, 3))
    return frame

"""Trouble codes, VIN and the requests that are let through (SAE J1979, ISO 15031-5 and -6), as pure functions."""

from __future__ import annotations

import re
from typing import Any, List, Optional

from motorpool_collector.driver import CollectorError

SYSTEMS = "PCBU"
PADDING = ((0xAA, 0xAA), (0x55, 0x55), (0xCC, 0xCC))
"""What control units fill frames with, beyond the number of codes that they count."""


def trouble_codes(data: bytes, counted: Optional[bool] = None) -> List[str]:
    """The codes of an answer to service 03, 07 or 0A, without its first byte (43, 47 or 4A).

    Args:
        data: two bytes per code; 0000 is padding, FFFF what a sleeping control unit sends.
        counted: whether a count stands before them, as on CAN; None: an odd length tells.

    Raises:
        CollectorError: the count says more codes than there are.
    """
    counted = len(data) % 2 == 1 if counted is None else counted
    pairs = data[1:] if counted else data
    if counted and data and data[0] > len(pairs) // 2:
        raise CollectorError(f"The answer has {len(pairs) // 2} of {data[0]} trouble codes.")
    count = data[0] if counted and data else len(pairs)
    found = [(pairs[i], pairs[i + 1]) for i in range(0, len(pairs) - 1, 2)]
    found = [pair for i, pair in enumerate(found) if i < count or pair not in PADDING]
    return list(dict.fromkeys(code_name(*pair) for pair in found if pair not in ((0, 0), (0xFF, 0xFF))))


def code_name(high: int, low: int) -> str:
    """A code's letter and four digits, from its two bytes (ISO 15031-6, 5.2)."""
    return f"{SYSTEMS[high >> 6]}{high >> 4 & 3}{high & 15:X}{low:02X}"


def vin_of(data: bytes) -> str:
    """The VIN of an answer to mode 09 PID 02, from its bytes after 49 02: a count on CAN, padding zeros in front."""
    match = re.search(rb"[A-HJ-NPR-Z0-9]{17}$", data.rstrip(b"\x00\xaa\x55"))
    return match.group().decode() if match else ""


def request_of(pid: Any) -> bytes:
    """The bytes of a query of two to eight hex bytes, such as 010C.

    Raises:
        CollectorError: it is none, or its service changes the car.
    """
    text = str(pid).replace(" ", "").upper()
    if not re.fullmatch(r"([0-9A-F]{2}){2,8}", text):
        raise CollectorError(f"{str(pid)[:40]!r} is no query: write two to eight hex bytes, such as 010C or 221E1C.")
    if text[:2] not in ("01", "02", "05", "06", "09", "22", "21", "1A"):
        raise CollectorError(f"Service {text[:2]} is not read-only: 01, 02, 05, 06, 09, 1A, 21 and 22 are allowed.")
    request = bytes.fromhex(text)
    return request + b"\x00" if request[0] == 0x02 and len(request) == 2 else request  # the frame's number


def header_of(header: Any) -> str:
    """The identifier of one control unit on CAN, such as 7E0 or 18DA10F1; empty for all.

    Raises:
        CollectorError: it is not three or eight hex digits.
    """
    text = str(header or "").replace(" ", "").upper()
    if text and not re.fullmatch(r"[0-7][0-9A-F]{2}|[01][0-9A-F]{7}", text):
        raise CollectorError(
            f"{text[:20]!r} is no header: write three hex digits such as 7E0, or eight such as 18DA10F1."
        )
    return text

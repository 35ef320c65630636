"""From the lines of an ELM327 adapter to what each control unit answered to one request. Pure: no port, no clock.

Formats: ELM327 data sheet ("Interpreting the response", headers on); ISO 15765-2 for frames on CAN; SAE J1979 for
services and their echoes; ISO 14229-1, annex A.1, for negative responses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Tuple

NEGATIVE = 0x7F
PENDING = 0x78
BUSY = 0x21
REASONS = {
    0x10: "general reject", 0x11: "service not supported", 0x12: "sub-function not supported",
    0x13: "wrong message length or format", 0x14: "response too long", 0x21: "busy, repeat the request",
    0x22: "conditions not correct", 0x24: "request sequence error", 0x25: "no response from a subnet component",
    0x26: "a failure prevents the execution", 0x31: "request out of range", 0x33: "security access denied",
    0x34: "authentication required", 0x35: "invalid key", 0x36: "too many attempts",
    0x37: "required time delay not expired", 0x70: "upload or download not accepted", 0x71: "transfer suspended",
    0x72: "general programming failure", 0x73: "wrong block sequence counter", 0x78: "response pending",
    0x7E: "sub-function not supported in the active session", 0x7F: "service not supported in the active session",
    0x81: "engine speed too high", 0x82: "engine speed too low", 0x83: "engine is running",
    0x84: "engine is not running", 0x85: "engine run time too low", 0x86: "temperature too high",
    0x87: "temperature too low", 0x88: "vehicle speed too high", 0x89: "vehicle speed too low",
    0x8A: "throttle or pedal too high", 0x8B: "throttle or pedal too low", 0x8C: "transmission not in neutral",
    0x8D: "transmission not in gear", 0x8F: "brake not pressed", 0x90: "shift lever not in park",
    0x91: "torque converter clutch locked", 0x92: "voltage too high", 0x93: "voltage too low",
}  # fmt: skip
"""Negative response codes in plain words."""
ECHOED = {0x01: 1, 0x02: 2, 0x05: 2, 0x06: 1, 0x08: 1, 0x09: 1, 0x1A: 1, 0x21: 1, 0x22: 2}
"""How many bytes of the request a positive answer repeats after the service."""
CAN_11, CAN_29 = "68B", "79C"
"""Protocol numbers (ATDPN) with 11 and with 29 bit identifiers."""
NO_DATA = "NO DATA"
UNREACHABLE = (
    "UNABLE TO CONNECT",
    "BUS INIT: ERROR",
    "BUS INIT ERROR",
    "BUS ERROR",
    "CAN ERROR",
    "FB ERROR",
    "BUS BUSY",
    "LV RESET",
)
"""What an adapter says when it cannot reach the car."""
_HEX = re.compile(r"[0-9A-F ]+")
_PROGRESS = re.compile(r"^(?:SEARCHING[. ]*|BUS INIT:?[. ]*OK\s*)")
"""What an adapter writes while it looks for the protocol, on the line of the answer or above it."""


@dataclass
class Message:
    """One message of one control unit, from its service byte on."""

    unit: str
    data: bytes


@dataclass
class Answer:
    """What came back on one request."""

    data: Dict[str, bytes] = field(default_factory=dict)
    """By control unit: the bytes after the echo of the request."""
    refused: Dict[str, int] = field(default_factory=dict)
    """By control unit: the negative response code."""
    pending: List[str] = field(default_factory=list)
    """Control units that ask for more time and have not answered yet."""
    said: List[str] = field(default_factory=list)
    """What the adapter itself said, such as NO DATA."""
    foreign: int = 0
    """Messages that answer another request."""
    broken: int = 0
    """Lines and messages that are not whole."""

    @property
    def no_data(self) -> bool:
        """Whether the adapter reports that no control unit answered."""
        return NO_DATA in self.said and not self.data and not self.refused

    @property
    def unreachable(self) -> str:
        """The adapter's words where it could not reach the car, else empty."""
        said = [re.sub(r"\.+\s*", " ", text).replace("  ", " ") for text in self.said]
        found = next((text for text in said if text.startswith(UNREACHABLE)), "")
        return "" if NO_DATA in self.said else found

    def reason(self) -> str:
        """Why there is no data, in a sentence's end."""
        if self.refused:
            parts = [f"{unit} refuses: {reason_text(code)}" for unit, code in sorted(self.refused.items())]
            return "; ".join(parts)
        if self.pending:
            return f"{', '.join(self.pending)} asked for more time and did not answer"
        if NO_DATA in self.said:
            return "no control unit answers (NO DATA)"
        if self.said:
            return f"the adapter says {self.said[-1]!r}"
        if self.broken:
            return "the answer was not whole"
        return "the answer belonged to another request" if self.foreign else "no answer"


def reason_text(code: int) -> str:
    """A negative response code in words, with its number."""
    return f"{REASONS.get(code, 'reason unknown to ISO 14229-1')} ({code:02X})"


def parse(lines: Iterable[str], request: bytes, protocol: str = "") -> Answer:
    """Sort an adapter's lines by what they are.

    Args:
        lines: as received, without prompt.
        request: the request's bytes, such as ``01 0C``.
        protocol: the adapter's protocol number (1 to C), empty where it is not known.
    """
    answer = Answer()
    frames: List[Tuple[str, bytes, bool]] = []
    for line in lines:
        text = _PROGRESS.sub("", line.strip().upper())
        if not text:
            continue
        frame = _frame(text, request, protocol)
        if frame is not None:
            frames.append(frame)
        elif _HEX.fullmatch(text) or "<" in text:
            answer.broken += 1  # cut off, or marked by the adapter as damaged
        else:
            answer.said.append(text)
    messages, incomplete = _messages(frames, request)
    answer.broken += incomplete
    for message in messages:
        _sort_in(answer, message, request)
    answer.pending = [unit for unit in answer.pending if unit not in answer.data and unit not in answer.refused]
    return answer


def _sort_in(answer: Answer, message: Message, request: bytes) -> None:
    service, data = request[0], message.data
    if data[0] == NEGATIVE and len(data) >= 3 and data[1] == service:
        code = data[2] if len(data) == 3 else data[-1] or data[2]
        if code == PENDING:
            answer.pending.append(message.unit)
        elif message.unit not in answer.data:
            answer.refused[message.unit] = code
        return
    echoed = 1 + min(ECHOED.get(service, 0), len(request) - 1)
    if data[0] == service | 0x40 and data[1:echoed] == request[1:echoed] and len(data) >= echoed:
        answer.data[message.unit] = data[echoed:]
        answer.refused.pop(message.unit, None)
    else:
        answer.foreign += 1


def _frame(text: str, request: bytes, protocol: str) -> Optional[Tuple[str, bytes, bool]]:
    """A line as control unit, bytes after the header, and whether it is a CAN frame; None where it is no frame."""
    if not _HEX.fullmatch(text):
        return None
    parts = text.split()
    if len(parts) > 2 and len(parts[0]) == 3 and len(parts[1]) == 1:
        del parts[1]  # the data length code, which ATD1 shows
    digits = "".join(parts)
    eleven = protocol in CAN_11 if protocol else len(parts[0]) == 3 or len(digits) % 2 == 1
    if protocol and eleven and _headerless(parts, digits, request):
        eleven = False
    if eleven:
        return _can_frame(digits, 3) if len(digits) > 5 else None
    if len(digits) % 2:
        return None
    if _headerless(parts, digits, request):
        return ("car", bytes.fromhex(digits), False)
    if protocol in CAN_29 if protocol else digits.startswith(("18DA", "18DB")):
        return _can_frame(digits, 8)
    data = bytes.fromhex(digits)
    if len(data) < 5:
        return None
    # Older buses: priority, target, source, data, checksum (SAE J1850, ISO 9141-2, ISO 14230-2).
    payload = data[3:-1]
    length = data[0] & 0x3F
    if data[0] & 0xC0 == 0x80 and not length:  # the length has a byte of its own
        length, payload = data[3], data[4:-1]
    if data[0] & 0xC0 == 0x80 and length:  # ISO 14230-2 tells how long the data are
        if length > len(payload):
            return None
        payload = payload[:length]
    return (f"{data[2]:02X}", payload, False)


def _headerless(parts: List[str], digits: str, request: bytes) -> bool:
    """Whether the line begins with the answer itself: some adapters ignore that headers were asked for."""
    if len(digits) % 2 or (any(len(part) != 2 for part in parts[:-1]) and len(parts) > 1):
        return False
    echoed = f"{request[0] | 0x40:02X}{request[1:2].hex().upper() if ECHOED.get(request[0]) else ''}"
    return digits.startswith((echoed, f"7F{request[0]:02X}"))


def _can_frame(digits: str, header: int) -> Optional[Tuple[str, bytes, bool]]:
    body = digits[header:]
    if len(body) % 2 or not 2 <= len(body) <= 128:
        return None
    unit = digits[6:8] if digits.startswith("18DAF1") else digits[:header]
    return (unit, bytes.fromhex(body), True)


def _messages(frames: List[Tuple[str, bytes, bool]], request: bytes) -> Tuple[List[Message], int]:
    """The frames joined to messages, each different one once; and how many were not whole."""
    found: List[Message] = []
    incomplete = 0
    open_: Dict[str, _Assembly] = {}
    done: Dict[str, bytes] = {}
    for unit, body, can in frames:
        if not can:
            found.append(Message(unit, body))
            continue
        kind, low = body[0] >> 4, body[0] & 15
        if kind == 0 and 0 < low < len(body):
            found.append(Message(unit, body[1 : 1 + low]))
        elif kind == 1 and len(body) > 2:
            if body in (done.get(unit), open_[unit].first if unit in open_ else None):
                continue  # the same frame twice
            incomplete += unit in open_
            open_[unit] = _Assembly(low << 8 | body[1], body)
        elif kind == 2 and unit in open_:
            open_[unit].add(low, body[1:])
        elif kind != 3 and not (kind == 2 and unit in done):
            incomplete += 1
        if unit in open_ and open_[unit].whole:
            done[unit] = open_[unit].first
            found.append(Message(unit, open_.pop(unit).data()))
    incomplete += len(open_)
    unique = [m for i, m in enumerate(found) if m.data and m not in found[:i]]
    return _joined(unique, request) if any(not can for _, _, can in frames) else unique, incomplete


class _Assembly:
    """A message of several frames (ISO 15765-2): consecutive ones may come twice or out of order."""

    def __init__(self, length: int, first: bytes) -> None:
        self.first = first
        self._length = length
        self._parts: Dict[int, bytes] = {}

    def add(self, number: int, data: bytes) -> None:
        expected = len(self._parts) + 1
        index = expected + ((number - expected + 8) % 16 - 8)  # the nearest with this number modulo 16
        if index > 0:
            self._parts.setdefault(index, data)

    @property
    def whole(self) -> bool:
        wanted = range(1, len(self._parts) + 1)
        return all(i in self._parts for i in wanted) and len(self._joined()) >= self._length

    def _joined(self) -> bytes:
        return self.first[2:] + b"".join(data for _, data in sorted(self._parts.items()))

    def data(self) -> bytes:
        return self._joined()[: self._length]


def _joined(messages: List[Message], request: bytes) -> List[Message]:
    """On older buses a long answer comes as several messages: codes after codes, or numbered ones in service 09."""
    if request[0] not in (0x03, 0x07, 0x0A, 0x09):
        return messages
    joined: Dict[str, Message] = {}
    others: List[Message] = []
    numbered = request[0] == 0x09
    for message in sorted(messages, key=lambda m: m.data[2:3]) if numbered else messages:
        if message.data[0] != request[0] | 0x40 or (numbered and message.data[1:2] != request[1:2]):
            others.append(message)
        elif message.unit in joined:
            joined[message.unit].data += message.data[3:] if numbered else message.data[1:]
        else:
            joined[message.unit] = Message(
                message.unit, message.data[:2] + message.data[3:] if numbered else message.data
            )
    return [*joined.values(), *others]

"""The dialogue with an ELM327 adapter over pyserial: serial, Bluetooth serial, or TCP (``socket://host:port``).

Commands are those of the ELM327 data sheet, version 1.0 on, so that clones understand them too.
"""

from __future__ import annotations

import time
from typing import Any, List, Optional

from motorpool_collector.driver import CollectorError, needs
from motorpool_collector.obd.answers import BUSY, CAN_11, CAN_29, Answer, parse

BAUDRATES = (38400, 9600, 115200, 230400, 57600, 19200)
"""Tried in this order where none is given: the two that adapters start with, then by how common they are."""
SEARCH_SECONDS = 15.0
"""An adapter that tries all protocols takes so long for its first answer."""
REQUEST_SECONDS = 6.0
"""How long a control unit that asks for more time gets it."""
LIVE_SECONDS = 1.0
"""The same for values that are read again soon."""
TRIES = 3
RESTING_SECONDS = 0.3
_QUIET_SECONDS = 0.06


class Silent(CollectorError):
    """The adapter sent no prompt in time."""


class Elm327:
    """One adapter, from opening to closing."""

    def __init__(self, port: str, baudrate: Optional[int], timeout_s: float) -> None:
        self.where = port or "any port"
        self.protocol = ""
        """The protocol's number as ATDPN tells it, such as 6; empty where it does not."""
        self._port_name, self._baudrate, self._timeout_s = port, baudrate, timeout_s
        self._port: Any = None

    def open(self, protocol: str = "") -> None:
        """Open the port and prepare the adapter.

        Raises:
            CollectorError: it cannot be opened, or what answers there is no ELM327; the message says which.
        """
        serial = needs("serial", "obd")
        names = [self._port_name] if self._port_name else _ports()
        if not names:
            raise CollectorError("there is no serial port here: plug the adapter in, or name its port")
        for number, name in enumerate(names):
            try:
                self._port = serial.serial_for_url(name, timeout=self._timeout_s)
            except (OSError, ValueError) as error:
                if number + 1 == len(names):
                    raise CollectorError(f"the adapter at {name} cannot be opened: {error}") from None
                continue
            try:
                self._prepare(name, protocol)
                self.where = name
                return
            except CollectorError:
                self.close()
                if number + 1 == len(names):
                    raise

    def _prepare(self, name: str, protocol: str) -> None:
        self._find_baudrate(name)
        try:
            self.command("ATZ", max(3.0, self._timeout_s))
        except Silent:
            raise CollectorError(
                f"nothing answers at {name}: is an ELM327 adapter there, and is its baud rate right?"
            ) from None
        self._drain()
        for command, purpose in (("ATE0", "switch its echo off"), ("ATH1", "show headers"), ("ATL0", "")):
            answer = self.command(command)
            if "OK" not in answer:
                self._drain()
                answer = self.command(command)
            if "OK" not in answer and purpose:
                said = " ".join(answer)[:60] or "nothing"
                raise CollectorError(f"what answers at {name} cannot {purpose} ({command}: {said}): is it an ELM327?")
        if "OK" not in self.command(f"ATSP{protocol or '0'}"):
            raise CollectorError(
                f"the adapter at {name} does not know protocol {protocol or '0'}", permanent=bool(protocol)
            )

    def _find_baudrate(self, name: str) -> None:
        if self._baudrate or name.startswith(("socket://", "/dev/pts/")):
            if self._baudrate:
                self._port.baudrate = self._baudrate
            return
        for baudrate in BAUDRATES:
            self._port.baudrate = baudrate
            try:
                # DEL is no command: an empty line would repeat the last one.
                if self._exchange(b"\x7f\x7f\r", 0.5) is not None:
                    return
            except Silent:
                continue
        raise CollectorError(f"nothing answers at {name} at any of {', '.join(map(str, BAUDRATES))} baud")

    def command(self, text: str, seconds: Optional[float] = None) -> List[str]:
        """The lines that answer one line; raises `Silent` without a prompt in time, `CollectorError` if it is gone."""
        self._drain(0.0)
        lines = self._exchange(text.encode() + b"\r", self._timeout_s if seconds is None else seconds)
        return [line for line in lines if line != text]

    def request(self, request: bytes, seconds: Optional[float] = None, header: str = "", receive: str = "") -> Answer:
        """What the car's control units answer to a diagnostic request.

        A late answer to another request, an interrupted or damaged one is asked for again; a control unit that asks
        for more time ("response pending") gets it.

        Args:
            request: its bytes, such as ``01 0C``.
            seconds: the wait for each attempt.
            header: ask this identifier only, such as 7E0 or 18DA10F1; empty for all control units.
            receive: take answers of this identifier only; empty for the usual one.

        Raises:
            Silent: the adapter does not answer any more.
            CollectorError: the connection is gone, or the adapter does not know the header's command.
        """
        if header and self.protocol and self.protocol not in CAN_11 + CAN_29:
            raise CollectorError(f"one control unit can be asked on CAN only, and this is protocol {self.protocol}")
        try:
            if header:
                self._address(header, receive)
            return self._request(request, seconds)
        finally:
            if header:
                self._address_all()

    def _request(self, request: bytes, seconds: Optional[float]) -> Answer:
        text = request.hex().upper()
        ends = time.monotonic() + (LIVE_SECONDS if request[0] == 0x01 and seconds is None else REQUEST_SECONDS)
        found = Answer()
        for attempt in range(TRIES):
            lines = self.command(text, seconds)
            answer = parse(lines, request, self.protocol)
            while (answer.pending or BUSY in answer.refused.values()) and time.monotonic() < ends:
                lines += self._listen(RESTING_SECONDS)
                later = parse(lines, request, self.protocol)
                if later == answer:
                    lines += self.command(text, seconds)
                    later = parse(lines, request, self.protocol)
                answer = later
            answer.data = {**found.data, **answer.data}
            found = answer
            if _settled(answer, request) or attempt == TRIES - 1 or time.monotonic() > ends:
                break
            self._drain()
        return found

    def _address(self, header: str, receive: str) -> None:
        usual = f"{int(header, 16) + 8:03X}" if len(header) == 3 else f"18DA{header[6:8]}{header[4:6]}"
        words = [f"ATSH{header}"] if len(header) == 3 else [f"ATCP{header[:2]}", f"ATSH{header[2:]}"]
        for command in words:
            if "OK" not in self.command(command):
                raise CollectorError(f"the adapter does not understand {command}: it cannot ask {header}")
        # Without a filter the answers of others are told by their identifiers.
        for command in (f"ATCRA{receive or usual}", f"ATFCSH{header}", "ATFCSD300000", "ATFCSM1"):
            self.command(command)  # flow control to the same control unit; older adapters do this by themselves

    def _address_all(self) -> None:
        wide = bool(self.protocol) and self.protocol in "79C"
        for command in ("ATFCSM0", "ATCRA", "ATAR", *(("ATCP18", "ATSHDB33F1") if wide else ("ATSH7DF",))):
            self.command(command)

    def read_protocol(self) -> None:
        """Ask which protocol the adapter has found (ATDPN); it stays unknown where it does not say."""
        said = "".join(self.command("ATDPN")).strip().upper()
        found = said[1:] if len(said) == 2 and said[0] == "A" else said
        self.protocol = found if len(found) == 1 and found in "123456789ABC" else ""

    def voltage(self) -> str:
        """The voltage at the port as the adapter measures it (ATRV); empty where it does not."""
        said = "".join(self.command("ATRV")).strip()
        return said if said[:1].isdigit() else ""

    def close(self) -> None:
        """Close the port."""
        if self._port is not None:
            try:
                self._port.close()
            except OSError:
                pass
        self._port = None

    def _exchange(self, data: bytes, seconds: float) -> List[str]:
        received = b""
        try:
            self._port.write(data)
            deadline = time.monotonic() + seconds
            while b">" not in received:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._port.write(b"\r")  # any character ends what it is doing
                    self._drain(0.2)
                    raise Silent(f"the adapter at {self.where} does not answer")
                received += self._read(min(left, 1.0))
        except Silent:
            raise
        except (OSError, AttributeError, TypeError) as error:
            raise CollectorError(f"the adapter at {self.where} is gone: {error}") from None
        return _lines(received.partition(b">")[0])

    def _listen(self, seconds: float) -> List[str]:
        """The lines that arrive without being asked for."""
        received, deadline = b"", time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                received += self._read(deadline - time.monotonic())
        except OSError as error:
            raise CollectorError(f"the adapter at {self.where} is gone: {error}") from None
        return _lines(received.replace(b">", b"\r"))

    def _drain(self, quiet: float = _QUIET_SECONDS) -> None:
        """Throw away what has arrived, until nothing does for a moment."""
        deadline = time.monotonic() + 1.0
        try:
            while time.monotonic() < deadline and self._read(quiet):
                pass
        except OSError as error:
            raise CollectorError(f"the adapter at {self.where} is gone: {error}") from None

    def _read(self, seconds: float) -> bytes:
        waiting = self._port.in_waiting
        if not waiting and seconds <= 0:
            return b""
        self._port.timeout = max(0.001, seconds)
        return bytes(self._port.read(max(1, min(waiting, 4096))))


def _settled(answer: Answer, request: bytes) -> bool:
    """Whether asking again would tell nothing more; of live values one whole answer is enough."""
    if answer.broken and request[0] != 0x01:
        return False
    if answer.data or answer.refused:
        return True
    return not answer.foreign and (answer.no_data or answer.unreachable.startswith("UNABLE") or "?" in answer.said)


def _lines(data: bytes) -> List[str]:
    # The data sheet warns of stray zero bytes; whatever is not ASCII is noise.
    text = data.replace(b"\x00", b"").decode("ascii", "replace")
    return [line.strip() for line in text.replace("\n", "\r").split("\r") if line.strip()]


def _ports() -> List[str]:
    return [port.device for port in needs("serial.tools.list_ports", "obd").comports()]

"""CAN logs in text formats, line by line: candump, Vector's ASC, SavvyCAN's CSV, CanHacker's TRC."""

from __future__ import annotations

import gzip
import re
from datetime import timezone, tzinfo
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings.times import YEAR_2000, parse_date, start_of

_CANDUMP = re.compile(r"\s*\(([^)]+)\)\s+(\S+)\s+([0-9A-Fa-f]+)(##?)([0-9A-Fa-fRr]*)(?:_[0-9A-Fa-f])?(?:\s+[RT])?\s*$")
_SHOWN = re.compile(
    r"\s*(?:\(([^)]+)\)\s+)?(\S+)\s+(?:[RT]X\s+\S\s+\S\s+|[RT]X\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+\[\s*(\d+)\]\s*"
    r"((?:[0-9A-Fa-f]{2}\s*)*|remote request.*?)(?:\s+'.*')?\s*$"
)
_ASC_CAN = re.compile(
    r"(\d+\.\d+)\s+(\d+)\s+([0-9A-Fa-f]+)(x?)\s+(Rx|Tx)\s+([dr])(?:\s+([0-9A-Fa-f]+))?((?:\s+\w+)*)", re.IGNORECASE
)
_ASC_FD = re.compile(
    r"(\d+\.\d+)\s+CANFD\s+(\d+)\s+(Rx|Tx)\s+([0-9A-Fa-f]+)(x?)\s+(?:(\S*[A-Za-z_]\S*)\s+)?([01])\s+([01])\s+([0-9A-Fa-f]+)\s+(\d+)((?:\s+\w+)*)",
    re.IGNORECASE,
)
_ASC_OTHER = re.compile(
    r"^\s*(//|date|base|(no\s+)?internal events|begin triggerblock|end triggerblock|$)", re.IGNORECASE
)
_ASC_EVENT = re.compile(
    r"^\s*\d+\.\d+\s+(\d+\s+(ErrorFrame|Statistic)|Start of|CAN \d+ Status|CANFD\s+\d+\s+\w+\s+ErrorFrame|\D)",
    re.IGNORECASE,
)
_HACKER = re.compile(
    r"\s*(?:\d+\s+)?(\d+\.\d+)\s+(?:(\d)\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+(\d)((?:\s+[0-9A-Fa-f]{2})*)\s*$"
)


ERROR_FRAME = 0x2000_0000
"""The flag of an error frame in an identifier of SocketCAN (linux/can.h)."""


class Message(NamedTuple):
    """One frame of a bus."""

    time: float
    channel: str
    identifier: int
    extended: bool
    data: bytes


Lines = Iterator[Tuple[int, str]]


class Skipped(NamedTuple):
    """A line that is no frame."""

    line: int
    text: str


Found = Iterator[Union[Message, Skipped]]


class LogStart:
    """When a log with relative times began."""

    def __init__(self, path: str, head: str, given: str, zone: tzinfo) -> None:
        self._path, self._given, self.zone = path, given, zone
        self._known: Optional[float] = None
        self._head = [line for line in head.splitlines()[:10] if not re.match(r"\s*[\d(]", line)]
        self.assumed_zone = False

    def set(self, text: str) -> None:
        """The date that the log's header gives."""
        parsed = parse_date(re.sub(r"\b([ap])m\b", r"\1m", text.strip(), flags=re.IGNORECASE))
        if parsed is not None and not self._given:
            self._note(parsed.moment)

    def begun(self) -> float:
        """Epoch seconds of the log's beginning; raises `CollectorError` where nothing says it."""
        if self._known is None:
            moment = start_of(self._given, self._path, self._head)
            if moment is None:
                raise CollectorError(
                    f"{self._path}: its times count from the start of the log, and neither its header nor its name "
                    "says when that was. Give it with --start, such as 2026-11-28T10:00:00.",
                    permanent=True,
                )
            self._note(moment)
        assert self._known is not None
        return self._known

    def _note(self, moment: Any) -> None:
        self.assumed_zone = moment.tzinfo is None and self.zone is timezone.utc
        self._known = (moment if moment.tzinfo else moment.replace(tzinfo=self.zone)).timestamp()


def _lines(path: str) -> Lines:
    try:
        opened = gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb")  # noqa: SIM115
        with opened as file:
            for number, line in enumerate(file, 1):
                yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (OSError, EOFError) as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None


def candump(path: str, clock: LogStart) -> Found:
    """``candump -L`` and ``candump -t a|A|z|d`` as it is shown, with or without ASCII."""
    seen = False
    relative: Optional[_RelativeTimes] = None
    for number, line in _lines(path):
        if not line.strip():
            continue
        match = _CANDUMP.match(line)
        shown = None if match else _SHOWN.match(line)
        if match:
            text, channel, identifier, mark, data = match.groups()
            if mark == "##":
                data = data[1:]  # the flags of CAN FD
        elif shown:
            text, channel, identifier, _, data = shown.groups()
            data = re.sub(r"\s+", "", data)
        else:
            yield Skipped(number, line)
            continue
        if text is None:
            raise CollectorError(
                f"{path} was written by candump without times: record with candump -L, which this reads.",
                permanent=True,
            )
        moment = _candump_time(text, clock)
        if moment is None or (data and not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", data)):
            if data[:1].upper() == "R" or data.startswith("remote"):
                continue
            yield Skipped(number, line)
            continue
        seen = True
        extended = len(identifier) > 3
        if extended and int(identifier, 16) & ERROR_FRAME:
            yield Skipped(number, line)
            continue
        if moment < YEAR_2000:
            relative = relative or _RelativeTimes(path)
            moment = clock.begun() + relative.epoch(moment)
        yield Message(moment, channel, int(identifier, 16) & 0x1FFFFFFF, extended, bytes.fromhex(data))
    if not seen:
        raise CollectorError(
            f"{path} has no line that candump writes: is it a log of another program?",
            permanent=True,
        )


class _RelativeTimes:
    """Seconds since the first frame (``candump -t z``) or since the frame before (``-t d``): both look alike."""

    def __init__(self, path: str) -> None:
        """Tell from the file's first times which they are: those since the start never stand still for long."""
        times: List[float] = []
        for _, line in _lines(path):
            match = re.match(r"\s*\(\+?(\d+\.\d+)\)", line)
            if match:
                times.append(float(match.group(1)))
            if len(times) >= 1000:
                break
        steps = list(zip(times[1:], times[2:]))  # noqa: B905, RUF007 - Python 3.9
        self._sum = sum(later <= earlier for earlier, later in steps) * 5 > len(steps)
        self._elapsed = 0.0

    def epoch(self, seconds: float) -> float:
        """Seconds since the start of the next frame."""
        self._elapsed = self._elapsed + seconds if self._sum else seconds
        return self._elapsed


def _candump_time(text: str, clock: LogStart) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        parsed = parse_date(text)
    if parsed is None:
        return None
    moment = parsed.moment if parsed.moment.tzinfo else parsed.moment.replace(tzinfo=clock.zone)
    return moment.timestamp()


def asc(path: str, clock: LogStart) -> Found:
    """Vector's ASC: any base of numbers, absolute or relative times, classic CAN and CAN FD, the file's channels."""
    base, relative, elapsed = 16, False, 0.0
    for number, line in _lines(path):
        text = line.strip()
        dated = re.match(r"date\s+(?:\w+\.?\s+)?(.+)", text, re.IGNORECASE) or re.match(
            r"begin\s+triggerblock\s+(?:\w+\.?\s+)?(.+)", text, re.IGNORECASE
        )
        if dated:
            clock.set(dated.group(1))
            continue
        based = re.match(r"base\s+(hex|dec)(?:\s+timestamps\s+(absolute|relative))?", text, re.IGNORECASE)
        if based:
            base = 10 if based.group(1).lower() == "dec" else 16
            relative = (based.group(2) or "").lower() == "relative"
            continue
        if _ASC_OTHER.match(text):
            continue
        try:
            found = _asc_frame(text, base)
        except ValueError:
            found = None
        step = re.match(r"\d+\.\d+", text)
        elapsed = elapsed + float(step.group()) if relative and step else elapsed
        if found is None:
            if not _ASC_EVENT.match(text):
                yield Skipped(number, line)
            continue
        yield found._replace(time=clock.begun() + (elapsed if relative else found.time))


def _asc_frame(text: str, base: int) -> Optional[Message]:
    match = _ASC_CAN.match(text)
    if match:
        moment, channel, identifier, wide, _, kind, length, rest = match.groups()
        if kind.lower() == "r":
            return None
        size = min(8, int(length or "0", base))
        cells = rest.split()[:size]
    else:
        match = _ASC_FD.match(text)
        if not match:
            return None
        moment, channel, _, identifier, wide, _, _, _, _, length, rest = match.groups()
        size = int(length)
        cells = rest.split()[:size]
    if len(cells) < size:
        raise ValueError
    data = bytes(int(cell, base) for cell in cells)
    return Message(float(moment), channel, int(identifier, base), bool(wide), data)


def savvycan(path: str, clock: LogStart) -> Found:
    """SavvyCAN's CSV: microseconds, and the columns that its header names."""
    places: Dict[str, int] = {}
    for number, line in _lines(path):
        cells = [cell.strip() for cell in line.lstrip("\ufeff").split(",")]
        if cells[0].replace(" ", "").lower() == "timestamp":
            places = {cell.replace(" ", "").lower(): index for index, cell in enumerate(cells)}
            continue
        if not line.strip():
            continue
        try:
            size = int(cells[places["len"]])
            first = places.get("d1", len(cells))
            data = bytes(int(cell, 16) for cell in cells[first : first + size])
            if len(data) != size:
                raise ValueError
            extended = cells[places["extended"]].lower() == "true"
            channel = cells[places["bus"]] if "bus" in places else ""
            seconds = float(cells[0]) / 1e6
            yield Message(seconds, channel, int(cells[places["id"]], 16) & 0x1FFFFFFF, extended, data)
        except (ValueError, KeyError, IndexError):
            yield Skipped(number, line)


def canhacker(path: str, clock: LogStart) -> Found:
    """CanHacker's TRC: seconds, identifier, length and bytes; the seconds may run over after a minute or an hour."""
    last, added = 0.0, 0.0
    for number, line in _lines(path):
        match = _HACKER.match(line)
        if not match:
            if line.strip() and not line.lstrip().lower().startswith(("time", "@", ";")):
                yield Skipped(number, line)
            continue
        moment, channel, identifier, size, rest = match.groups()
        data = bytes.fromhex(rest.replace(" ", "").replace("\t", ""))
        if len(data) != int(size):
            yield Skipped(number, line)
            continue
        seconds = float(moment)
        if seconds + added < last - 30:
            added = last - seconds if last > 3000 else added + 60.0
        last = seconds + added
        yield Message(last, channel or "", int(identifier, 16), len(identifier) > 3, data)

"""Logs of a CAN bus. Text formats are read here, since one odd line must not cost the rest; others by python-can."""

from __future__ import annotations

import os
from datetime import timezone, tzinfo
from typing import Callable, Iterator, Optional

from motorpool_collector.can_decoding import Decoder
from motorpool_collector.driver import CollectorError, needs
from motorpool_collector.recordings.can_text import Found, LogStart, Message, Skipped, asc, candump, canhacker, savvycan
from motorpool_collector.recordings.summary import Recording
from motorpool_collector.recordings.times import YEAR_2000

ENDINGS = (".log", ".asc", ".blf", ".trc", ".mf4")


def is_can_log(path: str, head: str) -> bool:
    """Whether a file is a CAN log, by its name's ending or, for a CSV file, by its header."""
    plain = path[:-3] if path.lower().endswith(".gz") else path
    ending = os.path.splitext(plain)[1].lower()
    return ending in ENDINGS or head.replace(" ", "").lower().startswith("timestamp,id,extended")


def read_can_log(path: str, head: str, decoder: Decoder, channel: str, start: str, zone: Optional[tzinfo]) -> Recording:
    """Decode a CAN log.

    Args:
        head: the beginning of the file as text.
        channel: frames of this one only, as the file numbers or names it; empty for all.
        start: when a log with relative times began; empty: as its header or name says.
        zone: of the times that the file gives without one; None: UTC.

    Raises:
        CollectorError: it cannot be read, or its times are relative and nothing says when it began.
    """
    recording = Recording()
    clock = LogStart(path, head, start, zone or timezone.utc)
    read = _reader_for(path, head)
    for found in read(path, clock) if read else _by_library(path, head):
        if isinstance(found, Skipped):
            recording.leave_out("lines that are no frame", found.line, found.text)
            continue
        recording.rows += 1
        if channel and found.channel != channel:
            continue
        moment = found.time if found.time >= YEAR_2000 else clock.begun() + found.time
        frame = decoder.frame(round(moment, 6), found.identifier, found.data, found.extended)
        if frame is not None:
            recording.frames.append(frame)
    recording.frames.sort(key=lambda frame: frame.time)
    recording.notes += decoder.account()
    if clock.assumed_zone:
        recording.notes.append("the log's date is taken as UTC; --timezone names another zone")
    return recording


def _reader_for(path: str, head: str) -> "Optional[Callable[[str, LogStart], Found]]":
    plain = path[:-3] if path.lower().endswith(".gz") else path
    ending = os.path.splitext(plain)[1].lower()
    if head.replace(" ", "").lower().startswith("timestamp,id,extended"):
        return savvycan
    if ending == ".log":
        return candump
    if ending == ".asc":
        return asc
    if ending == ".trc" and ";$FILEVERSION" not in head.upper():
        return canhacker
    return None


def _by_library(path: str, head: str) -> Iterator[Message]:
    can = needs("can", "can")
    if path.lower().endswith(".mf4"):
        needs("asammdf", "mf4")
    try:
        with can.LogReader(path) as reader:
            for message in reader:
                if not message.is_error_frame and not message.is_remote_frame:
                    channel = "" if message.channel is None else str(message.channel)
                    yield Message(
                        message.timestamp, channel, message.arbitration_id, message.is_extended_id, bytes(message.data)
                    )
    except Exception as error:  # a reader of the library meets whatever a file holds
        raise CollectorError(f"{path} cannot be read as a CAN log: {error}") from None

"""Recordings by their kind: tables, tracks, CAN logs, and the agent's own."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Union

from motorpool_collector.can_decoding import Decoder, Filter
from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings.can_logs import is_can_log, read_can_log
from motorpool_collector.recordings.options import Options
from motorpool_collector.recordings.own import Recorder, read_own
from motorpool_collector.recordings.summary import Recording
from motorpool_collector.recordings.table import read_recording
from motorpool_collector.recordings.times import zone_of
from motorpool_collector.recordings.tracks import read_gpx, read_owntracks

__all__ = ["Options", "Recorder", "Recording", "read_any", "read_recording"]

NOT_SUPPORTED = {
    ".json": "JSON", ".kml": "KML", ".fit": "FIT", ".tcx": "TCX", ".nmea": "NMEA", ".xlsx": "an Excel workbook",
    ".xls": "an Excel workbook", ".zip": "an archive", ".pcap": "a packet capture", ".pcapng": "a packet capture",
    ".dbc": "a DBC file", ".mdf": "MDF 3", ".dat": "MDF 3", ".db": "a database", ".sqlite": "a database",
}  # fmt: skip


def read_any(
    path: str,
    *,
    timezone: str = "",
    time_column: str = "",
    columns: Optional[Dict[str, str]] = None,
    units: Optional[Dict[str, str]] = None,
    start: str = "",
    date_format: str = "",
    decimal: str = "",
    delimiter: str = "",
    encoding: str = "",
    spread: bool = False,
    dbc: Union[str, List[str]] = "",
    map: Optional[Dict[str, Any]] = None,
    channel: str = "",
    interval: Union[float, str] = 0.0,
) -> Recording:
    """Read a recording of any kind that its name's ending or its contents tell.

    Args:
        timezone, time_column, columns, units, date_format, decimal, delimiter, encoding: of a table, see `Options`.
        start: when a recording with relative times began.
        spread: give rows with the same whole second their places within it.
        dbc, map, interval: of a CAN log, see `Decoder`.
        channel: only frames of this channel of a CAN log, such as can0.

    Raises:
        CollectorError: it cannot be read; the message says what was seen and what to do.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending in NOT_SUPPORTED:
        raise CollectorError(
            f"{path} is {NOT_SUPPORTED[ending]}, which is not supported: there are CSV, GPX, OwnTracks .rec, the "
            "agent's own .jsonl, and the CAN logs .log, .asc, .blf, .trc, .mf4 and SavvyCAN's .csv.",
            permanent=True,
        )
    head = _head(path)
    if is_can_log(path, head):
        if not dbc:
            raise CollectorError(f"{path} is a CAN log: name its DBC file with --dbc.", permanent=True)
        files = dbc.split(";") if isinstance(dbc, str) else dbc
        decoder = Decoder(files, map, Filter(float(interval)))
        return read_can_log(path, head, decoder, channel, start, zone_of(timezone) if timezone else None)
    if dbc:
        raise CollectorError(f"{path} is no CAN log: --dbc has no use for it.", permanent=True)
    if ending == ".gpx":
        return read_gpx(path, spread)
    if ending == ".jsonl":
        return read_own(path)
    if ending == ".rec":
        return read_owntracks(path)
    options = Options(timezone, time_column, columns, units, start, date_format, decimal, delimiter, encoding, spread)
    return read_recording(path, options)


def _head(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(4000).decode("utf-8", "replace").lstrip("\ufeff")
    except OSError as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None

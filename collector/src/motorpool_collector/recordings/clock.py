"""The time of each row of a table: which columns hold it, and what they mean."""

from __future__ import annotations

import math
from datetime import timedelta, timezone, tzinfo
from typing import List, Optional, Sequence, Tuple

from motorpool_collector.driver import CollectorError
from motorpool_collector.recordings.columns import split_title
from motorpool_collector.recordings.options import Options
from motorpool_collector.recordings.text import Row, Table, number_in
from motorpool_collector.recordings.times import (
    DAY_SECONDS,
    STEP_BACK_SECONDS,
    LocalClock,
    compact,
    epoch_of,
    order_of,
    parse_clock,
    parse_date,
    start_of,
    zone_named,
    zone_of,
)
from motorpool_formats.units import find

DATE_COLUMNS = (
    "device time", "time", "timestamp", "date", "gps time", "datetime", "date time", "time stamp", "date/time", "zeit",
    "datum", "uhrzeit", "fecha", "hora", "heure", "utc time", "local time", "recorded at", "time (utc)",
)  # fmt: skip
RELATIVE_COLUMNS = (
    "seconds", "elapsed", "elapsed time", "time elapsed", "session time", "t", "time (sec)", "sec", "ms",
    "milliseconds", "offset", "relative time",
)  # fmt: skip


DAY_NUMBERS = (40_000, 60_000)
"""Days since 1900 that spreadsheets write for dates from 2009 to 2064."""
NO_YEAR = 1900
"""What `strptime` gives where a form has no year."""


class TimeColumns:
    """Which columns hold the time: one, or a date and a time of day beside it."""

    def __init__(self, header: List[str], wanted: str, units: Sequence[str] = ()) -> None:
        """``units``: by column, from a row below the header."""
        names = [split_title(title)[0] for title in header]
        self.unit = ""
        self.zone: Optional[tzinfo] = None
        self.relative = False
        self.day: Optional[int] = None
        order = [split_title(wanted)[0]] if wanted else [*DATE_COLUMNS, *RELATIVE_COLUMNS]
        self.index = next((names.index(name) for name in order if name in names), -1)
        if self.index < 0:
            self.used: Tuple[int, ...] = ()
            return
        below = units[self.index].strip("[]() ") if self.index < len(units) else ""
        self.unit = split_title(header[self.index])[1] or below
        self.zone = zone_named(self.unit.upper()) if self.unit else None
        self.relative = names[self.index] in RELATIVE_COLUMNS
        if not wanted and "time" in names and "date" in names:
            self.day, self.index = names.index("date"), names.index("time")
        elif not wanted:
            for day, clock in (("datum", "zeit"), ("datum", "uhrzeit"), ("fecha", "hora"), ("date", "heure")):
                if day in names and clock in names:
                    self.day, self.index = names.index(day), names.index(clock)
        if names[self.index] in ("ms", "milliseconds"):
            self.unit = "ms"
        self.used = (self.index,) if self.day is None else (self.day, self.index)

    def text(self, row: Row) -> str:
        cells = [row.cells[i].strip() for i in self.used if i < len(row.cells)]
        return " ".join(cells)


class TableClock:
    """Epoch seconds of a table's rows."""

    def __init__(self, path: str, table: Table, options: Options, decimal: str) -> None:
        """``decimal`` is the table's decimal mark, as `decimal_mark` found it."""
        times = TimeColumns(table.header, options.time_column)
        self._options, self._decimal = options, decimal
        zone: Optional[tzinfo] = (
            zone_of(options.timezone) if options.timezone else _zone_of_file(table.header, table.rows)
        )
        self._assumed = zone is None
        self._local = LocalClock(zone or timezone.utc)
        self._order = order_of([times.text(row) for row in table.rows])
        self._start = start_of(options.start, path, table.preamble)
        self._path = path
        self._midnight: Optional[bool] = None
        self._zone_column = -1 if options.timezone else _zone_column(table.header)
        self._clock: Optional[float] = None
        """The last time of day without a date, in seconds, with days added since the start."""
        self._sections = 0
        self._elapsed = 0.0
        self.restarted = False
        """Whether the seconds of this section began again."""
        self._said_zone = False

    def begin_section(self) -> None:
        """A new header came."""
        self._sections += 1
        self.restarted = False

    def epoch(self, row: Row, times: TimeColumns) -> Optional[float]:
        """A row's time; None where it cannot be read.

        Raises:
            CollectorError: the times are relative and no start is known, or the date can be read in two ways.
        """
        if any(i >= len(row.cells) for i in times.used):
            return None
        text = times.text(row)
        if times.day is not None and parse_clock(row.cells[times.index].strip()) is None:
            text = row.cells[times.index].strip()
        if self.restarted:
            return None
        self._follow_zone(row)
        number = number_in(text, self._decimal) if not (self._options.date_format or compact(text)) else None
        if number is not None and math.isfinite(number):
            found = None if times.relative else epoch_of(number)
            return found if found is not None else self._relative(number, times, text)
        parsed = parse_date(text, self._order, self._options.date_format)
        if parsed is None or (self._options.date_format and parsed.moment.year == NO_YEAR):
            return self._of_day(text, times)
        if parsed.ambiguous:
            raise CollectorError(
                f"{self._path}: day and month of {text!r} cannot be told apart. Give the form with --date-format, such "
                "as '%d/%m/%Y %H:%M:%S'.",
                permanent=True,
            )
        self._said_zone = self._said_zone or parsed.moment.tzinfo is None
        moment = parsed.moment
        if moment.tzinfo is None and times.zone is not None:
            moment = moment.replace(tzinfo=times.zone)
        try:
            return self._local.epoch(moment)
        except (OverflowError, ValueError, OSError):
            return None

    def _follow_zone(self, row: Row) -> None:
        """Take the zone that this row names, as phones write it, which follows summer time."""
        if 0 <= self._zone_column < len(row.cells):
            self._local.zone = _zone_in(row.cells[self._zone_column]) or self._local.zone

    def _of_day(self, text: str, times: TimeColumns) -> Optional[float]:
        """A time of day alone: elapsed, or on the day of the start and the days after it."""
        clock = parse_clock(text)
        if clock is None:
            return None
        seconds = clock[0] * 3600 + clock[1] * 60 + clock[2] + clock[3] / 1e6
        if times.relative:
            return self._relative(seconds, times, text)
        self._need_start(text)
        assert self._start is not None
        if self._clock is not None:
            while seconds < self._clock - DAY_SECONDS / 2:
                seconds += DAY_SECONDS
        self._clock = seconds
        self._said_zone = self._said_zone or self._start.tzinfo is None
        midnight = self._start.replace(hour=0, minute=0, second=0, microsecond=0)
        return self._local.epoch(midnight + timedelta(seconds=seconds))

    def _need_start(self, text: str) -> None:
        if self._start is None:
            raise CollectorError(
                f"{self._path}: its times count from the start of the recording ({text!r}), and neither the lines "
                "before the header nor the file's name say when that was. Give it with --start, such as "
                "2026-11-28T10:00:00.",
                permanent=True,
            )

    def _relative(self, number: float, times: TimeColumns, text: str) -> Optional[float]:
        if number < 0 or number > 1e11:
            return None
        self._need_start(text)
        assert self._start is not None
        unit = find(times.unit, "time") if times.unit else None
        seconds = number * (unit.factor if unit and unit.quantity == "time" else 1.0)
        start = self._start
        if self._midnight is None:
            # Some apps count from midnight: then the first row is near the time of day at which the file begins.
            of_day = start.hour * 3600 + start.minute * 60 + start.second
            self._midnight = not self._options.start and of_day > 600 and abs(seconds - of_day) < 300
            if not self._midnight and unit is None and DAY_NUMBERS[0] < number < DAY_NUMBERS[1] and number % 1:
                raise CollectorError(
                    f"{self._path}: its times look like the day numbers of a spreadsheet ({text!r}). Save the column "
                    "as a date with a time.",
                    permanent=True,
                )
        if self._sections > 1 and seconds < self._elapsed - STEP_BACK_SECONDS / 60:
            self.restarted = True
            return None
        self._elapsed = seconds
        if self._midnight:
            start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        base = start if start.tzinfo else start.replace(tzinfo=self._local.zone)
        self._said_zone = self._said_zone or start.tzinfo is None
        return round(base.timestamp() + seconds, 6)

    def notes(self) -> List[str]:
        """What a person should know of the times."""
        found = []
        if self._assumed and self._said_zone:
            found.append("times without a zone are taken as UTC; --timezone names another, such as Europe/Berlin")
        if self._local.steps_back:
            found.append(
                f"times go back by more than a minute at {self._local.steps_back} places; where that is the end of "
                "summer time, --timezone puts them right"
            )
        return found


def _zone_of_file(header: List[str], rows: List[Row]) -> Optional[tzinfo]:
    """The zone that a Torque file's GPS Time names first; None where none is named."""
    index = _zone_column(header)
    cells = (row.cells[index] for row in rows if 0 <= index < len(row.cells))
    return next(filter(None, map(_zone_in, cells)), None)


def _zone_column(header: List[str]) -> int:
    names = [split_title(title)[0] for title in header]
    return names.index("gps time") if "gps time" in names else -1


def _zone_in(text: str) -> Optional[tzinfo]:
    words = text.split()
    return next(filter(None, (zone_named(word) for word in words if word.isupper() or "GMT" in word)), None)

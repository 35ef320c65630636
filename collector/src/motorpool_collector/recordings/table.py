"""Tables of readings: CSV and its kin, one column per signal or one row per reading."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Optional, Tuple

from motorpool_collector.driver import CollectorError, Frame, Value
from motorpool_collector.recordings.clock import TableClock, TimeColumns
from motorpool_collector.recordings.columns import Column, column_of, columns_of, plain_name, signal_named, split_title
from motorpool_collector.recordings.options import Options
from motorpool_collector.recordings.sections import is_header, name_column, sections_of
from motorpool_collector.recordings.spreading import merge_same_times
from motorpool_collector.recordings.summary import Recording
from motorpool_collector.recordings.text import Row, Table, decimal_mark, number_in, read_table, read_text
from motorpool_formats.units import UnknownUnit, conversion, find, split_number

MISSING = {"", "-", "--", "none", "null", "nan", "<invalid>", "n/a", "na"}
TRUE, FALSE = {"true", "yes", "on", "1", "1.0"}, {"false", "no", "off", "0", "0.0"}
SAMPLE_ROWS = 2_000
"""So many rows tell the decimal mark and the order of day and month."""


def read_recording(path: str, options: Optional[Options] = None) -> Recording:
    """Read a table of readings.

    Raises:
        CollectorError: it cannot be read, has no column for the time, or its times cannot be told; the message says
            what was seen and which option helps.
    """
    options = options or Options()
    text = read_text(path, options.encoding)
    if not text.strip():
        raise CollectorError(f"{path} is empty.", permanent=True)
    table = read_table(path, text, lambda cells: is_header(cells, options.time_column), options.delimiter)
    if table is None:
        raise CollectorError(_no_header(path, text, options), permanent=True)
    names = [split_title(title)[0] for title in table.header]
    if {"data_id", "vehicle_id", "battery_level"} <= set(names):
        raise CollectorError(
            f"{path} is a TeslaFi export: it may hold several cars and units of its own, and is not supported yet.",
            permanent=True,
        )
    return _Reader(path, table, options).read()


def _no_header(path: str, text: str, options: Options) -> str:
    first = next(line for line in text.splitlines() if line.strip())[:80]
    wanted = repr(options.time_column) if options.time_column else "for the time"
    return (
        f"{path} has no column {wanted}: its first line is {first!r}. Name the column with --time-column, and what "
        "separates columns with --delimiter."
    )


class _Reader:
    """One table on its way to frames."""

    def __init__(self, path: str, table: Table, options: Options) -> None:
        self.path, self.table, self.options = path, table, options
        self.recording = Recording()
        self._extra = {name.lower(): signal for name, signal in (options.columns or {}).items()}
        self._units = {plain_name(name): unit for name, unit in (options.units or {}).items()}
        self._check_units()
        sample = [cell for row in table.rows[:SAMPLE_ROWS] for cell in row.cells]
        self._decimal = options.decimal or decimal_mark(sample, table.delimiter)
        self._texts: Dict[str, bool] = {}
        self._unread: List[Tuple[int, str]] = []

    def read(self) -> Recording:
        found = self.recording
        rows = list(self._with_times())
        if not rows and self.table.rows:
            line, text = self._unread[0] if self._unread else (self.table.rows[0].line, "")
            raise CollectorError(
                f"{self.path} has no row whose time can be read: line {line} says {text!r}. Give the form with "
                "--date-format, such as '%d/%m/%Y %H:%M:%S'.",
                permanent=True,
            )
        for line, text in self._unread:
            found.leave_out("rows whose time cannot be read", line, text)
        frames = []
        for moment, row, columns in rows:
            values = self._values(row, columns)
            if values:
                frames.append(Frame(moment, values))
        found.frames = merge_same_times(frames, found, self.options.spread)
        return found

    def _with_times(self) -> Iterator[Tuple[float, Row, List[Column]]]:
        """Rows with their epoch seconds, and the columns in force there: a new header may come at any row."""
        sections = sections_of(self.table, self.options.time_column)
        self.recording.rows = sum(len(section.rows) for section in sections)
        clock = TableClock(self.path, self.table, self.options, self._decimal)
        for section in sections:
            times = TimeColumns(section.header, self.options.time_column, section.units)
            clock.begin_section()
            long = name_column(section.header)
            columns, notes = (
                ([], []) if long else columns_of(section.header, self._extra, self._units, times.used, section.units)
            )
            self.recording.notes += [note for note in notes if note not in self.recording.notes]
            for row in section.rows:
                moment = clock.epoch(row, times)
                if clock.restarted:
                    self.recording.leave_out(
                        "rows after a header at which the seconds begin again: split the file there",
                        row.line,
                        times.text(row),
                    )
                elif moment is None:
                    self._unread.append((row.line, times.text(row)))
                elif not long:
                    if self._fits(row, section.header):
                        yield moment, row, columns
                else:
                    one = self._long(row, section.header, long)
                    if one is not None:
                        yield moment, one[0], [one[1]]
        self.recording.notes += clock.notes()

    def _check_units(self) -> None:
        """Raise `CollectorError` for a unit given for a column that the file does not have."""
        if not self._units:
            return
        names = {plain_name(cell) for cell in self.table.header}
        names.update(plain_name(cell) for row in self.table.rows for cell in row.cells if cell[:1].isalpha())
        unknown = sorted(self._units.keys() - names)
        if unknown:
            raise CollectorError(
                f"{self.path} has no column {unknown[0]!r}, for which --unit gives a unit.", permanent=True
            )

    def _fits(self, row: Row, header: List[str]) -> bool:
        """Whether a row has no more cells than the header; else a decimal comma may have split one."""
        if self.table.delimiter != "," or not any(cell.strip() for cell in row.cells[len(header) :]):
            return True
        self.recording.leave_out(
            "rows with more cells than the header (decimal commas need quotes or another delimiter)",
            row.line,
            ",".join(row.cells),
        )
        return False

    def _long(self, row: Row, header: List[str], title: str) -> Optional[Tuple[Row, Column]]:
        """A row of one reading: its value as the only cell, and a column for it."""
        cells = {split_title(name)[0]: cell.strip() for name, cell in zip(header, row.cells)}  # noqa: B905
        name, unit = split_title(cells.get(title, ""))
        unit = self._units.get(name) or cells.get("units") or cells.get("unit") or unit
        signal = signal_named(name, self._extra)
        if not signal:
            self.recording.leave_out("readings of names that are not known", row.line, cells.get(title, ""))
            return None
        try:
            return Row(row.line, [cells.get("value", "")]), column_of(0, name, signal, unit)
        except ValueError as error:
            self.recording.leave_out(f"readings of {name!r}: {error}", row.line, cells.get(title, ""))
            return None

    def _values(self, row: Row, columns: List[Column]) -> Dict[str, Value]:
        values: Dict[str, Value] = {}
        for column in columns:
            text = row.cells[column.index].strip() if column.index < len(row.cells) else ""
            if text.lower() in MISSING:
                continue
            value = self._value(text, column, row.line)
            if value is None:
                continue
            # The first column of a signal that has a value there wins.
            if values.setdefault(column.signal, value) != value:
                self.recording.leave_out(
                    f"values of a further column for {column.signal}", row.line, f"{column.title}: {text}"
                )
        return values

    def _value(self, text: str, column: Column, line: int) -> Optional[Value]:
        kind = column.definition.kind if column.definition else ""
        if kind in ("text", "enum"):
            return text[:1000]
        if text.lower() in (TRUE | FALSE if kind == "boolean" else {"true", "false"}):
            return text.lower() in TRUE
        number = number_in(text, self._decimal)
        conversion_ = column.conversion
        if number is None:
            parts = split_number(text)
            number = number_in(parts[0], self._decimal) if parts else None
            if number is None or not parts or not parts[1]:
                ambiguous = parts is not None and not parts[1]
                hint = "numbers that could be read in two ways (--decimal tells)" if ambiguous else "not a number"
                self.recording.leave_out(hint, line, text)
                return None
            try:
                conversion_ = self._of_cell(parts[1], column)
            except ValueError as error:
                self.recording.leave_out(str(error), line, text)
                return None
        elif column.needs_unit:
            self.recording.leave_out(
                f"values of {column.title!r} without a unit (--unit {column.title!r}=UNIT names it)", line, text
            )
            return None
        if not math.isfinite(number):
            self.recording.leave_out("not a finite number", line, text)
            return None
        value = conversion_.apply(number) if conversion_ else number
        if column.definition and column.definition.is_no_value(value):
            self.recording.leave_out('values that stand for "no value"', line, f"{column.title}: {text}")
            return None
        return value

    def _of_cell(self, unit: str, column: Column) -> Any:
        """The conversion of a number that brings its own unit; raises `ValueError`."""
        if column.definition is not None:
            return conversion(unit, column.definition.unit)
        if find(unit) is None:
            raise UnknownUnit(unit)
        return None

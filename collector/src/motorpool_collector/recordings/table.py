"""Tables of readings: CSV and its kin, one column per signal or one row per reading."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from motorpool_collector.driver import CollectorError, Frame, Value
from motorpool_collector.recordings.clock import DATE_COLUMNS, RELATIVE_COLUMNS, TableClock, TimeColumns
from motorpool_collector.recordings.columns import Column, column_of, columns_of, signal_named, split_title
from motorpool_collector.recordings.options import Options
from motorpool_collector.recordings.spreading import merge_same_times
from motorpool_collector.recordings.summary import Recording
from motorpool_collector.recordings.text import Row, Table, decimal_mark, number_in, read_table, read_text
from motorpool_formats.units import UnknownUnit, conversion, find, split_number

MISSING = {"", "-", "--", "none", "null", "nan", "<invalid>", "n/a", "na", "inf", "-inf", "∞", "-∞", "+inf"}
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
    table = read_table(path, text, lambda cells: _is_header(cells, options.time_column), options.delimiter)
    if table is None:
        raise CollectorError(_no_header(path, text, options), permanent=True)
    names = [split_title(title)[0] for title in table.header]
    if {"data_id", "vehicle_id", "battery_level"} <= set(names):
        raise CollectorError(
            f"{path} is a TeslaFi export: it may hold several cars and units of its own, and is not supported yet.",
            permanent=True,
        )
    return _Reader(path, table, options).read()


def _is_header(cells: Sequence[str], wanted: str) -> bool:
    names = [split_title(cell)[0] for cell in cells]
    if len([name for name in names if name]) < 2:
        return False
    if wanted:
        return wanted.lower() in names
    return any(name in DATE_COLUMNS or name in RELATIVE_COLUMNS for name in names)


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
        self._units = {name.lower(): unit for name, unit in (options.units or {}).items()}
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
        header, rows = self.table.header, list[Row]()
        sections: List[Tuple[List[str], List[Row]]] = [(header, rows)]
        for row in self.table.rows:
            cells = [cell.strip() for cell in row.cells]
            # A header begins with a letter where it names the time, which few rows of data do.
            named = [cell for cell in cells if cell[:1].isalpha()]
            if cells == header or (len(named) > 1 and _is_header(named, self.options.time_column)):
                header, rows = cells, []
                sections.append((header, rows))
            else:
                rows.append(row)
                self.recording.rows += 1
        clock: Optional[TableClock] = None
        noted: set[str] = set()
        for header, rows in sections:
            times = TimeColumns(header, self.options.time_column)
            clock = clock or TableClock(self.path, self.table, self.options, self._decimal)
            if {"pid", "value"} <= {split_title(title)[0] for title in header}:
                columns, notes = list[Column](), list[str]()
            else:
                columns, notes = columns_of(header, self._extra, self._units, times.used)
            for note in notes:
                if note not in noted:
                    noted.add(note)
                    self.recording.notes.append(note)
            for row in rows:
                moment = clock.epoch(row, times)
                if moment is None:
                    self._unread.append((row.line, times.text(row)))
                elif columns or not {"pid", "value"} <= {split_title(title)[0] for title in header}:
                    yield moment, row, columns
                else:
                    long = self._long(row, header)
                    if long is not None:
                        yield moment, long[0], [long[1]]
        if clock is not None:
            self.recording.notes += clock.notes()

    def _long(self, row: Row, header: List[str]) -> Optional[Tuple[Row, Column]]:
        """A row of one reading: its value as the only cell, and a column for it."""
        cells = {split_title(title)[0]: cell.strip() for title, cell in zip(header, row.cells)}  # noqa: B905
        name, unit = split_title(cells.get("pid", ""))
        unit = self._units.get(name) or cells.get("units") or cells.get("unit") or unit
        signal = signal_named(name, self._extra)
        if not signal:
            self.recording.leave_out("readings of names that are not known", row.line, cells.get("pid", ""))
            return None
        try:
            return Row(row.line, [cells.get("value", "")]), column_of(0, name, signal, unit)
        except ValueError as error:
            self.recording.leave_out(f"readings of {name!r}: {error}", row.line, cells.get("pid", ""))
            return None

    def _values(self, row: Row, columns: List[Column]) -> Dict[str, Value]:
        values: Dict[str, Value] = {}
        for column in columns:
            # The first column of a signal that has a value there wins.
            if column.index < len(row.cells) and column.signal not in values:
                text = row.cells[column.index].strip()
                if text.lower() not in MISSING:
                    value = self._value(text, column, row.line)
                    if value is not None:
                        values[column.signal] = value
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

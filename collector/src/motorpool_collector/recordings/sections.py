"""The parts of a table: each has a header, perhaps a row of units below it, and rows."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from motorpool_collector.recordings.clock import DATE_COLUMNS, RELATIVE_COLUMNS, TimeColumns
from motorpool_collector.recordings.columns import plain_name, split_title
from motorpool_collector.recordings.text import Row, Table, number_in
from motorpool_collector.recordings.times import parse_clock, parse_date
from motorpool_formats.units import find

NAME_COLUMNS = ("pid", "name", "signal", "parameter", "sensor")
"""What the column of names is called in a table with one row per reading."""


class Section(NamedTuple):
    """Rows under one header."""

    header: List[str]
    units: List[str]
    """By column, from a row of units below the header; empty where there is none."""
    rows: List[Row]


def is_header(cells: Sequence[str], wanted: str) -> bool:
    """Whether a row names its columns, one of them the time, or ``wanted`` in its place."""
    if sum(bool(cell.strip()) for cell in cells) < 2:
        return False
    if any(_is_value(cell.strip()) for cell in cells):
        return False
    if wanted:
        return any(plain_name(wanted) == plain_name(cell) for cell in cells)
    names = [split_title(cell)[0] for cell in cells]
    return any(name in DATE_COLUMNS or name in RELATIVE_COLUMNS for name in names)


def _is_value(cell: str) -> bool:
    """Whether a cell is a number, a date or a time of day, which no column is called."""
    number = number_in(cell, ".") is not None and cell[:1] in "0123456789+-.,"
    return number or parse_date(cell) is not None or parse_clock(cell) is not None


def name_column(header: Sequence[str]) -> str:
    """The column that names the signal where each row is one reading; empty for one column per signal."""
    names = [split_title(title)[0] for title in header]
    return next((name for name in NAME_COLUMNS if name in names and "value" in names), "")


def sections_of(table: Table, wanted: str) -> List[Section]:
    """The table's parts: a logger that is started again, or learns of more signals, writes a new header."""
    found = [Section(table.header, [], [])]
    for row in table.rows:
        section = found[-1]
        cells = [cell.strip() for cell in row.cells]
        if cells == section.header or _is_new_header(cells, section, wanted):
            found.append(Section(cells, [], []))
        elif not section.rows and not section.units and _are_units(cells):
            section.units.extend(cells)
        else:
            section.rows.append(row)
    return found


def _is_new_header(cells: List[str], section: Section, wanted: str) -> bool:
    """Whether a row names columns anew: words only, with the time where it was."""
    if name_column(section.header) or not is_header(cells, wanted):
        return False
    return TimeColumns(cells, wanted).index == TimeColumns(section.header, wanted).index and not _are_units(cells)


def _are_units(cells: List[str]) -> bool:
    """Whether most cells are units, and none a number."""
    written = [cell.strip("[]() ") for cell in cells if cell.strip("[]() ")]
    if len(written) < 2 or any(character.isdigit() for cell in written for character in cell[:1]):
        return False
    return sum(find(cell) is not None for cell in written) * 2 > len(written)

"""From a file's bytes to rows of cells: encoding, delimiter, header, decimal mark."""

from __future__ import annotations

import csv
import io
import re
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Tuple

from motorpool_collector.driver import CollectorError

DELIMITERS = (",", ";", "\t", "|")
HEADER_LINES = 60
"""The header is looked for in so many lines."""
_NUMBER = re.compile(r"[+-]?[\d.,]+\s*[^\d\s.,]*$")
_GROUPED = re.compile(r"[+-]?\d{1,3}([.,' ])\d{3}")


class Row(NamedTuple):
    """A row of a table and its line in the file, from 1."""

    line: int
    cells: List[str]


class Table(NamedTuple):
    """A file as rows, with the lines before its header."""

    preamble: List[str]
    header: List[str]
    rows: List[Row]
    delimiter: str


def read_text(path: str, encoding: str = "") -> str:
    """A text file, in UTF-8 or UTF-16, with or without a byte order mark, else in Windows-1252 or Latin-1.

    Raises:
        CollectorError: it cannot be read, or not in the encoding that was given.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise CollectorError(f"{path} cannot be read: {error}") from None
    for name in [encoding] if encoding else _encodings(data):
        try:
            return data.decode(name).lstrip("\ufeff")
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise CollectorError(f"There is no encoding {encoding!r}.", permanent=True) from None
    raise CollectorError(f"{path} is not in {encoding}: leave --encoding out, or name another.", permanent=True)


def read_table(path: str, text: str, is_header: Callable[[List[str]], bool], delimiter: str = "") -> Optional[Table]:
    """The rows of a table with the header that ``is_header`` recognizes; None where no line is one.

    The delimiter is the one that splits the header into most cells.
    """
    if delimiter and len(delimiter) != 1:
        raise CollectorError(f"A delimiter is one character, not {delimiter!r}.", permanent=True)
    best: Optional[Table] = None
    for mark in [delimiter] if delimiter else DELIMITERS:
        try:
            rows = _rows(text, mark)
        except csv.Error as error:
            raise CollectorError(f"{path} cannot be read: {error}") from None
        for number, row in enumerate(rows[:HEADER_LINES]):
            if is_header(row.cells):
                if best is None or len(row.cells) > len(best.header):
                    preamble = text.splitlines()[: row.line - 1]
                    best = Table(preamble, [c.strip() for c in row.cells], rows[number + 1 :], mark)
                break
    return best


def decimal_mark(cells: Iterable[str], delimiter: str) -> str:
    """``,`` or ``.`` as a column's or file's numbers have it; empty where neither is certain."""
    comma = dot = grouped_comma = grouped_dot = False
    for cell in cells:
        text = cell.strip()
        if not _NUMBER.match(text):
            continue
        grouped_comma, grouped_dot = grouped_comma or "," in text, grouped_dot or "." in text
        if "," in text and "." in text:
            last = max(text.rfind(","), text.rfind("."))
            comma, dot = comma or text[last] == ",", dot or text[last] == "."
        elif text.count(",") == 1 and re.match(r"[+-]?\d*,\d", text):
            comma = comma or not _GROUPED.match(text) or text.lstrip("+-").startswith("0,")
        elif text.count(".") == 1 and re.match(r"[+-]?\d*\.\d", text):
            dot = dot or not _GROUPED.match(text) or text.lstrip("+-").startswith("0.")
    if comma == dot:
        # Semicolons separate cells where the comma is the decimal mark.
        return "," if not comma and delimiter == ";" and grouped_comma and not grouped_dot else ""
    return "," if comma else "."


def number_in(text: str, decimal: str) -> Optional[float]:
    """A number with its decimal mark and thousands; None where it is none, or could be two.

    Args:
        decimal: as `decimal_mark` found it.
    """
    plain = text.strip().replace("\u2212", "-").replace("\xa0", "").replace("'", "")
    marks = [c for c in plain if c in ".,"]
    if marks and len(set(marks)) == 2:
        decimal = "," if plain.rfind(",") > plain.rfind(".") else "."
    elif len(marks) > 1:
        decimal = "." if marks[0] == "," else ","  # 1,234,567
    elif marks == [","] and not decimal:
        if _GROUPED.fullmatch(plain) and not plain.lstrip("+-").startswith("0"):
            return None
        decimal = ","
    elif marks == [","] and decimal == "." and not _GROUPED.fullmatch(plain):
        decimal = ","
    elif marks == ["."] and decimal == "," and not _GROUPED.fullmatch(plain):
        decimal = "."
    thousands = "." if decimal == "," else ","
    try:
        return float(plain.replace(thousands, "").replace(",", "."))
    except ValueError:
        return None


def _encodings(data: bytes) -> Tuple[str, ...]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    head = data[:4000]
    if len(head) >= 4 and head.count(0) > len(head) // 4:
        return ("utf-16-le", "utf-16-be") if head[1:2] == b"\0" else ("utf-16-be", "utf-16-le")
    return ("utf-8", "cp1252", "latin-1")


def _rows(text: str, delimiter: str) -> List[Row]:
    try:
        rows = _split(text, delimiter, csv.QUOTE_MINIMAL)
        # A quotation mark that is never closed would swallow the lines after it.
        if not any("\n" in cell and delimiter in cell for row in rows for cell in row.cells):
            return rows
    except csv.Error:
        pass
    return _split(text, delimiter, csv.QUOTE_NONE)


def _split(text: str, delimiter: str, quoting: Any) -> List[Row]:
    lines = io.StringIO(text.replace("\x00", ""), newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, quoting=quoting)
    return [Row(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]

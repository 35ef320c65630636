"""Times as recordings write them: epochs, seconds since the start, dates in several orders and languages."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from motorpool_collector.driver import CollectorError

YEAR_2000 = 946_684_800.0
DAY_SECONDS = 86_400.0
STEP_BACK_SECONDS = 60.0
"""A time that is further back than this is not jitter: the clock was set back."""
# Zone names as phones write them (RFC 822 and the commonest others), in hours from UTC.
ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2, "EET": 2,
    "EEST": 3, "MSK": 3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "JST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
# The months' names in Dutch, English, French, German, Italian, Polish, Portuguese and Spanish begin so.
_MONTHS = {
    1: "jan ene gen sty", 2: "feb fev fevr lut", 3: "mar mrt maa mae marz", 4: "apr avr abr kwi",
    5: "may mai mei mag maj",
    6: "jun juin giu cze", 7: "jul juil lug lip", 8: "aug aou ago sie", 9: "sep set wrz", 10: "oct okt ott out paz",
    11: "nov lis", 12: "dec dez dic dic des gru",
}  # fmt: skip
_MONTH_OF = {prefix: number for number, prefixes in _MONTHS.items() for prefix in prefixes.split()}
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,:](\d{1,9}))?)?\s*([AaPp]\.?\s?[Mm]\.?)?"
_ZONE = r"\s*(Z|[A-Z]{2,5}(?![\w+-])|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?)?"
_NUMERIC = re.compile(rf"(\d{{1,4}})([./-])(\d{{1,2}})\2(\d{{1,4}})\.?(?:(?:[T ,_]|, )\s*{_CLOCK}{_ZONE})?$")
_NAMED = re.compile(
    rf"(\d{{1,2}})[ .-]+([^\W\d_]{{3,12}})\.?[ .,-]+(\d{{4}}|\d{{2}}(?!\d|:))(?:[ T,_-]+{_CLOCK}{_ZONE})?$"
)
_US_NAMED = re.compile(rf"([^\W\d_]{{3,12}})\.? (\d{{1,2}})(?:,? (\d{{4}}))?(?:,? {_CLOCK}{_ZONE})?(?: (\d{{4}}))?$")
# Forms that are written anew before they are looked at.
_REWRITTEN = (
    (re.compile(r"^[^\W\d_]{2,12}\.?,? (?=\d{1,2}(?:\.? [^\W\d_]|[./-])|[^\W\d_]{3,12}\.? \d)"), ""),  # a weekday
    (re.compile(r"\bde "), ""),  # 10 de noviembre de 2026
    (re.compile(r"\b(\d{1,2})\. (\d{1,2})\. (\d{4})"), r"\1.\2.\3"),
    (re.compile(r"^(\d{4})-([^\W\d_]{3,12})-(\d{1,2})(?!\d)"), r"\3 \2 \1"),
    (re.compile(r"^((?:19|20)\d\d)(\d\d)(\d\d)[T _-]?(\d\d)(\d\d)(\d\d)?(?![\d:])"), r"\1-\2-\3 \4:\5:\6"),
    (re.compile(r"^((?:19|20)\d\d)(\d\d)(\d\d)(?=[T _-])"), r"\1-\2-\3"),
    (re.compile(r"(\d{4}[./-]\d{1,2}[./-]\d{1,2}[ T_])(\d{1,2})[.-](\d{2})[.-](\d{2})(?![\d.])"), r"\1\2:\3:\4"),
    (re.compile(r"(\d{4} )(\d{2})-(\d{2})-(\d{2})(?!\d)"), r"\1\2:\3:\4"),
    (re.compile(r":(?=$|[ Z+-])"), ""),  # what stays where seconds are missing
)
_ONLY_CLOCK = re.compile(rf"{_CLOCK}$")
_NAMED_DAY = re.compile(r"(\d{4})-([^\W\d_]{3,12})-(\d{1,2})[ _T-]+(\d{1,2})[-.:](\d{2})[-.:](\d{2})")
_DIGITS = re.compile(r"(?<!\d)(20\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?!\d)")
_ANYWHERE = tuple(
    re.compile(r"(?<![\d.])" + form.pattern.rstrip("$") + r"(?![\d])") for form in (_NUMERIC, _NAMED, _US_NAMED)
)
_IN_TEXT = re.compile(
    r"(\d{4})[-._]?(\d{2})[-._]?(\d{2})[T _-]+(\d{2})[-:._h]?(\d{2})[-:._m]?(\d{2})(?!\d)"
    r"|(\d{1,2})\.(\d{1,2})\.(\d{4})[ ,_]+(\d{1,2}):(\d{2})(?::(\d{2}))?"
)


class Parsed(NamedTuple):
    """A date and time as written, with its zone where one is, and whether day and month could be either."""

    moment: datetime
    ambiguous: bool = False


def compact(text: str) -> bool:
    """Whether a text is a date and time in digits only, such as 20261128100000: a number that is no epoch."""
    return re.fullmatch(r"20\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])([01]\d|2[0-3])[0-5]\d[0-5]\d", text.strip()) is not None


def zone_named(name: str) -> Optional[tzinfo]:
    """The zone of an abbreviation or an offset such as GMT-07:00; None where it is neither."""
    if name in ZONES:
        return timezone(timedelta(hours=ZONES[name]))
    match = re.fullmatch(r"(?:GMT|UTC)?([+-])(\d{1,2})(?::?(\d{2}))?", name)
    if match and int(match.group(2)) <= 14:
        offset = timedelta(hours=int(match.group(2)), minutes=int(match.group(3) or 0))
        return timezone(-offset if match.group(1) == "-" else offset)
    return None


def zone_of(name: str) -> tzinfo:
    """A zone by any name; raises `CollectorError` for an unknown one."""
    try:
        return zone_named(name) or ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CollectorError(f"There is no time zone {name!r}; an example is Europe/Madrid.", permanent=True) from None


def parse_date(text: str, order: str = "", form: str = "") -> Optional[Parsed]:
    """A date with or without a time of day; None for anything else.

    Args:
        order: dmy or mdy, for dates with slashes or dashes that end with the year; empty: as far as it can be told.
        form: a format of `strptime`, which replaces all recognition.
    """
    text = " ".join(text.split())
    try:
        if form:
            return Parsed(datetime.strptime(text, form))  # noqa: DTZ007 - the caller knows the zone
        for form_, written in _REWRITTEN:
            text = form_.sub(written, text)
        match = _NUMERIC.match(text)
        if match:
            return _numeric(match, order)
        match = _NAMED.match(text)
        if match:
            day, month, year = match.group(1), _month(match.group(2)), match.group(3)
            return Parsed(_joined(_full_year(year), month, int(day), match.groups()[3:])) if month else None
        match = _US_NAMED.match(text)
        if match:
            year = match.group(3) or match.group(10)
            month = _month(match.group(1))
            return (
                Parsed(_joined(int(year), month, int(match.group(2)), match.groups()[3:9])) if year and month else None
            )
    except (ValueError, OverflowError):
        return None
    return None


def parse_clock(text: str) -> Optional[Tuple[int, int, int, int]]:
    """A time of day alone, such as 10:34:36.5 PM, as hour, minute, second and microsecond."""
    match = _ONLY_CLOCK.match(text.strip())
    try:
        return _time_of(match.groups()) if match else None
    except ValueError:
        return None


def start_in(text: str) -> Optional[datetime]:
    """A date with a time of day somewhere in a text, such as a file's name or a line before the header."""
    text = _NAMED_DAY.sub(r"\3 \2 \1 \4:\5:\6", _DIGITS.sub(r"\1-\2-\3 \4:\5:\6", text))
    for form, written in _REWRITTEN[2:-1]:
        text = form.sub(written, text)
    for form in _ANYWHERE:
        for match in form.finditer(text):
            parsed = parse_date(match.group()) if ":" in match.group() else None
            if parsed is not None and not parsed.ambiguous:
                return parsed.moment
    found = _IN_TEXT.search(text)
    if not found:
        return None
    groups = found.groups()
    try:
        if groups[0]:
            return datetime(*(int(part) for part in groups[:6]))  # type: ignore[misc,arg-type] # noqa: DTZ001
        day, month, year, hour, minute, second = (int(part or 0) for part in groups[6:])
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller knows the zone
    except ValueError:
        return None


def start_of(given: str, path: str, preamble: Sequence[str]) -> Optional[datetime]:
    """When a recording with relative times began: as given, else from the lines before the header, else from the name.

    Raises:
        CollectorError: what was given is no date with a time.
    """
    if given:
        try:
            seconds = epoch_of(float(given))
        except ValueError:
            seconds = None
        if seconds is not None:
            return datetime.fromtimestamp(seconds, timezone.utc)
        parsed = parse_date(given)
        if parsed is None:
            raise CollectorError(
                f"The start {given!r} is no date with a time; an example is 2026-11-28T10:00:00.", permanent=True
            )
        return parsed.moment
    name = os.path.splitext(os.path.basename(path))[0]
    whole = next(filter(None, (start_in(text) for text in (*preamble, name))), None)
    return whole or _start_of_parts(preamble)


def _start_of_parts(preamble: Sequence[str]) -> Optional[datetime]:
    """A date on one line before the header and a time of day on another."""
    day: Optional[datetime] = None
    clock: Optional[Tuple[int, int, int, int]] = None
    for line in preamble:
        cells = [cell.strip(' "') for cell in re.split(r"[;\t|]|(?<=\w)\s*[:=]\s+|,(?=\")|^\W*\w+,", line)]
        for cell in filter(None, cells):
            parsed = parse_date(cell)
            if parsed is not None and not parsed.ambiguous:
                day = day or parsed.moment
            clock = clock or parse_clock(cell)
    if day is None or clock is None:
        return None
    return day.replace(hour=clock[0], minute=clock[1], second=clock[2], microsecond=clock[3])


def epoch_of(number: float) -> Optional[float]:
    """Epoch seconds of a number of seconds, milli-, micro- or nanoseconds; None for one that is no epoch after 2000."""
    latest = time.time() + DAY_SECONDS
    return next((number / s for s in (1.0, 1e3, 1e6, 1e9) if YEAR_2000 <= number / s < latest), None)


class LocalClock:
    """From times as written, in the order of the file, to epoch seconds.

    At the end of summer time an hour comes twice; which one is meant follows from the times before it, since a
    recording goes on.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.steps_back = 0
        """How often the clock went back by more than a minute for no reason that the zone gives."""
        self._last: Optional[float] = None

    def epoch(self, moment: datetime) -> float:
        """Epoch seconds of the next time."""
        if moment.tzinfo is not None:
            found = moment.timestamp()
        else:
            first, second = (moment.replace(tzinfo=self.zone, fold=fold).timestamp() for fold in (0, 1))
            found = first
            if second > first and self._last is not None and first < self._last - STEP_BACK_SECONDS:
                found = second
        if self._last is not None and found < self._last - STEP_BACK_SECONDS:
            self.steps_back += 1
        self._last = found
        return found


def order_of(texts: Sequence[str]) -> str:
    """Dmy or mdy, where some date of a column can only be one of them; empty where none tells."""
    for text in texts:
        match = re.match(r"(\d{1,2})([/-])(\d{1,2})\2(\d{2,4})\b", text.strip())
        if match:
            first, second = int(match.group(1)), int(match.group(3))
            if first > 12 >= second:
                return "dmy"
            if second > 12 >= first:
                return "mdy"
    return ""


def _numeric(match: "re.Match[str]", order: str) -> Parsed:
    first, mark, second, third = match.group(1), match.group(2), match.group(3), match.group(4)
    rest: List[Optional[str]] = list(match.groups()[4:])
    if len(first) == 4:
        return Parsed(_joined(int(first), int(second), int(third), rest))
    if len(third) not in (2, 4):
        raise ValueError
    year = _full_year(third)
    day, month = int(first), int(second)
    if len(third) == 2 and mark != "." and day > 12 and year < 2000 + day <= datetime.now(timezone.utc).year:
        return Parsed(_joined(year, month, day, rest), ambiguous=True)  # 26/11/08 may begin with the year
    if mark == "." or order == "dmy" or day > 12:
        return Parsed(_joined(year, month, day, rest))
    if order == "mdy" or month > 12:
        return Parsed(_joined(year, day, month, rest))
    return Parsed(_joined(year, month, day, rest), ambiguous=day != month)


def _full_year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _joined(year: int, month: int, day: int, rest: Sequence[Optional[str]]) -> datetime:
    """A datetime of a date and the groups of `_CLOCK` and `_ZONE`."""
    moment = datetime.combine(date(year, month, day), datetime.min.time())
    if not rest or rest[0] is None:
        return moment
    hour, minute, second, micro = _time_of(rest)
    moment = moment.replace(hour=hour, minute=minute, second=second, microsecond=micro)
    name = rest[5] if len(rest) > 5 else None
    zone = zone_named(name) if name else None
    if name and zone is None:
        raise ValueError
    return moment.replace(tzinfo=zone)


def _time_of(groups: Sequence[Union[str, None]]) -> Tuple[int, int, int, int]:
    hour, minute, second = int(groups[0] or 0), int(groups[1] or 0), int(groups[2] or 0)
    micro = int((groups[3] or "0").ljust(6, "0")[:6])
    half = (groups[4] or "").replace(".", "").replace(" ", "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError
    return hour, minute, min(second, 59), micro


def _month(name: str) -> int:
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return _MONTH_OF.get(plain[:4]) or _MONTH_OF.get(plain[:3]) or 0

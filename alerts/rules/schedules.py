"""When a rule may be raised: days of the week and hours of the day in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Schedule:
    """From ``start`` to ``end`` (minutes of the day; an end at or before the start is on the next day) on ``days``.

    Days are those on which a span begins, 0 is Monday.
    """

    days: frozenset[int]
    start: int
    end: int
    zone: str

    def spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """The spans ``[start, end)`` that touch a range, merged; all in microseconds since 1970."""
        zone = ZoneInfo(self.zone)
        day = datetime.fromtimestamp(first / 1e6, zone).date() - timedelta(days=1)
        until = datetime.fromtimestamp(last / 1e6, zone).date()
        found: list[tuple[int, int]] = []
        while day <= until:
            if day.weekday() in self.days:
                begin = _instant(day, self.start, zone)
                end = _instant(day if self.end > self.start else day + timedelta(days=1), self.end, zone)
                if end > first and begin <= last:
                    if found and begin <= found[-1][1]:
                        found[-1] = (found[-1][0], max(end, found[-1][1]))
                    else:
                        found.append((begin, end))
            day += timedelta(days=1)
        return found

    def next_start(self, after: int) -> int | None:
        """When the next span begins, within the coming eight days."""
        return min((s for s, _ in self.spans(after, after + 8 * 86_400_000_000) if s > after), default=None)

    def covers(self, instant: int) -> bool:
        """Whether an instant lies in a span."""
        return any(start <= instant < end for start, end in self.spans(instant, instant))


def _instant(day: date, minute: int, zone: ZoneInfo) -> int:
    """A wall-clock minute of a day as an instant; one that the clock skips counts as the offset before it says."""
    local = datetime.combine(day, time(minute // 60 % 24, minute % 60), zone)
    if minute >= 1440:
        local = datetime.combine(day + timedelta(days=1), time(0), zone)
    return round((local.astimezone(UTC) - _EPOCH).total_seconds() * 1e6)

"""What rules mean, said once more as simply as possible: one vehicle, instant by instant, everything looked up anew.

It shares nothing with the portal's evaluation but the definitions of rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pyproj import Geod

from alerts.rules.definition import All, AtFence, Compare, FenceEvent, NoData, Rule, Stands
from alerts.rules.definition import Any as OneOf

SLICES = 60
LONGEST_STEP = 300_000_000
MARGIN, FASTEST = 10.0, 250 / 3.6
GLOBE = Geod(ellps="WGS84")
COMPARE = {
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip
LONGITUDE, LATITUDE, ACCURACY = 101, 102, 103


@dataclass
class History:
    """All that was ever told of a vehicle: instant -> signal -> value; fences are boxes of degrees."""

    told: dict[int, dict[int, float]]
    attributes: dict[str, float] = field(default_factory=dict)
    boxes: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    standing: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instants = sorted(self.told)

    def last(self, signal: int, now: int) -> tuple[int, float] | None:
        for instant in reversed(self.instants):
            if instant <= now and signal in self.told[instant]:
                return instant, self.told[instant][signal]
        return None

    def last_frame(self, now: int) -> int | None:
        return max((instant for instant in self.instants if instant <= now), default=None)

    def change(self, signal: int, window: int, now: int) -> tuple[int, float] | None:
        """The newest change that could be measured."""
        step = max(1, window // SLICES)
        readings = [(t, self.told[t][signal]) for t in self.instants if t <= now and signal in self.told[t]]
        first_of_slice: dict[int, int] = {}
        for t, _ in readings:
            first_of_slice.setdefault(t // step, t)
        for t, value in reversed(readings):
            references = sorted(r for r in first_of_slice.values() if t - window <= r < t)
            if references:
                reference = references[0]
                return t, (value - self.told[reference][signal]) / (t - reference) * window
        return None

    def positions(self, now: int) -> list[tuple[int, float, float]]:
        return [
            (t, self.told[t][LONGITUDE], self.told[t][LATITUDE])
            for t in self.instants
            if t <= now and LONGITUDE in self.told[t] and LATITUDE in self.told[t]
        ]

    def sides(self, fence: int, now: int) -> list[tuple[int, bool]]:
        """When the vehicle was seen on which side; passing through is seen a microsecond before arriving."""
        box = self.boxes[fence]
        seen: list[tuple[int, bool]] = []
        side: bool | None = None
        places = self.positions(now + 1)
        for i, (t, x, y) in enumerate(places):
            before = side
            inside, border = _inside(x, y, box)
            if border >= MARGIN or side is None:  # closer to the border it stays as it was
                side = inside
            if i and not before and not side:
                earlier, px, py = places[i - 1]
                _, _, metres = GLOBE.inv(px, py, x, y)
                slow = metres <= FASTEST * (t - earlier) / 1e6
                if slow and t - earlier <= LONGEST_STEP and _crosses(px, py, x, y, _shrunk(box)):
                    seen.append((t - 1, True))
            seen.append((t, side))
        return [(t, side) for t, side in seen if t <= now]


def _scale(box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Metres per degree of longitude and latitude in a small box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return GLOBE.inv(x, y, x + 0.001, y)[2] * 1000, GLOBE.inv(x, y, x, y + 0.001)[2] * 1000


def _inside(x: float, y: float, box: tuple[float, float, float, float]) -> tuple[bool, float]:
    """Whether a place is in a box, and how many metres it is from its border."""
    east, north = _scale(box)
    over = [(box[0] - x) * east, (x - box[2]) * east, (box[1] - y) * north, (y - box[3]) * north]
    if max(over) <= 0:
        return True, -max(over)
    return False, math.hypot(max(over[0], over[1], 0), max(over[2], over[3], 0))


def _shrunk(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    east, north = _scale(box)
    return box[0] + MARGIN / east, box[1] + MARGIN / north, box[2] - MARGIN / east, box[3] - MARGIN / north


def _crosses(px: float, py: float, x: float, y: float, box: tuple[float, float, float, float]) -> bool:
    """Liang and Barsky's clipping: whether a segment meets a box."""
    low, high = 0.0, 1.0
    for start, delta, near, far in ((px, x - px, box[0], box[2]), (py, y - py, box[1], box[3])):
        if delta == 0:
            if not near <= start <= far:
                return False
            continue
        a, b = sorted(((near - start) / delta, (far - start) / delta))
        low, high = max(low, a), min(high, b)
    return low <= high


def truth(node: Any, rule: Rule, history: History, now: int) -> bool | None:
    """True, false, or None for not known."""
    match node:
        case All(parts):
            values = [truth(part, rule, history, now) for part in parts]
            return False if False in values else None if None in values else True
        case OneOf(parts):
            values = [truth(part, rule, history, now) for part in parts]
            return True if True in values else None if None in values else False
        case Compare():
            found = history.change(node.signal, node.rate, now) if node.rate else history.last(node.signal, now)
            if found is None or now >= found[0] + rule.hold:
                return None
            threshold = history.attributes.get(node.attribute, node.value) if node.attribute else node.value
            return bool(COMPARE[node.operator](found[1], threshold))
        case NoData():
            if node.signal is None:
                last = history.last_frame(now)
            else:
                reading = history.last(node.signal, now)
                last = reading[0] if reading else None
            return None if last is None else now >= last + node.lasting
        case Stands():
            return any(start <= now < end for start, end in history.standing[node.fact])
        case AtFence():
            sides = history.sides(node.fence, now)
            if not sides:
                return None
            inside = sides[-1][1]
            if node.event == FenceEvent.INSIDE:
                return inside
            if node.event == FenceEvent.OUTSIDE:
                return not inside
            crossed = any(side != inside for _, side in sides)
            return crossed and inside == (node.event == FenceEvent.ENTER)
    raise AssertionError(node)


def _scheduled(rule: Rule, now: int) -> bool:
    schedule = rule.schedule
    if schedule is None:
        return True
    local = datetime.fromtimestamp(now / 1e6, UTC).astimezone(ZoneInfo(schedule.zone))
    minute = local.hour * 60 + local.minute
    today, yesterday = local.weekday() in schedule.days, (local.weekday() - 1) % 7 in schedule.days
    if schedule.end > schedule.start:
        return today and schedule.start <= minute < schedule.end
    return (today and minute >= schedule.start) or (yesterday and minute < schedule.end)


def episodes(rule: Rule, history: History, horizon: int) -> list[tuple[int, int | None]]:
    """When the rule was raised and cleared, up to the horizon."""
    moments = set(history.instants) | {rule.begins}
    for t in history.instants:
        moments |= {t + rule.hold, t - 1}
        moments |= {t + leaf.lasting for leaf in rule.leaves if isinstance(leaf, NoData)}
    for spans in history.standing.values():
        moments |= {edge for span in spans for edge in span}
    if rule.schedule is not None and history.instants:
        first = history.instants[0] // 60_000_000 * 60_000_000
        moments |= set(range(first, horizon + 1, 60_000_000))
    moments = {t for t in moments if (not history.instants or t >= history.instants[0]) and t <= horizon}
    ordered = sorted(moments)
    conditions = [truth(rule.condition, rule, history, t) for t in ordered]
    raising = [
        held is True and t >= rule.begins and _scheduled(rule, t) for t, held in zip(ordered, conditions, strict=True)
    ]
    if rule.clear is None:
        clearing = [held is False for held in conditions]
    else:
        clearing = [
            truth(rule.clear, rule, history, t) is True and held is not True
            for t, held in zip(ordered, conditions, strict=True)
        ]
    raised = _lasted(ordered, raising, rule.lasting, horizon)
    if rule.times > 1:
        raised = [
            t for i, t in enumerate(raised)
            if i >= rule.times - 1 and t - raised[i - rule.times + 1] <= rule.within
        ]  # fmt: skip
    cleared = _lasted(ordered, clearing, rule.clear_lasting, horizon)
    found: list[tuple[int, int | None]] = []
    while True:
        after = found[-1][1] if found else -(2**62)
        opened = next((t for t in raised if after is not None and t >= after), None)
        if opened is None:
            return found
        end = next((t for t in cleared if t > opened), None)
        found.append((opened, end))
        if end is None:
            return found


def _lasted(ordered: list[int], flags: list[bool], lasting: int, horizon: int) -> list[int]:
    """The instants at which something had been so for long enough."""
    found = []
    since: int | None = None
    for t, flag in zip([*ordered, None], [*flags, None], strict=True):
        if t is None:
            if since is not None and since + lasting <= horizon:
                found.append(since + lasting)
        elif flag and since is None:
            since = t
        elif not flag and since is not None:
            if since + lasting < t:
                found.append(since + lasting)
            since = None
    return found

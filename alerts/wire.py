"""Conditions as the API writes them, and what they mean: checked with words that say what to mend.

``{"all": [...]}`` and ``{"any": [...]}`` hold parts; a part is one of

* ``{"signal", "op", "value", "unit"?, "rate"?}``: a comparison; ``value`` may be ``{"attribute", "default"?}``, and
  with ``rate`` (a duration) the signal's change over that time is compared;
* ``{"no_data": duration, "signal"?}``;
* ``{"geofence": id, "event": "inside" | "outside" | "enter" | "exit" | "dwell"}``;
* a fact: ``{"state": [...]}``, ``{"dtc": "any" | code | "P03*"}``, ``{"source": "token" | "agent" | "clock"}``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any as Anything

from alerts import durations
from alerts.rules.definition import All, Any, AtFence, Compare, FenceEvent, NoData, Node, Operator, Stands
from alerts.rules.schedules import Schedule
from alerts.rules.texts import code_of
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, number_of
from telemetry import states, units
from telemetry.directory import SignalInfo

Json = dict[str, Anything]
Signals = Mapping[str, tuple[int, SignalInfo]]
OPERATORS = {
    ">": Operator.GREATER, "gt": Operator.GREATER, ">=": Operator.GREATER_EQUAL, "gte": Operator.GREATER_EQUAL,
    "<": Operator.LESS, "lt": Operator.LESS, "<=": Operator.LESS_EQUAL, "lte": Operator.LESS_EQUAL,
    "==": Operator.EQUAL, "eq": Operator.EQUAL, "!=": Operator.DIFFERENT, "neq": Operator.DIFFERENT,
}  # fmt: skip
TEXTS = ("text", "enum")
FACTS = ("state", "dtc", "source")
SOURCES = ("token", "agent", "clock")
DEEPEST, MOST_PARTS, LARGEST = 4, 20, 1e300
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BadCondition(MotorpoolError):
    """A condition that cannot be evaluated (422)."""

    status = 422
    code = "invalid"


def is_fact(condition: Json) -> bool:
    """Whether a condition is a single thing that stands, not readings, nor both together."""
    return any(name in condition for name in FACTS)


def fact_of(condition: Json) -> str:
    """A fact's name, by which it is looked up: what it is about, a colon, and what is asked for."""
    name = next(word for word in FACTS if word in condition)
    asked = condition[name]
    return f"{name}:{','.join(sorted(set(asked))) if isinstance(asked, list) else asked}"


def asked_of(fact: str) -> tuple[str, Anything]:
    """What a fact's name is about, and what it asks for."""
    name, _, asked = fact.partition(":")
    return name, asked.split(",") if name == "state" else asked


def facts_in(condition: Anything) -> set[str]:
    """The facts among the parts of a condition."""
    return {fact_of(part) for part in parts_of(condition) if is_fact(part)}


def parts_of(condition: Anything, depth: int = 0) -> Iterator[Json]:
    """The parts of a condition that hold no others; raises `BadCondition`."""
    if not isinstance(condition, dict):
        raise BadCondition('A condition is an object, such as {"signal": "engine.rpm", "op": ">", "value": 6000}.')
    for word in ("all", "any"):
        if word in condition:
            inner = condition[word]
            if len(condition) != 1 or not isinstance(inner, list) or not inner or depth >= DEEPEST:
                raise BadCondition(f'"{word}" stands alone and holds a list of conditions, at most {DEEPEST} deep.')
            for part in inner:
                yield from parts_of(part, depth + 1)
            return
    yield condition


def signal_names(condition: Anything) -> set[str]:
    """The signals that a condition names."""
    return {part["signal"] for part in parts_of(condition) if isinstance(part.get("signal"), str)}


def fence_ids(condition: Anything) -> set[int]:
    """The fences that a condition names."""
    return {fence_id(part) for part in parts_of(condition)} - {0}


def fence_id(part: Json) -> int:
    """The fence that a part names; 0 where it names none."""
    named = part.get("geofence")
    return number_of(Kind.GEOFENCE, named) if isinstance(named, str) else 0


def compile_condition(condition: Anything, signals: Signals, fences: set[int]) -> Node:
    """What a condition means.

    Args:
        signals: those that it names, where they exist; ``fences``: the organization's.

    Raises:
        BadCondition: it cannot be evaluated.
    """
    if sum(1 for _ in parts_of(condition)) > MOST_PARTS:
        raise BadCondition(f"A condition has at most {MOST_PARTS} parts.")
    return _node(condition, signals, fences)


def check_fact(condition: Json) -> None:
    """Raises `BadCondition` where a fact is none."""
    if "state" in condition:
        wanted = condition["state"]
        if not isinstance(wanted, list) or not wanted or not set(map(str, wanted)) <= set(states.STATES):
            raise BadCondition(f"state is a list of {', '.join(states.STATES)}.")
    elif "dtc" in condition:
        if not isinstance(condition["dtc"], str) or not 1 <= len(condition["dtc"]) <= 10:
            raise BadCondition('dtc is "any", a code such as P0301, or the beginning of some, such as P03*.')
    elif condition.get("source") not in SOURCES:
        raise BadCondition(f"source is one of {', '.join(SOURCES)}.")
    if len(condition) != 1:
        raise BadCondition("state, dtc and source are parts of their own: combine them with all or any.")


def _node(condition: Json, signals: Signals, fences: set[int]) -> Node:
    for word, kind in (("all", All), ("any", Any)):
        if word in condition:
            return kind(tuple(_node(part, signals, fences) for part in condition[word]))
    if is_fact(condition):
        check_fact(condition)
        return Stands(fact_of(condition))
    if "no_data" in condition:
        name = condition.get("signal")
        return NoData(_duration(condition["no_data"], "no_data"), None if name is None else _signal(name, signals)[0])
    if "geofence" in condition:
        event = condition.get("event", "inside")
        fence = fence_id(condition)
        if fence not in fences:
            raise BadCondition("There is no such geofence here.")
        if not isinstance(event, str) or event not in (*FenceEvent, "dwell"):
            raise BadCondition("event is inside, outside, enter, exit or dwell.")
        return AtFence(fence, FenceEvent.INSIDE if event == "dwell" else FenceEvent(event))
    return _compare(condition, signals)


def _compare(condition: Json, signals: Signals) -> Compare:
    unknown = set(condition) - {"signal", "op", "value", "unit", "rate"}
    if unknown:
        raise BadCondition(f"{sorted(unknown)[0]!r} is no part of a condition.")
    signal_id, info = _signal(condition.get("signal"), signals)
    operator = OPERATORS.get(str(condition.get("op")))
    if operator is None:
        raise BadCondition(f"op is one of {', '.join(OPERATORS)}.")
    rate = _duration(condition["rate"], "rate") if condition.get("rate") is not None else 0
    value, unit = condition.get("value"), condition.get("unit") or ""
    attribute = ""
    if isinstance(value, dict):
        attribute = str(value.get("attribute", ""))[:100]
        if not attribute or info.kind in TEXTS:
            raise BadCondition('value is a number, or {"attribute": "its name", "default": a number}.')
        value = value.get("default")
        value = math.nan if value is None else value
    if info.kind in TEXTS:
        if not isinstance(value, str) or operator not in (Operator.EQUAL, Operator.DIFFERENT) or rate:
            raise BadCondition(f"{info.name} is a text: compare it with == or != and a text.")
        return Compare(signal_id, operator, code_of(value))
    if isinstance(value, bool):
        value = float(value)
    if not isinstance(value, (int, float)) or abs(value) > LARGEST:
        raise BadCondition(f"The value that {info.name} is compared with is a number.")
    try:
        given = (float(value), 0.0, 1.0)
        stored, zero, one = (units.to_stored(each, str(unit), info.unit, difference=rate > 0) for each in given)
    except KeyError:
        known = ", ".join(filter(None, units.units_of(info.unit))) or "no unit"
        raise BadCondition(f"{info.name} is not measured in {unit!r}: use {known}.") from None
    return Compare(signal_id, operator, stored, attribute, rate, (one - zero, zero))


def _signal(name: Anything, signals: Signals) -> tuple[int, SignalInfo]:
    if not isinstance(name, str) or name not in signals:
        raise BadCondition(f"There is no signal {str(name)[:100]!r}; GET /api/v1/signals lists them.")
    return signals[name]


def _duration(value: Anything, name: str) -> int:
    try:
        found = durations.microseconds(durations.parse(value))
    except ValueError as error:
        raise BadCondition(f"{name}: {error}") from None
    if found <= 0:
        raise BadCondition(f"{name} must be longer than nothing.")
    return found


def compile_schedule(schedule: Json | None, zone: str) -> Schedule | None:
    """A schedule ``{"days": ["mon", ...]?, "from": "22:00"?, "to": "06:00"?}`` in the organization's time zone.

    Raises:
        BadCondition: it is none.
    """
    if not schedule:
        return None
    days = schedule.get("days") or list(DAYS)
    if not isinstance(days, list) or not set(map(str, days)) <= set(DAYS):
        raise BadCondition(f"days is a list of {', '.join(DAYS)}.")
    return Schedule(
        frozenset(DAYS.index(day) for day in days),
        minute_of(schedule.get("from") or "00:00"),
        minute_of(schedule.get("to") or "24:00"),
        zone,
    )


def minute_of(words: Anything) -> int:
    """A time of the day such as 22:30 as minutes; raises `BadCondition`."""
    hours, _, minutes = str(words).partition(":")
    if hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2 and int(minutes) < 60:
        found = int(hours) * 60 + int(minutes)
        if found <= 1440:
            return found
    raise BadCondition("Give a time of the day such as 22:00.")

"""Rules as sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alerts import durations, wire
from alerts.models import AlertRule
from alerts.rules.definition import Operator
from fleet.accounts.models import Organization
from telemetry.selectors import signal_ids

_WORDS = {
    Operator.GREATER: "is above", Operator.GREATER_EQUAL: "is at least", Operator.LESS: "is below",
    Operator.LESS_EQUAL: "is at most", Operator.EQUAL: "is", Operator.DIFFERENT: "is not",
}  # fmt: skip
_FENCE = {"inside": "is inside", "outside": "is outside", "enter": "enters", "exit": "leaves", "dwell": "stays in"}
_SOURCES = {
    "token": "the maker's cloud needs a new sign-in", "agent": "the device falls silent", "clock": "the clock is wrong",
}  # fmt: skip


@dataclass(frozen=True)
class _Names:
    """What conditions name: fences by id, signals by name."""

    fences: dict[int, str]
    signals: wire.Signals


def sentences(organization: Organization, rules: Iterable[AlertRule]) -> dict[int, str]:
    """By id, when each rule is raised, in a sentence without its end: two queries for any number."""
    listed = list(rules)
    conditions = [condition for rule in listed for condition in (rule.condition, rule.clear) if condition]
    signals = {name for condition in conditions for name in wire.signal_names(condition)}
    fences = dict(organization.geofences.values_list("pk", "name"))
    names = _Names(fences, signal_ids(organization, signals))
    return {rule.pk: _sentence(rule, names) for rule in listed}


def _sentence(rule: AlertRule, names: _Names) -> str:
    words = f"When {_words(rule.condition, names)}"
    if rule.lasting:
        words += f" for {durations.words(rule.lasting)}"
    if rule.times > 1:
        words += f", {rule.times} times within {durations.words(rule.within)}"
    if rule.clear:
        words += f"; clears when {_words(rule.clear, names)}"
        if rule.clear_lasting:
            words += f" for {durations.words(rule.clear_lasting)}"
    return words


def _words(condition: dict[str, Any], names: _Names) -> str:
    for word, between in (("all", " and "), ("any", " or ")):
        if word in condition:
            return between.join(
                f"({_words(part, names)})" if {"all", "any"} & part.keys() else _words(part, names)
                for part in condition[word]
            )
    if "no_data" in condition:
        what = condition.get("signal") or "anything"
        return f"nothing is told of {what} for {durations.words(durations.parse(condition['no_data']))}"
    if "geofence" in condition:
        event = _FENCE[condition.get("event", "inside")]
        return f"the vehicle {event} {names.fences.get(wire.fence_id(condition), 'a deleted geofence')}"
    if "state" in condition:
        return f"the vehicle is {' or '.join(condition['state'])}"
    if "dtc" in condition:
        return "a trouble code appears" if condition["dtc"] == "any" else f"trouble code {condition['dtc']} appears"
    if "source" in condition:
        return _SOURCES[condition["source"]]
    return _comparison(condition, names)


def _comparison(condition: dict[str, Any], names: _Names) -> str:
    name = condition["signal"]
    unit = condition.get("unit") or (names.signals[name][1].unit if name in names.signals else "")
    value = condition["value"]
    operator = _WORDS[wire.OPERATORS[str(condition["op"])]]
    if isinstance(value, dict):
        default = value.get("default")
        shown = f"its {value['attribute']}" + ("" if default is None else f" (else {default:g} {unit})")
    else:
        shown = f"{value:g} {unit}".strip() if isinstance(value, (int, float)) else str(value)
    if condition.get("rate"):
        return f"the change of {name} within {durations.words(durations.parse(condition['rate']))} {operator} {shown}"
    return f"{name} {operator} {shown}"

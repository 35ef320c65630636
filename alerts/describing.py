"""Rules as sentences."""

from __future__ import annotations

from typing import Any

from alerts import durations, wire
from alerts.models import AlertRule
from alerts.rules.definition import Operator
from fleet.accounts.models import Organization
from telemetry.directory import SignalInfo
from telemetry.selectors import signal_ids

_WORDS = {
    Operator.GREATER: "is above", Operator.GREATER_EQUAL: "is at least", Operator.LESS: "is below",
    Operator.LESS_EQUAL: "is at most", Operator.EQUAL: "is", Operator.DIFFERENT: "is not",
}  # fmt: skip
_FENCE = {"inside": "is inside", "outside": "is outside", "enter": "enters", "exit": "leaves", "dwell": "stays in"}
_SOURCES = {
    "token": "the maker's cloud needs a new sign-in", "agent": "the device falls silent", "clock": "the clock is wrong",
}  # fmt: skip


def sentence(rule: AlertRule) -> str:
    """When the rule is raised, in a sentence without its end."""
    fences = dict(rule.organization.geofences.values_list("pk", "name"))
    words = f"When {_words(rule.condition, rule.organization, fences)}"
    if rule.lasting:
        words += f" for {durations.words(rule.lasting)}"
    if rule.times > 1:
        words += f", {rule.times} times within {durations.words(rule.within)}"
    if rule.clear:
        words += f"; clears when {_words(rule.clear, rule.organization, fences)}"
        if rule.clear_lasting:
            words += f" for {durations.words(rule.clear_lasting)}"
    return words


def _words(condition: dict[str, Any], organization: Organization, fences: dict[int, str]) -> str:
    for word, between in (("all", " and "), ("any", " or ")):
        if word in condition:
            return between.join(
                f"({_words(p, organization, fences)})" if {"all", "any"} & p.keys() else _words(p, organization, fences)
                for p in condition[word]
            )
    if "no_data" in condition:
        what = condition.get("signal") or "anything"
        return f"nothing is told of {what} for {durations.words(durations.parse(condition['no_data']))}"
    if "geofence" in condition:
        event = _FENCE[condition.get("event", "inside")]
        return f"the vehicle {event} {fences.get(condition['geofence'], 'a deleted geofence')}"
    if "state" in condition:
        return f"the vehicle is {' or '.join(condition['state'])}"
    if "dtc" in condition:
        return "a trouble code appears" if condition["dtc"] == "any" else f"trouble code {condition['dtc']} appears"
    if "source" in condition:
        return _SOURCES[condition["source"]]
    return _comparison(condition, organization)


def _comparison(condition: dict[str, Any], organization: Organization) -> str:
    name = condition["signal"]
    unit = condition.get("unit") or signal_ids(organization, [name]).get(name, (0, SignalInfo("", "", "")))[1].unit
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

"""A starter set of rules per powertrain.

The battery rules and their levels are those of the battery monitoring service that Motorpool takes the place of
(50/60 °C, state of charge 20/10 %, state of health 80 %), with hysteresis; those of engines are usual limits of
turbocharged petrol engines.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from alerts.models import AlertRule, Channel, Severity
from alerts.services import rule_save
from fleet.accounts.models import Organization, User
from vehicles.models import Powertrain

_COMBUSTION = (Powertrain.COMBUSTION, Powertrain.HYBRID, Powertrain.PLUG_IN_HYBRID)
_ELECTRIC = (Powertrain.ELECTRIC, Powertrain.PLUG_IN_HYBRID)


def _level(signal: str, op: str, value: float, back: float, unit: str = "") -> dict[str, Any]:
    """A level, and the one at which it clears."""
    opposite = {">": "<", ">=": "<", "<": ">", "<=": ">"}[op]
    more = {"unit": unit} if unit else {}
    return {
        "condition": {"signal": signal, "op": op, "value": value, **more},
        "clear": {"signal": signal, "op": opposite, "value": back, **more},
    }


_S = timedelta(seconds=1)
RULES: tuple[tuple[tuple[str, ...], str, str, dict[str, Any]], ...] = (
    (_COMBUSTION, "Coolant too hot", Severity.CRITICAL,
     {**_level("engine.coolant_temp", ">", 110, 105, "°C"), "lasting": 10 * _S}),
    (_COMBUSTION, "Oil too hot", Severity.WARNING,
     {**_level("engine.oil_temp", ">", 130, 122, "°C"), "lasting": 10 * _S}),
    (_COMBUSTION, "Intake air too hot", Severity.WARNING,
     {**_level("engine.intake_temp", ">", 70, 60, "°C"), "lasting": 20 * _S}),
    (_COMBUSTION, "Boost too high", Severity.WARNING,
     {**_level("engine.boost", ">", 25, 22, "psi"), "lasting": 2 * _S}),
    (_COMBUSTION, "Lean under load", Severity.WARNING, {
        "condition": {"all": [{"signal": "engine.air_fuel_ratio", "op": ">", "value": 14},
                              {"signal": "engine.boost", "op": ">", "value": 10, "unit": "psi"}]},
        "lasting": 2 * _S}),
    (_COMBUSTION, "Engine speed too high", Severity.INFO, {**_level("engine.rpm", ">", 6800, 6000), "lasting": _S}),
    (_COMBUSTION, "Fuel low", Severity.INFO, {**_level("fuel.level", "<", 10, 15), "lasting": 60 * _S}),
    ((*_COMBUSTION, ""), "12 V battery low", Severity.WARNING,
     {**_level("electrical.voltage", "<", 11.8, 12.4), "lasting": 60 * _S}),
    (_ELECTRIC, "HIGH_TEMP: battery very hot", Severity.CRITICAL,
     _level("traction_battery.temp_max", ">=", 60, 57, "°C")),
    (_ELECTRIC, "TEMP_WARNING: battery hot", Severity.WARNING, _level("traction_battery.temp_max", ">=", 50, 47, "°C")),
    (_ELECTRIC, "LOW_SOC: battery nearly empty", Severity.CRITICAL, _level("traction_battery.soc", "<=", 10, 12)),
    (_ELECTRIC, "SOC_WARNING: battery low", Severity.WARNING, _level("traction_battery.soc", "<=", 20, 23)),
    (_ELECTRIC, "SOH_DEGRADED: battery aged", Severity.WARNING, _level("traction_battery.soh", "<", 80, 81)),
    ((), "Trouble code", Severity.WARNING, {"condition": {"dtc": "any"}}),
    ((), "Device silent", Severity.WARNING, {"condition": {"source": "agent"}, "lasting": timedelta(minutes=15)}),
    ((), "Clock wrong", Severity.INFO, {"condition": {"source": "clock"}}),
    ((), "Maker's cloud needs a new sign-in", Severity.WARNING, {"condition": {"source": "token"}}),
)  # fmt: skip
"""For which powertrains (empty: all), name, severity, and the rest of the rule."""


@transaction.atomic
def add(*, organization: Organization, user: User, channels: list[Channel] | None = None, request: Any = None) -> int:
    """Add the rules of the organization's powertrains that it does not have by name; returns how many."""
    present = set(organization.vehicles.filter(archived_at=None).values_list("powertrain", flat=True))
    known = set(organization.alert_rules.values_list("name", flat=True))
    count = 0
    for powertrains, name, severity, fields in RULES:
        if name in known or (powertrains and present and not present.intersection(powertrains)):
            continue
        rule_save(
            rule=AlertRule(organization=organization), user=user, request=request, name=name, severity=severity,
            channels=channels, **fields,
        )  # fmt: skip
        count += 1
    return count

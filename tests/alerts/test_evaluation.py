"""Committed readings become alerts: once, in order, corrected by what comes late."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.evaluation import compiled, timers, work
from alerts.models import Alert, AlertEvent, AlertRule, Checkpoint, Evaluation
from alerts.services import rule_save
from tests.alerts import oracle
from tests.alerts.histories import BOXES, CHARGE, LATITUDE, LONGITUDE, SPEED, START, TEMPERATURE, history
from tests.alerts.making import HOT, alerts_of, evaluate, hot, look_again_now, make_rule, send
from tests.conftest import Team
from tests.portal import Portal

NAMES = {
    TEMPERATURE: "engine.oil_temp", SPEED: "vehicle.speed", CHARGE: "traction_battery.soc",
    LONGITUDE: "location.longitude", LATITUDE: "location.latitude",
}  # fmt: skip
S = timedelta(seconds=1)


def test_an_alert_opens_once_and_clears(portal: Portal, team: Team) -> None:
    make_rule(team)
    hot(portal, team, (-30, 90), (-29, 115), (-28, 116))
    evaluate()
    hot(portal, team, (-27, 117), (-26, 118))
    evaluate()
    [alert] = alerts_of(team)
    assert (alert.cleared_at, alert.value) == (None, 115.0)
    assert alert.evidence["signals"]["engine.coolant_temp"] == 115.0
    hot(portal, team, (-20, 90))
    evaluate()
    [alert] = alerts_of(team)
    assert alert.cleared_at is not None
    assert 8 <= (alert.cleared_at - alert.opened_at).total_seconds() <= 10
    assert [event.kind for event in alert.events.all()] == ["opened", "cleared"]


def test_batches_sent_again_change_nothing(portal: Portal, team: Team) -> None:
    make_rule(team)
    now = time.time()
    readings = [(now - 60 + i, {"engine.coolant_temp": 115.0 if 10 < i < 20 else 90.0}) for i in range(30)]
    send(portal, team, *readings)
    evaluate()
    for part in (readings[:15], readings[15:], readings, readings[::-1]):
        send(portal, team, *part)
        evaluate()
    assert len(alerts_of(team)) == 1
    assert AlertEvent.objects.filter(alert__organization=team.organization).count() == 2


def test_a_duration_passes_by_the_clock_alone(portal: Portal, team: Team) -> None:
    make_rule(team, lasting=5 * S)
    hot(portal, team, (-4, 115), (-3, 115))
    evaluate()
    assert not alerts_of(team)
    row = Evaluation.objects.get(vehicle=team.vehicle)
    assert row.look_again is not None
    assert 2 <= (row.look_again - timezone.now()).total_seconds() <= 6
    hot(portal, team, (-2.5, 115))
    Evaluation.objects.filter(pk=row.pk).update(look_again=timezone.now())
    time.sleep(max(0.0, (row.look_again - timezone.now()).total_seconds() + 0.1))
    timers.look_again()
    [alert] = alerts_of(team)
    assert alert.cleared_at is None


def test_silence_is_noticed_and_ends(portal: Portal, team: Team) -> None:
    make_rule(team, {"no_data": "PT60S"}, name="Silent")
    hot(portal, team, (-40, 90))
    evaluate()
    assert not alerts_of(team)
    hot(portal, team, (-300, 90))  # an older frame moves nothing
    evaluate()
    assert not alerts_of(team) or alerts_of(team)[0].cleared_at is not None
    Alert.objects.filter(organization=team.organization).delete()
    other = make_rule(team, {"no_data": "PT20S"}, name="Silent soon")
    hot(portal, team, (-38, 91))
    evaluate()
    [alert] = [a for a in alerts_of(team) if a.rule_id == other.pk]
    assert alert.cleared_at is None
    hot(portal, team, (0, 91))
    evaluate()
    alert.refresh_from_db()
    assert alert.cleared_at is not None


def test_late_readings_correct_what_was_said(portal: Portal, team: Team) -> None:
    make_rule(team, lasting=20 * S)
    hot(portal, team, (-120, 90), (-100, 115), (-70, 115), (-60, 90))
    evaluate()
    [alert] = alerts_of(team)
    hot(portal, team, (-90, 95))  # it was cooler in between: 10 s and 20 s do not make it
    evaluate()
    timers.correct()
    Evaluation.objects.filter(vehicle=team.vehicle).update(correct_after=timezone.now())
    timers.correct()
    alert.refresh_from_db()
    assert alert.withdrawn_at is None or not alerts_of(team)
    hot(portal, team, (-85, 95))
    evaluate()
    Evaluation.objects.filter(vehicle=team.vehicle, correct_from__isnull=False).update(correct_after=timezone.now())
    timers.correct()
    assert not alerts_of(team)
    assert alert.events.filter(kind="withdrawn").exists()


def test_what_is_long_over_is_recorded_and_told_to_nobody(portal: Portal, team: Team) -> None:
    make_rule(team)
    hot(portal, team, (-7200, 115), (-7190, 90), (-10, 90))
    evaluate()
    [alert] = alerts_of(team)
    assert (alert.told_at, alert.tell_at) == (None, None)
    hot(portal, team, (-3, 120))
    evaluate()
    assert alerts_of(team)[1].told_at is not None


def test_an_old_upload_is_told_once_it_reaches_the_present_and_still_holds(portal: Portal, team: Team) -> None:
    make_rule(team)
    hot(portal, team, (-7200, 115), (-7190, 116))
    evaluate()
    assert alerts_of(team)[0].told_at is None
    hot(portal, team, (-3600, 117))
    evaluate()
    assert alerts_of(team)[0].told_at is None
    hot(portal, team, (-2, 117))
    evaluate()
    [alert] = alerts_of(team)
    assert alert.told_at is not None


def test_a_cooldown_holds_the_second_message(portal: Portal, team: Team) -> None:
    make_rule(team, cooldown=timedelta(minutes=15))
    hot(portal, team, (-60, 115), (-50, 90), (-40, 115))
    evaluate()
    first, second = alerts_of(team)
    told, waits = (first, second) if first.told_at else (second, first)
    assert told.told_at is not None
    assert waits.told_at is None


def test_a_rule_is_for_its_vehicles_alone(portal: Portal, team: Team) -> None:
    from vehicles.services import vehicle_create

    tagged = vehicle_create(organization=team.organization, user=None, name="Tagged", tags=["vans"])
    grouped = vehicle_create(organization=team.organization, user=None, name="Grouped", groups=["North"])
    group = team.organization.vehicle_groups.get(name="North")
    make_rule(team, name="Vans and north", all_vehicles=False, tags=["vans"], groups=[group])
    for vehicle in (team.vehicle, tagged, grouped):
        hot(portal, team, (-5, 115), vehicle=vehicle)
    evaluate()
    assert {alert.vehicle_id for alert in alerts_of(team)} == {tagged.pk, grouped.pk}


def test_a_vehicles_own_threshold_counts(portal: Portal, team: Team) -> None:
    condition = {"signal": "engine.coolant_temp", "op": ">", "value": {"attribute": "hot", "default": 110}}
    make_rule(team, condition)
    team.vehicle.attributes = {"hot": 120}
    team.vehicle.save()
    hot(portal, team, (-5, 115))
    evaluate()
    assert not alerts_of(team)
    hot(portal, team, (-4, 121))
    evaluate()
    assert len(alerts_of(team)) == 1


def test_a_text_is_compared(portal: Portal, team: Team) -> None:
    make_rule(team, {"signal": "charge.state", "op": "==", "value": "stopped"}, name="Stopped")
    now = time.time()
    send(portal, team, (now - 9, {"charge.state": "charging"}), (now - 8, {"charge.state": "stopped"}))
    evaluate()
    [alert] = alerts_of(team)
    assert alert.value == "stopped"


def test_a_new_rule_knows_what_was_told_lately(portal: Portal, team: Team) -> None:
    make_rule(team)
    now = time.time()
    send(portal, team, (now - 30, {"engine.coolant_temp": 90.0, "engine.oil_temp": 140.0}))
    evaluate()
    rule = rule_save(
        rule=AlertRule(organization=team.organization), user=team.users["admin"], name="Oil",
        condition={"signal": "engine.oil_temp", "op": ">", "value": 266, "unit": "°F"},
    )  # fmt: skip
    timers.look_again()
    assert not alerts_of(team)  # not before the present has passed the grace
    time.sleep(3.1)
    timers.look_again()
    [alert] = alerts_of(team)
    assert (alert.rule_id, alert.value, alert.evidence["shown"]) == (rule.pk, 140.0, "284 °F")


def test_the_first_rule_of_all_knows_what_was_told_lately(portal: Portal, team: Team) -> None:
    hot(portal, team, (-30, 115))
    evaluate()
    rule = AlertRule(organization=team.organization)
    rule_save(rule=rule, user=team.users["admin"], name="Hot", condition=HOT)
    time.sleep(3.1)
    timers.look_again()
    assert [alert.value for alert in alerts_of(team)] == [115.0]


def test_a_comparison_that_only_clears_stops_nothing(portal: Portal, team: Team) -> None:
    clear = {"signal": "engine.rpm", "op": "<", "value": 500}
    make_rule(team, {"no_data": "PT20S", "signal": "engine.coolant_temp"}, name="Silent", clear=clear)
    hot(portal, team, (-60, 90))
    send(portal, team, (time.time() - 1, {"engine.rpm": 900.0}))
    evaluate()
    assert [(alert.rule_name, alert.cleared_at) for alert in alerts_of(team)] == [("Silent", None)]


def test_a_vehicles_own_threshold_has_the_rules_unit(portal: Portal, team: Team) -> None:
    value = {"attribute": "oil_limit", "default": 300}
    make_rule(team, {"signal": "engine.oil_temp", "op": ">", "value": value, "unit": "°F"}, name="Oil")
    team.vehicle.attributes = {"oil_limit": 250}
    team.vehicle.save()
    now = time.time()
    send(portal, team, (now - 5, {"engine.oil_temp": 120.0}))
    evaluate()
    assert not alerts_of(team)
    send(portal, team, (now - 4, {"engine.oil_temp": 122.0}))
    evaluate()
    assert len(alerts_of(team)) == 1


def test_a_clock_that_runs_ahead_silences_nobody(portal: Portal, team: Team) -> None:
    make_rule(team)
    make_rule(team, {"no_data": "PT2M"}, name="Silent")
    now = time.time()
    send(portal, team, (now + 250, {"engine.coolant_temp": 90.0}), source="fast")
    evaluate()
    hot(portal, team, (-1, 115))
    evaluate()
    [alert] = alerts_of(team)
    assert alert.rule_name == "Coolant hot"


def test_late_data_that_joins_two_episodes_leaves_one(portal: Portal, team: Team) -> None:
    make_rule(team, clear_lasting=60 * S)
    hot(portal, team, (-290, 115), (-270, 90), (-200, 115), (-5, 115))
    evaluate()
    assert len(alerts_of(team)) == 2
    hot(portal, team, (-230, 115))
    evaluate()
    Evaluation.objects.filter(vehicle=team.vehicle, correct_from__isnull=False).update(correct_after=timezone.now())
    timers.correct()
    [alert] = alerts_of(team)
    assert alert.cleared_at is None


def test_a_changed_rule_begins_anew(portal: Portal, team: Team) -> None:
    rule = make_rule(team)
    hot(portal, team, (-5, 115))
    evaluate()
    rule_save(rule=rule, user=team.users["admin"], condition={**HOT, "value": 118})
    [alert] = alerts_of(team)
    assert alert.cleared_at is not None
    hot(portal, team, (0, 116))
    evaluate()
    assert len(alerts_of(team)) == 1
    hot(portal, team, (0.5, 119))
    evaluate()
    assert len(alerts_of(team)) == 2


def test_an_archived_or_deleted_vehicle_leaves_nothing_open(portal: Portal, team: Team) -> None:
    from alerts import handling
    from vehicles.services import vehicle_create, vehicle_delete, vehicle_update

    make_rule(team, lasting=2 * S)
    other = vehicle_create(organization=team.organization, user=None, name="Other")
    for vehicle in (team.vehicle, other):
        hot(portal, team, (-60, 90), (-20, 115), (-1, 115), vehicle=vehicle)
    evaluate()
    assert len(alerts_of(team)) == 2
    vehicle_update(vehicle=team.vehicle, user=None, archived=True)
    Evaluation.objects.filter(vehicle=team.vehicle).update(look_again=timezone.now())
    timers.look_again()
    assert Evaluation.objects.get(vehicle=team.vehicle).look_again is None
    assert handling.clear_archived() >= 1
    assert Checkpoint.objects.filter(vehicle=other).exists()
    vehicle_delete(vehicle=other, user=team.users["admin"])
    [alert] = alerts_of(team)
    assert alert.cleared_at is not None


def test_batches_without_a_ruled_signal_cost_nothing(portal: Portal, team: Team) -> None:
    make_rule(team)
    now = time.time()
    send(portal, team, (now, {"vehicle.speed": 50.0}))
    evaluate()
    assert not Evaluation.objects.filter(vehicle=team.vehicle).exists()


@pytest.mark.parametrize("seed", range(3))
def test_what_the_portal_says_agrees_with_the_oracle(portal: Portal, team: Team, seed: int) -> None:
    """Histories through the real way in, evaluated after each round, some of it late by minutes."""
    from vehicles.services import vehicle_create

    fence = team.organization.geofences.create(
        name="Box", geometry={"type": "Polygon", "coordinates": [_ring(BOXES[7])]}
    )
    oil = {"signal": "engine.oil_temp", "op": ">", "value": 50}
    fast = {"signal": "vehicle.speed", "op": "gte", "value": 60}
    more: list[dict[str, Any]] = [
        {"condition": oil}, {"condition": oil, "lasting": 7 * S},
        {"condition": oil, "clear": {"signal": "engine.oil_temp", "op": "<", "value": 35}, "clear_lasting": 4 * S},
        {"condition": {"all": [oil, fast]}, "lasting": 3 * S}, {"condition": oil, "times": 2, "within": 120 * S},
        {"condition": {"no_data": "PT45S"}}, {"condition": {"no_data": "PT30S", "signal": "engine.oil_temp"}},
        {"condition": {"signal": "engine.oil_temp", "op": ">", "value": 25, "rate": "PT20S"}},
        {"condition": {"geofence": fence.public_id, "event": "enter"}}, {"condition": {"geofence": fence.public_id, "event": "outside"}},
        {"condition": {"geofence": fence.public_id, "event": "dwell"}, "lasting": 15 * S},
        {"condition": {"signal": "traction_battery.soc", "op": "lt", "value": {"attribute": "low", "default": 20}}},
    ]  # fmt: skip
    rules = [make_rule(team, name=f"Rule {i}", hold=40 * S, **fields) for i, fields in enumerate(more)]
    numbers = random.Random(seed)
    offset = (time.time_ns() // 1_000 - START) // 1_000_000 * 1_000_000 - 30 * 60 * 1_000_000
    cars = []
    for _ in range(12):
        made = _recent(numbers)
        car = vehicle_create(organization=team.organization, user=None, name="Car")
        car.attributes = {"low": 30} if numbers.random() < 0.5 else {}
        car.save()
        cars.append((car, *made))
    for turn in range(max(len(batches) for _, _, batches in cars)):
        for car, _, batches in cars:
            if turn < len(batches):
                rows: dict[int, dict[str, float]] = {}
                for instant, signal, value in batches[turn]:
                    rows.setdefault(instant, {})[NAMES[signal]] = value
                send(portal, team, *[((t + offset) / 1e6, v) for t, v in rows.items()], vehicle=car)
        evaluate()
        if turn % 3 == 0:
            look_again_now(team)
            timers.look_again()
    for _ in range(3):
        Evaluation.objects.filter(correct_from__isnull=False).update(correct_after=timezone.now())
        timers.correct()
    look_again_now(team)
    timers.look_again()
    horizon = time.time_ns() // 1_000 - work.GRACE
    ids = {signal: _signal_id(name) for signal, name in NAMES.items()}
    for car, told, _ in cars:
        shifted = {t + offset: {ids[s]: v for s, v in values.items()} for t, values in told.told.items()}
        for row in rules:
            rule = compiled.rule_of(row, team.organization, {fence.pk})
            past = _History(shifted, car.attributes, {fence.pk: BOXES[7]}, ids[LONGITUDE], ids[LATITUDE])
            expected = oracle.episodes(rule, past, horizon)
            found = Alert.objects.standing().filter(rule=row, vehicle=car).order_by("opened_at")
            got = [(_us(a.opened_at), None if a.cleared_at is None else _us(a.cleared_at)) for a in found]
            assert got == expected, f"{car} {row.condition} {row.lasting}"
    assert Checkpoint.objects.filter(vehicle=cars[0][0]).exists()


class _History(oracle.History):
    def __init__(self, told: Any, attributes: Any, boxes: Any, longitude: int, latitude: int) -> None:
        self.longitude, self.latitude = longitude, latitude
        super().__init__(told, attributes, boxes)

    def positions(self, now: int) -> list[tuple[int, float, float]]:
        x, y = self.longitude, self.latitude
        return [(t, v[x], v[y]) for t in self.instants if t <= now and x in (v := self.told[t]) and y in v]


def _recent(numbers: random.Random) -> tuple[oracle.History, list[Any]]:
    while True:
        told, batches = history(numbers)
        if told.told and max(told.told) - START < 25 * 60 * 1_000_000:
            return told, batches


def _ring(box: tuple[float, float, float, float]) -> list[list[float]]:
    west, south, east, north = box
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _signal_id(name: str) -> int:
    from telemetry import directory

    return directory.catalog()[name][0]


def _us(moment: Any) -> int:
    return round(moment.timestamp() * 1e6)


def test_rules_that_cannot_be_evaluated_are_refused(team: Team) -> None:
    from alerts.wire import BadCondition

    for condition, words in (
        ({"signal": "no.such", "op": ">", "value": 1}, "no signal"),
        ({"signal": "engine.rpm", "op": "~", "value": 1}, "op is one of"),
        ({"signal": "engine.rpm", "op": ">", "value": 1, "unit": "psi"}, "not measured in"),
        ({"signal": "charge.state", "op": ">", "value": "x"}, "text"),
        ({"geofence": 10_000_000}, "no such geofence"),
        ({"all": [{"dtc": "any", "state": ["idle"]}, HOT]}, "parts of their own"),
        ({"all": []}, "list"),
        ({"no_data": "soon"}, "duration"),
    ):
        with pytest.raises(BadCondition, match=words):
            rule_save(
                rule=AlertRule(organization=team.organization), user=team.users["admin"], name="x", condition=condition
            )

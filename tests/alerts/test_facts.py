"""Alerts of what stands: trouble codes, states, silent devices, wrong clocks, broken connections."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts import handling
from alerts.evaluation import facts, spans, timers, work
from alerts.models import Channel, Delivery, Evaluation, FactSpan
from alerts.services import rule_delete, rule_save
from telemetry.commands import trouble_codes
from telemetry.models import VehicleState
from tests.alerts.making import HOT, alerts_of, evaluate, hot, make_rule, send
from tests.conftest import Team
from tests.portal import Portal


def codes(team: Team, *listed: str, **more: Any) -> None:
    told = [{"code": code, "status": "confirmed"} for code in listed]
    trouble_codes.record(team.vehicle, {"codes": told, **more})


def test_a_trouble_code_raises_and_clears(team: Team) -> None:
    make_rule(team, {"dtc": "P03*"}, name="Misfire")
    codes(team, "P0171")
    facts.look()
    assert not alerts_of(team)
    codes(team, "P0171", "P0301", freeze_frame={"code": "P0301", "engine.rpm": 2100})
    facts.look()
    facts.look()
    [alert] = alerts_of(team)
    assert (alert.value, alert.evidence["freeze_frame"]["engine.rpm"]) == ("P0301", 2100)
    codes(team, "P0301", "P0302")
    facts.look()
    first, second = alerts_of(team)  # another code is another alert
    assert (second.value, second.cleared_at) == ("P0301, P0302", None)
    assert first.cleared_at is not None
    codes(team, "P0301")
    facts.look()
    assert alerts_of(team)[1].value == "P0301"
    codes(team)
    facts.look()
    assert alerts_of(team)[1].cleared_at is not None


def test_a_resolved_alert_does_not_come_back_while_its_code_stands(team: Team) -> None:
    make_rule(team, {"dtc": "any"}, name="Code")
    codes(team, "P0171")
    facts.look()
    handling.resolve(alert=alerts_of(team)[0], user=team.users["operator"])
    facts.look()
    assert len(alerts_of(team)) == 1
    codes(team)
    codes(team, "P0171")
    team.vehicle.trouble_codes.update(first_seen=timezone.now())
    facts.look()
    assert len(alerts_of(team)) == 2


def test_a_state_that_lasts(team: Team) -> None:
    make_rule(team, {"state": ["offline"]}, name="Offline", lasting=timedelta(minutes=10))
    now = timezone.now()
    state = VehicleState.objects.create(
        vehicle=team.vehicle, organization=team.organization, state="offline", since=now - timedelta(minutes=5)
    )
    facts.look()
    assert not alerts_of(team)
    VehicleState.objects.filter(pk=state.pk).update(since=now - timedelta(minutes=11))
    facts.look()
    assert len(alerts_of(team)) == 1
    VehicleState.objects.filter(pk=state.pk).update(state="moving")
    facts.look()
    assert alerts_of(team)[0].cleared_at is not None


def test_a_silent_device(team: Team) -> None:
    make_rule(team, {"source": "agent"}, name="Silent")
    team.device.vehicles.add(team.vehicle)
    now = timezone.now()
    type(team.device).objects.filter(pk=team.device.pk).update(last_seen=now - timedelta(hours=1))
    VehicleState.objects.create(vehicle=team.vehicle, organization=team.organization, state="parked", since=now)
    facts.look()
    assert not alerts_of(team)  # a parked car's device sleeps
    VehicleState.objects.update(state="offline")
    facts.look()
    assert "silent" in str(alerts_of(team)[0].value)


def test_a_clock_ahead(portal: Portal, team: Team) -> None:
    make_rule(team, {"source": "clock"}, name="Clock")
    send(portal, team, (time.time(), {"engine.rpm": 800.0}))
    facts.look()
    assert not alerts_of(team)
    send(portal, team, (time.time() + 3_600, {"engine.rpm": 800.0}))
    facts.look()
    assert len(alerts_of(team)) == 1


def test_a_connection_that_needs_a_new_sign_in(team: Team, strangers: Team) -> None:
    import uuid

    from integrations.sources.smartcar.models import Account, CloudVehicle

    make_rule(team, {"source": "token"}, name="Sign in")
    make_rule(strangers, {"source": "token"}, name="Sign in")
    now = timezone.now()
    account = Account.objects.create(
        organization=team.organization,
        user_id=uuid.uuid4(),
        connected_at=now,
        state="reconnect",
        error="consent withdrawn",
        told_at=now,
    )
    CloudVehicle.objects.create(
        organization=team.organization, account=account, vehicle=team.vehicle, remote_id=uuid.uuid4(), connected_at=now
    )
    facts.look()
    assert alerts_of(team)[0].value == "consent withdrawn"
    assert not alerts_of(strangers)


def be(team: Team, state: str) -> None:
    """Put the vehicle into a state, as its sink does, and have it noticed."""
    VehicleState.objects.update_or_create(
        vehicle=team.vehicle, defaults={"organization": team.organization, "state": state, "since": timezone.now()}
    )
    facts.look()


def test_a_state_beside_a_reading(portal: Portal, team: Team, strangers: Team) -> None:
    condition = {"all": [HOT, {"state": ["moving", "idle"]}]}
    make_rule(team, condition, name="Hot while driving")
    make_rule(strangers, condition, name="Hot while driving")
    be(team, "parked")
    hot(portal, team, (-2, 115))
    evaluate()
    assert not alerts_of(team)
    be(team, "moving")
    hot(portal, team, (0.5, 116))
    evaluate()
    [alert] = alerts_of(team)
    began = FactSpan.objects.get(vehicle=team.vehicle, until=None).since
    assert (alert.opened_at, alert.cleared_at, alert.value) == (began, None, 115.0)
    be(team, "idle")  # one of those asked for, still
    be(team, "parked")
    hot(portal, team, (1, 117))
    evaluate()
    [alert] = alerts_of(team)
    assert alert.cleared_at == FactSpan.objects.get(vehicle=team.vehicle).until
    assert not alerts_of(strangers)


def test_a_state_counts_without_another_reading(portal: Portal, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule(team, {"all": [HOT, {"state": ["idle"]}]}, name="Hot and idle")
    hot(portal, team, (-2, 115))
    evaluate()
    be(team, "idle")
    later = work.now() + 4_000_000
    monkeypatch.setattr(work, "now", lambda: later)
    timers.look_again()
    assert len(alerts_of(team)) == 1


def test_late_readings_meet_the_state_of_their_time(portal: Portal, team: Team) -> None:
    make_rule(team, {"all": [HOT, {"state": ["charging"]}]}, name="Hot while charging")
    hot(portal, team, (-400, 90))
    evaluate()
    now = timezone.now()
    FactSpan.objects.create(
        organization=team.organization, vehicle=team.vehicle, fact="state:charging",
        since=now - timedelta(seconds=300), until=now - timedelta(seconds=200),
    )  # fmt: skip
    hot(portal, team, (-1, 90))
    evaluate()
    hot(portal, team, (-250, 115), (-240, 90), (-150, 115), (-140, 90))
    evaluate()
    Evaluation.objects.filter(vehicle=team.vehicle).update(correct_after=now)
    timers.correct()
    [alert] = alerts_of(team)
    assert abs((alert.opened_at - now).total_seconds() + 250) < 1


def test_what_no_rule_asks_for_is_forgotten(portal: Portal, team: Team, strangers: Team) -> None:
    condition = {"any": [HOT, {"dtc": "any"}]}
    rule, other = make_rule(team, condition), make_rule(strangers, condition)
    for each in (team, strangers):
        codes(each, "P0171")
    facts.look()
    assert FactSpan.objects.filter(organization=team.organization).count() == 1
    rule_save(rule=rule, user=team.users["admin"], condition=HOT)
    assert not FactSpan.objects.filter(organization=team.organization).exists()
    assert FactSpan.objects.filter(organization=strangers.organization).exists()
    rule_delete(rule=other, user=strangers.users["admin"])
    assert not FactSpan.objects.filter(organization=strangers.organization).exists()


def test_a_fact_has_no_past_to_be_tried_on(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["operator"]) as client:
        body = {"condition": {"all": [HOT, {"state": ["moving"]}]}}
        answer = client.post(f"/api/v1/alert-rules/backtest?vehicle={team.vehicle.public_id}", json=body)
        assert (answer.status_code, "no past" in answer.text) == (422, True)
        bad = client.post("/api/v1/alert-rules", json={"name": "x", "condition": {"all": [HOT, {"state": ["flying"]}]}})
        assert (bad.status_code, "moving" in bad.text) == (422, True)
        made = client.post("/api/v1/alert-rules", json={"name": "Hot while driving", **body})
        assert made.status_code == 201


def test_facts_alone_combine_without_readings(portal: Portal, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    hot(portal, team, (-30, 90))
    evaluate()
    clear = {"signal": "engine.rpm", "op": "<", "value": 500}
    make_rule(team, {"any": [{"state": ["offline"] * 30}, {"dtc": "any"}]}, name="Gone or broken", clear=clear)
    be(team, "offline")
    later = work.now() + 4_000_000
    monkeypatch.setattr(work, "now", lambda: later)
    Evaluation.objects.filter(vehicle=team.vehicle).update(look_again=timezone.now())
    timers.look_again()
    assert [alert.rule_name for alert in alerts_of(team)] == ["Gone or broken"]


def test_what_a_silent_vehicle_was_is_kept(portal: Portal, team: Team) -> None:
    make_rule(team, {"all": [HOT, {"state": ["idle"]}]})
    hot(portal, team, (-30, 90))
    evaluate()
    long_ago = timezone.now() - timedelta(days=40)
    span = FactSpan.objects.create(
        organization=team.organization, vehicle=team.vehicle, fact="state:idle", since=long_ago,
        until=long_ago + timedelta(days=1),
    )  # fmt: skip
    Evaluation.objects.filter(vehicle=team.vehicle).update(newest=long_ago)
    spans.trim()
    assert FactSpan.objects.filter(pk=span.pk).exists()
    hot(portal, team, (-1, 90))
    evaluate()
    spans.trim()
    assert not FactSpan.objects.filter(pk=span.pk).exists()


def test_another_code_is_no_end(team: Team) -> None:
    channel = Channel.objects.create(organization=team.organization, kind="webhook", name="Hook", config={"url": "x"})
    make_rule(team, {"dtc": "any"}, name="Code", channels=[channel], tell_cleared=True)
    codes(team, "P0171")
    facts.look()
    codes(team, "P0171", "P0301")
    facts.look()
    assert len(alerts_of(team)) == 2
    assert [d.kind for d in Delivery.objects.filter(channel=channel)] == ["opened"]


def test_a_rule_that_was_disabled_meanwhile_raises_nothing(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = make_rule(team, {"dtc": "any"}, name="Code")
    codes(team, "P0171")
    lock = facts._only_one

    def disabled_meanwhile(what: str, key: int) -> bool:
        if what == "alerts.fact" and key == rule.pk:
            type(rule).objects.filter(pk=rule.pk).update(enabled=False)
        return lock(what, key)

    monkeypatch.setattr(facts, "_only_one", disabled_meanwhile)
    facts.look()
    assert not alerts_of(team)

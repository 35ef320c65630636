"""What running workers do with edits, commits, doubtful input and their own end."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from alerts import telling
from alerts.evaluation import facts
from alerts.models import Alert, AlertRule, Channel, Delivery
from alerts.services import channel_save, rule_save
from fleet.lib import background, bell
from telemetry.models import VehicleState
from tests.alerts.making import alerts_of, evaluate, hot, make_rule
from tests.conftest import Team
from tests.portal import Portal
from tests.test_tenancy import sign_in


def test_f1_edits_of_severity_and_name_are_in_the_next_alert(portal: Portal, team: Team) -> None:
    rule = make_rule(team, severity="warning")
    hot(portal, team, (-30, 120))
    evaluate()
    rule_save(rule=rule, user=team.users["admin"], severity="critical", name="Coolant boils")
    hot(portal, team, (-20, 60))
    hot(portal, team, (-10, 125))
    evaluate()
    found = alerts_of(team)
    assert [(alert.severity, alert.rule_name) for alert in found] == [
        ("warning", "Coolant hot"), ("critical", "Coolant boils"),
    ]  # fmt: skip


def test_f6_the_bell_is_rung_after_the_commit(portal: Portal, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[bool] = []
    monkeypatch.setattr(telling, "ring", lambda: rung.append(transaction.get_connection().in_atomic_block))
    channel = Channel(organization=team.organization)
    channel_save(
        channel=channel, user=team.users["admin"], kind="webhook", name="Hook", config={"url": "https://example.com/x"}
    )
    make_rule(team, channels=[channel])
    hot(portal, team, (-10, 120))
    evaluate()
    rung.clear()
    Alert.objects.filter(organization=team.organization).update(tell_at=timezone.now(), told_at=None)
    with transaction.atomic():
        assert telling.tell_due(timezone.now()) == 1
        assert rung == []
    assert rung == [False]
    Delivery.objects.filter(channel=channel).delete()


def test_f11_only_organizations_with_news_are_looked_at_every_few_seconds(
    team: Team, strangers: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (team, strangers):
        make_rule(one, {"state": ["offline"]}, name="Offline")
    long_ago = timezone.now() - timedelta(hours=1)
    AlertRule.objects.filter(organization__in=[team.organization, strangers.organization]).update(updated_at=long_ago)
    VehicleState.objects.create(
        vehicle=team.vehicle, organization=team.organization, state="offline", since=timezone.now()
    )
    looked: list[set[int] | None] = []
    look = facts.look

    def note(organizations: set[int] | None = None) -> int:
        looked.append(organizations)
        return look(organizations)

    monkeypatch.setattr(facts, "look", note)
    facts.look_at_changed()
    assert looked[0] is not None
    assert team.organization.pk in looked[0]
    assert strangers.organization.pk not in looked[0]
    assert len(alerts_of(team)) == 1
    VehicleState.objects.filter(vehicle=team.vehicle).update(since=long_ago)
    facts.look_at_changed()
    assert len(looked) == 1 or team.organization.pk not in (looked[1] or ())


@pytest.mark.parametrize(
    "text",
    [
        {"type": "Feature", "properties": "x", "geometry": {"type": "Point", "coordinates": [0, 0]}},
        {"type": "Feature", "properties": [1], "geometry": None},
        {"type": "FeatureCollection", "features": [1]}, {"type": "FeatureCollection", "features": "x"}, [], 5, None,
        {"type": "Feature", "properties": {"radius": "1e999", "name": {"a": 1}}, "geometry": []},
    ],
)  # fmt: skip
def test_f14_x14_odd_geojson_is_refused_in_words(portal: Portal, team: Team, text: Any) -> None:
    with closing(sign_in(portal, team.users["operator"].email, team.password)) as browser:
        for body in (json.dumps(text), "[" * 100_000, '{"type":"Point","coordinates":[NaN,0]}'):
            form = {"action": "import", "geojson": body, "csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
            answer = browser.post("/geofences", data=form, headers={"Referer": portal.url})
            assert answer.status_code < 500


@pytest.mark.parametrize(
    "body",
    [
        {"for": "P9999999999D"}, {"for": "P" + "9" * 5_000 + "D"}, {"cooldown": "PT" + "9" * 400 + "H"},
        {"escalations": [{"after": "PT30M", "channel": 1}] * 2}, {"condition": {"signal": "engine.rpm", "op": ">", "value": 10**400}},
        {"name": "a\x00b"}, {"condition": {"all": [{"all": []}] * 2}},
    ],
)  # fmt: skip
def test_x14_odd_rules_are_refused_in_words(portal: Portal, team: Team, body: dict[str, Any]) -> None:
    rule = {"name": "Odd", "condition": {"signal": "engine.rpm", "op": ">", "value": 1}, **body}
    with portal.client(team.tokens["operator"]) as client:
        answer = client.post("/api/v1/alert-rules", json=rule)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["detail"] or answer.json()["errors"]
        for query in ("from=0001-01-01", "to=9999-12-31T23:59:59%2B14:00", "from=" + "9" * 5_000):
            assert client.get(f"/api/v1/alerts?{query}").status_code in (200, 400)


def test_x7_tests_of_channels_are_queued_and_few(portal: Portal, team: Team) -> None:
    channel = Channel(organization=team.organization)
    channel_save(
        channel=channel, user=team.users["admin"], kind="webhook", name="Hook", config={"url": "https://example.com/x"}
    )
    with portal.client(team.tokens["admin"]) as client:
        begun = time.monotonic()
        statuses = [client.post(f"/api/v1/channels/{channel.public_id}/test").status_code for _ in range(12)]
        assert time.monotonic() - begun < 5
    assert statuses[0] == 202
    assert statuses[-1] == 429
    assert Delivery.objects.filter(channel=channel, kind="test").count() == statuses.count(202)
    Delivery.objects.filter(channel=channel).delete()


def test_f12_what_was_begun_is_waited_for_at_the_end() -> None:
    going = threading.Event()
    assert background.run(going.wait, 10)
    assert not background.drain(0.2)
    going.set()
    assert background.drain(5)


def test_f20_a_bell_that_hangs_holds_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    hung, begun = threading.Event(), []

    def hang(*args: Any) -> None:
        begun.append(args)
        hung.wait(20)

    monkeypatch.setattr(bell, "_send", hang)
    for number in range(2_000):
        bell.announce(f"test.{number}")
    hung.set()
    time_left = time.monotonic() + 10
    while len(begun) < bell.MOST_WAITING and time.monotonic() < time_left:
        threading.Event().wait(0.01)
    assert len(begun) <= bell.MOST_WAITING

"""Ids outside the portal: they come back as they went, and nothing else is taken for one."""

from __future__ import annotations

import itertools
from importlib import import_module

import httpx
import pytest
from django.apps import apps
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.models import AlertRule, Channel
from fleet.lib.public_ids import Kind, looks_like_id, number_of, public_id
from tests.alerts.making import HOT
from tests.conftest import Team
from tests.portal import Portal
from tests.test_tenancy import sign_in

numbers = st.integers(1, 2**63 - 1)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(Kind), numbers)
def test_a_row_is_found_by_its_id_and_by_no_other_kind_of_id(kind: Kind, number: int) -> None:
    text = public_id(kind, number)
    assert number_of(kind, text) == number
    assert looks_like_id(text)
    for other in Kind:
        if other != kind:
            assert number_of(other, text) == 0
            assert number_of(other, f"{other}_{text.partition('_')[2]}") == 0


@settings(deadline=None)
@given(st.sampled_from(Kind), st.text(max_size=40) | st.from_regex(r"[a-z]{2,8}_[a-z2-7]{26}", fullmatch=True))
def test_whatever_else_is_no_id(kind: Kind, text: str) -> None:
    assert number_of(kind, text) == 0


@settings(deadline=None)
@given(numbers, st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"), st.integers(0, 25))
def test_an_id_is_written_in_one_way(number: int, character: str, place: int) -> None:
    text = public_id(Kind.VEHICLE, number)
    place += len("veh_")
    changed = text[:place] + character + text[place + 1 :]
    assert number_of(Kind.VEHICLE, changed) == (number if changed == text else 0)
    assert number_of(Kind.VEHICLE, text.upper()) == 0


def test_ids_of_neighbours_have_nothing_in_common() -> None:
    texts = [public_id(Kind.VEHICLE, number) for number in range(1, 1_001)]
    assert len(set(texts)) == 1_000
    alike = [sum(a == b for a, b in zip(one[4:], two[4:], strict=True)) for one, two in itertools.pairwise(texts)]
    assert max(alike) < 13  # of 26 characters; by chance it is one


LISTS = (
    "vehicles", "devices", "alert-rules", "channels", "geofences", "members", "tokens", "audit", "vehicles/latest",
)  # fmt: skip


def _ids(body: object) -> list[object]:
    if isinstance(body, dict):
        own = [value for name, value in body.items() if name == "id"]
        return own + [found for value in body.values() for found in _ids(value)]
    return [found for value in body for found in _ids(value)] if isinstance(body, list) else []


@pytest.mark.parametrize("path", LISTS)
def test_no_list_of_the_api_shows_a_number(portal: Portal, team: Team, path: str) -> None:
    with portal.client(team.tokens["admin"]) as client:
        fill(client)
        found = _ids(client.get(f"/api/v1/{path}").json())
    assert found
    assert all(isinstance(each, str) and looks_like_id(each) for each in found), found


def fill(client: httpx.Client) -> None:
    place = {"type": "Point", "coordinates": [5.1, 52.1]}
    fence = client.post("/api/v1/geofences", json={"name": "Depot", "geometry": place, "radius": 100}).json()["id"]
    condition = {"geofence": fence, "event": "enter"}
    channel = client.post("/api/v1/channels", json={"kind": "push", "name": "Mine"}).json()["id"]
    rule = {"name": "Arrived", "condition": condition, "channels": [channel]}
    answer = client.post("/api/v1/alert-rules", json=rule)
    assert answer.status_code == 201, answer.text
    assert answer.json()["condition"] == condition
    assert client.get(f"/api/v1/alert-rules/{answer.json()['id']}").json()["channels"] == [channel]


def test_the_page_of_rules_names_the_geofence(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as client:
        fill(client)
    page = sign_in(portal, team.users["viewer"].email, team.password).get("/rules").text
    assert "When the vehicle enters Depot" in page
    assert "a deleted geofence" not in page


def test_numbers_of_former_rules_and_channels_become_ids(team: Team) -> None:
    condition = {"all": [{"geofence": 7, "event": "enter"}, {"any": [HOT, {"geofence": 8, "event": "exit"}]}]}
    rule = AlertRule.objects.create(organization=team.organization, name="Old", condition=condition, clear=None)
    user = team.users["viewer"]
    channel = Channel.objects.create(organization=team.organization, kind="push", name="Old", config={"user": user.pk})
    migration = import_module("alerts.migrations.0002_public_ids")
    for _ in range(2):  # twice changes nothing
        migration.name_by_public_ids(apps, None)
        rule.refresh_from_db()
        channel.refresh_from_db()
        assert rule.condition == {
            "all": [
                {"geofence": public_id(Kind.GEOFENCE, 7), "event": "enter"},
                {"any": [HOT, {"geofence": public_id(Kind.GEOFENCE, 8), "event": "exit"}]},
            ]
        }
        assert (rule.clear, channel.config) == (None, {"user": user.public_id})

"""The data-quality stage: what has the form of a reading and is none is left out, counted and explained."""

from __future__ import annotations

import time
from typing import Any

import httpx
import numpy as np
import pytest

from alerts.models import Geofence
from alerts.services import fence_save
from telemetry.catalog import CATALOG
from telemetry.ingest.quality import Positions
from telemetry.models import RejectedReading, RejectionCount
from tests.alerts.making import alerts_of, evaluate, make_rule
from tests.conftest import Team
from tests.portal import Portal, eventually
from tests.test_tenancy import sign_in

BERLIN = (52.52, 13.405)
WEEKS_1024 = 1024 * 7 * 86_400


def store(portal: Portal, team: Team, *rows: dict[str, Any], status: int = 200) -> dict[str, Any]:
    """Rows of ``at`` (seconds from now), ``source`` and values."""
    now = time.time()
    body = [
        {
            "vehicle": team.vehicle.public_id,
            "source": row.pop("source", "gps"),
            "time": round(now + row.pop("at"), 3),
            "values": row,
        }
        for row in rows
    ]
    with portal.client(team.key) as client:
        answer = client.post("/api/v1/telemetry", json={"rows": body})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def at(seconds: float, place: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"at": seconds, "location.latitude": place[0], "location.longitude": place[1], **more}


def latest(portal: Portal, team: Team) -> dict[str, Any]:
    with portal.client(team.tokens["viewer"]) as client:
        return dict(client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/latest").json()["signals"])


def codes(answer: dict[str, Any]) -> list[str]:
    return sorted(entry["code"] for entry in answer["rejected"])


@pytest.mark.parametrize("signal", [s for s in CATALOG if s.no_value is not None], ids=lambda s: s.name)
def test_o8_what_stands_for_no_value_is_left_out_by_any_way_in(portal: Portal, team: Team, signal: Any) -> None:
    answer = store(portal, team, {"at": -1, "source": "api", signal.name: signal.no_value, "engine.load": 50})
    assert codes(answer) == ["no_value"]
    assert set(latest(portal, team)) == {"engine.load"}


@pytest.mark.parametrize("place", [(0.0, 0.0), (1e-6, -1e-6)])
def test_g2_zero_zero_is_no_position_and_the_last_real_one_stays(
    portal: Portal, team: Team, place: tuple[float, float]
) -> None:
    store(portal, team, at(-10, BERLIN))
    answer = store(portal, team, at(-1, place, **{"location.speed": 3.0}))
    assert codes(answer) == ["no_position", "no_position"]
    found = latest(portal, team)
    assert found["location.latitude"]["value"] == BERLIN[0]
    assert found["location.speed"]["value"] == 3.0
    separately = store(portal, team, {"at": -0.5, "location.latitude": 0.0}, {"at": -0.5, "location.longitude": 0.0})
    assert codes(separately) == ["no_position", "no_position"]


def test_g2_half_a_position_and_a_vague_one_are_none(portal: Portal, team: Team) -> None:
    assert codes(store(portal, team, at(-9, (91.0, 13.4)))) == ["no_position", "out_of_range"]
    vague = store(portal, team, at(-8, BERLIN, **{"location.accuracy": 20_000.0}))
    assert codes(vague) == ["no_position", "no_position"]
    assert "location.latitude" not in latest(portal, team)
    assert codes(store(portal, team, {"at": -7, "location.latitude": 52.0})) == []  # the other half may come later


@pytest.mark.parametrize("off", [0.0, 3 * 86_400, -3_600])
def test_g1_a_receivers_week_rollover_is_refused_and_said(portal: Portal, team: Team, off: float) -> None:
    answer = store(portal, team, at(-WEEKS_1024 - off, BERLIN))
    assert codes(answer) == ["wrong_clock"]
    assert "GPS" in answer["rejected"][0]["detail"]
    assert codes(store(portal, team, at(-WEEKS_1024 - 40 * 86_400, BERLIN))) == []  # a recording of those days


@pytest.mark.parametrize("ahead", [240.0, 90.0, 3_000.0])
def test_g4_the_future_hides_the_present_from_nobody(portal: Portal, team: Team, ahead: float) -> None:
    rule = make_rule(team)
    store(portal, team, {"at": ahead, "source": "obd", "engine.coolant_temp": 120.0})
    store(portal, team, {"at": -1, "source": "obd", "engine.coolant_temp": 90.0})
    assert latest(portal, team)["engine.coolant_temp"]["value"] == 90
    evaluate()
    assert not alerts_of(team)
    store(portal, team, {"at": 3, "source": "obd", "engine.coolant_temp": 91.0})  # a clock may be a little ahead
    assert latest(portal, team)["engine.coolant_temp"]["value"] == 91
    rule.delete()


def test_g6_a_jump_is_noise_and_said_to_be(portal: Portal, team: Team) -> None:
    home, algeria = ((BERLIN[1], BERLIN[0]), "leaves home"), ((2.0, 28.0), "is in Algeria")
    for (longitude, latitude), name in (home, algeria):
        fence = Geofence(organization=team.organization, name=name)
        geometry = {"type": "Point", "coordinates": [longitude, latitude]}
        fence_save(fence=fence, user=team.users["admin"], geometry=geometry, radius=50_000.0)
        event = "exit" if name == home[1] else "enter"
        make_rule(team, {"geofence": fence.public_id, "event": event}, name=name)
    answers = [
        store(portal, team, at(-60 + i * 10, place)) for i, place in enumerate([BERLIN, BERLIN, (28.0, 2.0), BERLIN])
    ]
    assert [codes(answer) for answer in answers] == [[], [], ["position_jump"] * 2, []]
    evaluate()
    assert not alerts_of(team)
    with portal.client(team.tokens["operator"]) as client:
        for rule in client.get("/api/v1/alert-rules").json()["results"]:
            query = f"vehicle={team.vehicle.public_id}"
            found = client.post(f"/api/v1/alert-rules/backtest?{query}", json={"condition": rule["condition"]}).json()
            assert found["episodes"] == []


def test_g6_a_second_fix_that_agrees_is_believed(portal: Portal, team: Team) -> None:
    munich = (48.137, 11.575)
    store(portal, team, at(-100, BERLIN))
    assert codes(store(portal, team, at(-90, munich))) == ["position_jump"] * 2
    assert codes(store(portal, team, at(-80, munich))) == []
    assert codes(store(portal, team, at(-70, munich))) == []
    assert latest(portal, team)["location.latitude"]["value"] == munich[0]
    together = store(portal, team, at(-60, BERLIN), at(-50, BERLIN), at(-40, munich), at(-30, BERLIN))
    assert len(together["rejected"]) == 2  # the one of Munich; Berlin is agreed on by itself


def test_g6_sources_are_judged_apart_and_again_as_before(portal: Portal, team: Team) -> None:
    store(portal, team, at(-100, BERLIN))
    assert codes(store(portal, team, at(-99, (48.0, 11.0), source="smartcar"))) == []
    rows = [at(-50, BERLIN), at(-49, (0.5, 0.5)), at(-48, BERLIN)]
    first = store(portal, team, *[dict(row) for row in rows])
    assert codes(first) == ["position_jump"] * 2


def test_whatever_is_left_out_is_counted_by_device_reason_and_signal(portal: Portal, team: Team) -> None:
    rows = [{"at": -1 - i / 100, "source": "obd", "vehicle.speed": 255, "engine.rpm": -1} for i in range(700)]
    answer = store(portal, team, *rows)
    assert answer["rejected_count"] == 1400
    counted = RejectionCount.objects.filter(organization=team.organization).values_list(
        "device_id", "code", "signal", "count"
    )
    assert set(counted) == {
        (team.device.pk, "no_value", "vehicle.speed", 700), (team.device.pk, "out_of_range", "engine.rpm", 700),
    }  # fmt: skip
    store(
        portal,
        team,
        *[dict(row, at=-20 - i / 100) for i, row in enumerate([{"source": "obd", "vehicle.speed": 255}] * 600)],
    )
    kept = RejectedReading.objects.filter(organization=team.organization, signal="vehicle.speed").count()
    assert kept == 500  # the first of the day
    assert RejectionCount.objects.get(organization=team.organization, code="no_value").count == 1300
    with portal.client(team.tokens["operator"]) as client:
        found = client.get(f"/api/v1/rejected/counts?code=no_value&device={team.device.public_id}").json()["results"]
        assert found == [
            {"device": team.device.public_id, "code": "no_value", "signal": "vehicle.speed", "count": 1300}
        ]
        assert client.get("/api/v1/rejected?code=out_of_range").json()["results"][0]["signal"] == "engine.rpm"
        assert client.get("/api/v1/rejected?device=x").json()["results"] == []
        assert client.get("/api/v1/rejected?signal=engine.load").json()["results"] == []


def test_the_page_of_rejected_readings_filters_and_says_what_to_do(portal: Portal, team: Team) -> None:
    client = sign_in(portal, team.users["operator"].email, team.password)
    assert "No reading was rejected" in client.get("/rejected").text
    store(portal, team, {"at": -1, "source": "obd", "vehicle.speed": 255, "engine.rpm": 99_999})
    page = client.get("/rejected").text
    assert "engine.rpm" in page
    assert "Check its unit and the sensor" in page
    assert team.device.name in page
    filtered = client.get(f"/rejected?code=no_value&device={team.device.public_id}").text
    assert "vehicle.speed" in filtered
    assert ">engine.rpm<" not in filtered
    assert "Nothing matches this filter" in client.get("/rejected?signal=fuel.level").text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "neither blocks nor rows"), ({"row": [{"time": 1, "values": {}}]}, "'row'"),
        ({"_type": "location", "lat": 52.1, "lon": 5.1, "tst": 1_795_860_000}, "'_type'"), ({"boot": "x", "seq": 1}, "neither"),
    ],
)  # fmt: skip
def test_h6_a_body_with_nothing_to_store_is_422(portal: Portal, team: Team, body: dict[str, Any], words: str) -> None:
    with portal.client(team.key) as client:
        answer = client.post("/api/v1/telemetry", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_h6_members_without_a_meaning_are_named(portal: Portal, team: Team) -> None:
    with portal.client(team.key) as client:
        row = {"vehicle": team.vehicle.public_id, "time": time.time(), "values": {"engine.rpm": 800}}
        answer = client.post("/api/v1/telemetry", json={"rows": [row], "device": "x", "version": 2}).json()
    assert (answer["readings"], answer["ignored"]) == (1, ["device", "version"])


def test_a2_a_number_in_quotes_settles_no_kind(portal: Portal, team: Team) -> None:
    assert codes(store(portal, team, {"at": -5, "custom.t1": "12.5"})) == ["wrong_type"]
    assert codes(store(portal, team, {"at": -4, "custom.t1": 12.5})) == []
    assert latest(portal, team)["custom.t1"]["value"] == 12.5
    assert codes(store(portal, team, {"at": -3, "custom.t2": "12.5"}, {"at": -2, "custom.t2": "D"})) == []
    assert latest(portal, team)["custom.t2"]["value"] == "D"


def test_a2_an_administrator_changes_a_signals_kind(portal: Portal, team: Team) -> None:
    assert codes(store(portal, team, {"at": -9, "custom.gear": "D"})) == []
    assert codes(store(portal, team, {"at": -8, "custom.gear": 3})) == ["wrong_type"]
    with portal.client(team.tokens["admin"]) as client:
        changed = client.patch("/api/v1/signals/custom.gear", json={"kind": "number", "unit": "1", "minimum": 0})
        assert (changed.status_code, changed.json()["kind"]) == (200, "number")
        assert client.patch("/api/v1/signals/engine.rpm", json={"kind": "text"}).status_code == 404
        made = client.post("/api/v1/signals", json={"name": "custom.note", "kind": "text"})
        assert made.status_code == 201
        assert client.post("/api/v1/signals", json={"name": "custom.note", "kind": "text"}).status_code == 409
    assert codes(store(portal, team, {"at": -7, "custom.gear": 3, "custom.note": "5"})) == []
    found = latest(portal, team)
    assert (found["custom.gear"]["value"], found["custom.note"]["value"]) == (3, "5")
    client = sign_in(portal, team.users["admin"].email, team.password)
    assert "custom.gear" in client.get("/signals").text
    form = {"kind": "text", "csrfmiddlewaretoken": client.cookies["motorpool-csrf"]}
    answer: httpx.Response = client.post("/signals/custom.gear", data=form, headers={"Referer": portal.url})
    assert answer.status_code == 302
    eventually(lambda: codes(store(portal, team, {"at": -6, "custom.gear": "D"})) == [], 5)


@pytest.mark.parametrize("points", ["0000000019999999999999", "1999999999", "00000000010", "-1", "1e3", "", "٣"])
def test_p1_f2_x8_points_are_bounded_by_the_value_that_is_used(portal: Portal, team: Team, points: str) -> None:
    path = f"/api/v1/vehicles/{team.vehicle.public_id}/history?signals=engine.rpm&points={points}"
    with portal.client(team.tokens["viewer"]) as client:
        assert client.get(path).status_code == 400


def test_g6_the_place_that_was_right_is_taken_for_the_same_moment(portal: Portal, team: Team) -> None:
    store(portal, team, at(-100, BERLIN))
    assert codes(store(portal, team, at(-90, (28.0, 2.0)))) == ["position_jump"] * 2
    assert codes(store(portal, team, at(-90, BERLIN))) == []


def test_g6_a_backlog_is_judged_by_what_is_known(portal: Portal, team: Team) -> None:
    store(portal, team, at(-10, BERLIN))
    assert codes(store(portal, team, at(-60, (28.0, 2.0)))) == ["position_jump"] * 2
    assert codes(store(portal, team, at(-86_400, (28.0, 2.0)))) == []  # a day is long enough for the way


def test_g6_g11_halves_of_messages_of_their_own_are_judged_in_pairs(portal: Portal, team: Team) -> None:
    def half(seconds: float, **values: float) -> dict[str, Any]:
        return {"at": seconds, "source": "can", **{f"location.{name}": value for name, value in values.items()}}

    assert codes(store(portal, team, half(-60, latitude=BERLIN[0]))) == []
    assert codes(store(portal, team, half(-59.9, longitude=BERLIN[1]))) == []
    assert codes(store(portal, team, half(-59, latitude=28.0))) == ["position_jump"]
    assert codes(store(portal, team, half(-58.9, longitude=BERLIN[1]))) == []
    assert codes(store(portal, team, half(-58, latitude=BERLIN[0]))) == []


def test_g6_a_jump_in_a_large_block_costs_next_to_nothing() -> None:
    positions = Positions()
    times = np.arange(10_000) * 100_000
    latitudes, longitudes = np.full(10_000, BERLIN[0]), np.full(10_000, BERLIN[1])
    latitudes[5_000] = 28.0
    begun = time.process_time()
    for _ in range(20):
        found = positions.jumps((1, 1), times, latitudes, longitudes)
        assert found is not None
        assert np.flatnonzero(found).tolist() == [5_000]
    assert time.process_time() - begun < 0.4

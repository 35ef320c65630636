"""Latest, history and summary say what was sent, in the asked unit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Team
from tests.portal import Portal

START = 1_767_225_600


def send(portal: Portal, team: Team, **block: Any) -> dict[str, Any]:
    with portal.client(team.key) as client:
        answer = client.post("/api/v1/telemetry", json={"blocks": [{"vehicle": team.vehicle.public_id, **block}]})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def get(portal: Portal, team: Team, what: str, status: int = 200, **query: Any) -> Any:
    with portal.client(team.tokens["viewer"]) as client:
        answer = client.get(f"/api/v1/vehicles/{team.vehicle.public_id}/{what}", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_few_frames_are_answered_raw(portal: Portal, team: Team) -> None:
    frames = [[START, 800, None], [START + 1, None, 50], [START + 2, 900, 60]]
    send(portal, team, signals=["engine.rpm", "vehicle.speed"], frames=frames)
    body = get(portal, team, "history", signals="engine.rpm,vehicle.speed", **{"from": START, "to": START + 10})
    assert body["resolution"] == "raw"
    assert body["times"] == [START, START + 1, START + 2]
    assert body["series"]["engine.rpm"] == {"unit": "1/min", "min": [800, None, 900], "max": [800, None, 900], "avg": [800, None, 900]}  # fmt: skip
    assert body["series"]["vehicle.speed"]["avg"] == [None, 50, 60]


def test_many_frames_become_buckets_that_keep_every_spike(portal: Portal, team: Team) -> None:
    values = [100 + i % 10 for i in range(2000)]
    values[777] = 9000
    send(portal, team, signals=["engine.rpm"], frames=[[START + i * 0.1, v] for i, v in enumerate(values)])
    body = get(portal, team, "history", signals="engine.rpm", points=10, **{"from": START, "to": START + 400})
    assert body["resolution"] == "40s"
    assert body["times"] == [START + 40 * i for i in range(10)]
    series = body["series"]["engine.rpm"]
    assert series["max"][:5] == [109, 9000, 109, 109, 109]
    assert series["min"][:5] == [100] * 5
    assert series["avg"][0] == pytest.approx(104.5)
    assert series["avg"][5:] == [None] * 5


def test_to_is_exclusive_and_from_inclusive(portal: Portal, team: Team) -> None:
    send(portal, team, signals=["engine.rpm"], frames=[[START + i, i] for i in range(5)])
    body = get(portal, team, "history", signals="engine.rpm", **{"from": START + 1, "to": START + 3})
    assert body["times"] == [START + 1, START + 2]
    written = get(portal, team, "history", signals="engine.rpm", **{"from": "2026-01-01T00:00:01Z", "to": "2026-01-01T01:00:03+01:00"})  # fmt: skip
    assert written == body


def test_sources_merge_or_stand_alone(portal: Portal, team: Team) -> None:
    send(portal, team, source="obd", signals=["vehicle.speed"], frames=[[START, 50]])
    send(portal, team, source="gps", signals=["vehicle.speed", "location.speed"], frames=[[START, 52, 51]])
    body = get(portal, team, "history", signals="vehicle.speed,location.speed", **{"from": START, "to": START + 1})
    assert body["times"] == [START]
    assert body["series"]["location.speed"]["avg"] == [51]
    alone = get(portal, team, "history", signals="vehicle.speed", source="gps", **{"from": START, "to": START + 1})
    assert alone["series"]["vehicle.speed"]["avg"] == [52]
    latest = get(portal, team, "latest")
    assert latest["signals"]["vehicle.speed"]["source"] == "obd"  # equal times: the lower source id


def test_texts_carry_values(portal: Portal, team: Team) -> None:
    frames = [[START + i, "D" if i < 600 else "R", float(i)] for i in range(1000)]
    send(portal, team, signals=["vehicle.gear", "engine.rpm"], frames=frames)
    query = {"signals": "vehicle.gear,engine.rpm", "from": START, "to": START + 1000}
    body = get(portal, team, "history", points=5, **query)
    assert body["series"]["vehicle.gear"] == {"unit": "", "value": ["D", "D", "D", "R", "R"]}
    raw = get(portal, team, "history", points=2000, **query)
    assert raw["resolution"] == "raw"
    assert raw["series"]["vehicle.gear"]["value"][599:601] == ["D", "R"]
    assert raw["series"]["engine.rpm"]["avg"][999] == 999


def test_summary_covers_everything_with_both_ends(portal: Portal, team: Team) -> None:
    send(portal, team, signals=["engine.rpm"], frames=[[START + 5, 30], [START, 10], [START + 9, 20]])
    body = get(portal, team, "summary")
    assert body == {
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-01-01T00:00:09Z",
        "signals": {
            "engine.rpm": {"unit": "1/min", "count": 3, "min": 10, "max": 30, "mean": 20, "first": 10, "last": 20}
        },
    }


def test_units_convert_on_the_way_out(portal: Portal, team: Team) -> None:
    send(portal, team, signals=["vehicle.speed", "engine.coolant_temp"], frames=[[START, 160.9344, 100]])
    latest = get(portal, team, "latest", units="imperial")["signals"]
    assert latest["vehicle.speed"]["unit"] == "mph"
    assert latest["vehicle.speed"]["value"] == pytest.approx(100)
    assert latest["engine.coolant_temp"]["value"] == pytest.approx(212)
    query = {"signals": "engine.coolant_temp", "from": START, "to": START + 1, "units": "imperial"}
    assert get(portal, team, "history", **query)["series"]["engine.coolant_temp"]["avg"] == [pytest.approx(212)]


def test_time_units_are_exact_to_the_microsecond(portal: Portal, team: Team) -> None:
    from telemetry import store

    for unit, factor in (("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)):
        moment = START + 0.123457
        block = {
            "vehicle": team.vehicle.public_id,
            "signals": ["engine.rpm"],
            "frames": [[round(moment * factor, 6), 5]],
        }
        with portal.client(team.key) as client:
            client.post("/api/v1/telemetry", json={"time_unit": unit, "blocks": [block]})
    span = store.Range(team.organization.pk, team.vehicle.pk, START * 1_000_000, (START + 1) * 1_000_000)
    assert [frame[0] for frame in store.read_frames(span, 10)] == [START * 1_000_000 + 123_457]


def test_a_fast_clock_is_stored_but_does_not_freeze_the_vehicle(portal: Portal, team: Team) -> None:
    import time

    now = time.time()
    send(portal, team, signals=["engine.rpm"], frames=[[now + 3600, 9999]])
    assert get(portal, team, "latest")["signals"] == {}
    send(portal, team, signals=["engine.rpm"], frames=[[now, 800]])
    assert get(portal, team, "latest")["signals"]["engine.rpm"]["value"] == 800
    query = {"signals": "engine.rpm", "from": now - 1, "to": now + 7200}
    assert get(portal, team, "history", **query)["series"]["engine.rpm"]["avg"] == [800, 9999]


def test_any_accepted_date_is_stored(portal: Portal, team: Team) -> None:
    for moment in ("2000-01-01T00:00:00Z", "2013-06-01T00:00:00Z", "2019-12-31T23:59:59Z", "2020-01-01T00:00:00Z"):
        row = {"vehicle": team.vehicle.public_id, "time": moment, "values": {"engine.rpm": 1}}
        with portal.client(team.key) as client:
            assert client.post("/api/v1/telemetry", json={"rows": [row]}).json()["readings"] == 1
    assert get(portal, team, "summary")["signals"]["engine.rpm"]["count"] == 4


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"signals": "no.such"},
        {"signals": "engine.rpm", "points": "0"},
        {"signals": "engine.rpm", "points": "99999999999999999999"},
        {"signals": "engine.rpm", "points": "-1"},
        {"signals": "engine.rpm", "from": "yesterday"},
        {"signals": "engine.rpm", "from": "1e400"},
        {"signals": "engine.rpm", "from": "nan"},
        {"signals": "engine.rpm", "from": "0001-01-01T00:00:00+14:00"},
        {"signals": "engine.rpm", "to": "9999-12-31T23:59:59-14:00"},
        {"signals": "engine.rpm", "from": "9999999999999999"},
        {"signals": "engine.rpm", "from": "5", "to": "4"},
        {"signals": "engine.rpm", "units": "nautical"},
        {"signals": "engine.rpm", "source": "no-such"},
    ],
)
def test_odd_questions_are_400_with_the_parameter_named(portal: Portal, team: Team, query: dict[str, str]) -> None:
    send(portal, team, signals=["engine.rpm"], frames=[[START, 1]])
    body = get(portal, team, "history", 400, **query)
    assert body["errors"]
    assert body["code"] == "invalid"


def test_a_nul_in_an_address_is_400(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["viewer"]) as client:
        for path in ("vehicles?search=%00", "vehicles/%00", "vehicles/1/history?signals=%00", "signals?page=%00"):
            assert client.get(f"/api/v1/{path}").status_code == 400


def test_a_vehicle_of_many_signals_is_summed_up(portal: Portal, team: Team) -> None:
    names = [f"my.s{i:03}" for i in range(450)]
    send(portal, team, signals=names, frames=[[START, *range(450)]])
    body = get(portal, team, "summary")
    assert len(body["signals"]) == 450


@pytest.mark.parametrize("cursor", ["cD1hYmM=", "cD0lMDA=", "cj0xJnA9AA==", "x"])
def test_odd_cursors_are_404(portal: Portal, team: Team, cursor: str) -> None:
    with portal.client(team.tokens["admin"]) as client:
        for path in ("rejected", "audit"):
            assert client.get(f"/api/v1/{path}?cursor={cursor}").status_code == 404


def test_an_empty_vehicle_answers_empty(portal: Portal, team: Team) -> None:
    assert get(portal, team, "latest")["state"] == "never"
    assert get(portal, team, "summary")["signals"] == {}
    assert get(portal, team, "history", signals="engine.rpm")["times"] == []

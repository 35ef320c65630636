"""Rollups answer what the frames alone would: whatever the order, whatever the sink still has to do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import rollup_sink, sinks
from telemetry.models import SinkProgress
from tests.conftest import Team, make_team
from tests.portal import Portal
from tests.telemetry.test_history import get, send

HOUR = 3_600
START = 1_767_225_600
SIGNALS = ["engine.rpm", "vehicle.speed"]
Frames = dict[float, list[float | None]]


def roll_up() -> None:
    """Run the sinks, without the rest between two turns."""
    SinkProgress.objects.update(lease_until=None)
    sinks.run_all()


def stored_hours(team: Team) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM hour)::float8, source_id, minutes, counts, sums, lasts, minute_counts"
            " FROM telemetry_rollup WHERE vehicle_id = %s ORDER BY 1, 2",
            [team.vehicle.pk],
        )
        return list(cursor.fetchall())


def assert_history_is(
    portal: Portal, team: Team, frames: Frames, start: float, end: float, points: int
) -> dict[str, Any]:
    query = {"signals": ",".join(SIGNALS), "from": start, "to": end, "points": points}
    body: dict[str, Any] = get(portal, team, "history", **query)
    times = np.array(body["times"])
    if body["resolution"] == "raw":
        edges = np.append(times, end)
    else:
        edges = np.append(times, times[-1] + float(body["resolution"][:-1]))
    for column, signal in enumerate(SIGNALS):
        series = body["series"][signal]
        given = sorted((t, row[column]) for t, row in frames.items() if row[column] is not None and start <= t < end)
        for index, (low, high) in enumerate(pairwise(edges)):
            values = [v for t, v in given if low <= t < high]
            if not values:
                assert series["min"][index] is None
                continue
            assert series["min"][index] == min(values)
            assert series["max"][index] == max(values)
            assert series["avg"][index] == pytest.approx(sum(values) / len(values))
    return body


def drive(hours: float, step: float, offset: float = 0) -> Frames:
    times = START + offset + np.arange(0, hours * HOUR, step)
    return {
        round(float(t), 3): [float(i % 977), None if i % 3 else float(i % 31)] for i, t in enumerate(times.tolist())
    }


def send_all(portal: Portal, team: Team, frames: Frames, source: str = "obd") -> None:
    rows = [[t, *values] for t, values in frames.items()]
    for first in range(0, len(rows), 5_000):
        send(portal, team, source=source, signals=SIGNALS, frames=rows[first : first + 5_000])


def test_dense_hours_keep_their_minutes_and_equal_the_frames(portal: Portal, team: Team) -> None:
    frames = drive(6, 2.5)
    send_all(portal, team, frames)
    before = assert_history_is(portal, team, frames, START, START + 6 * HOUR, 100)
    roll_up()
    assert all(row[2] == 60 for row in stored_hours(team))
    after = assert_history_is(portal, team, frames, START, START + 6 * HOUR, 100)
    assert after["resolution"] == before["resolution"] == "240s"
    assert_history_is(portal, team, frames, START + 777.7, START + 5 * HOUR + 333, 50)  # edges within a minute
    assert assert_history_is(portal, team, frames, START + 61, START + 6 * HOUR, 3)["resolution"] == "7200s"


def test_sparse_hours_keep_no_minutes_and_take_less_space_than_their_frames(portal: Portal, team: Team) -> None:
    frames = drive(12, 60)
    send_all(portal, team, frames)
    roll_up()
    assert all(row[2] == 0 and row[6] == [] for row in stored_hours(team))
    assert_history_is(portal, team, frames, START, START + 12 * HOUR, 100)
    assert_history_is(portal, team, frames, START, START + 12 * HOUR, 6)


def test_sources_merge_in_the_rollups_too(portal: Portal, team: Team) -> None:
    obd, gps = drive(5, 2), drive(5, 45, 0.5)
    send_all(portal, team, obd, "obd")
    send_all(portal, team, gps, "gps")
    roll_up()
    assert_history_is(portal, team, obd | gps, START, START + 5 * HOUR, 60)
    query = {"signals": "engine.rpm", "from": START, "to": START + 5 * HOUR, "points": 5, "source": "gps"}
    assert get(portal, team, "history", **query)["series"]["engine.rpm"]["max"][0] == max(
        row[0] or 0 for t, row in gps.items() if t < START + HOUR
    )


def test_late_data_and_corrections_are_rolled_up_again(portal: Portal, team: Team) -> None:
    frames = drive(5, 3)
    send_all(portal, team, frames)
    roll_up()
    late = {START + 2 * HOUR + 30.5: [9_000.0, 200.0], START + 30 * 60: [1.0, None]}
    send_all(portal, team, late)
    merged = frames | {t: [a if a is not None else frames.get(t, [None, None])[0], b] for t, (a, b) in late.items()}
    merged[START + 30 * 60] = [1.0, frames[START + 30 * 60][1]]
    assert_history_is(portal, team, merged, START, START + 5 * HOUR, 60)  # not rolled up yet
    roll_up()
    assert_history_is(portal, team, merged, START, START + 5 * HOUR, 60)
    assert_history_is(portal, team, merged, START, START + 5 * HOUR, 5)


def test_a_scattered_import_touches_only_its_hours(portal: Portal, team: Team) -> None:
    scattered: Frames = {START - k * 90 * 24 * HOUR + 5: [float(k), None] for k in range(12)}
    send_all(portal, team, scattered)
    roll_up()
    assert len(stored_hours(team)) == 12
    assert_history_is(portal, team, scattered, START - 11 * 90 * 24 * HOUR, START + HOUR, 10)


def test_summary_uses_the_rollups(portal: Portal, team: Team) -> None:
    frames = drive(7, 5)
    send_all(portal, team, frames)
    roll_up()
    found = get(portal, team, "summary")["signals"]["vehicle.speed"]
    values = [row[1] for row in frames.values() if row[1] is not None]
    assert (found["count"], found["min"], found["max"]) == (len(values), min(values), max(values))
    assert found["mean"] == pytest.approx(sum(values) / len(values))
    assert (found["first"], found["last"]) == (values[0], values[-1])


def test_repeating_the_sink_changes_nothing(portal: Portal, team: Team) -> None:
    send_all(portal, team, drive(2, 2))
    roll_up()
    before = stored_hours(team)
    SinkProgress.objects.filter(vehicle_id=team.vehicle.pk).update(version=0)
    roll_up()
    assert stored_hours(team) == before


def test_a_long_import_is_rolled_up_in_turns(portal: Portal, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_sink, "READINGS_PER_RUN", 1_000)
    monkeypatch.setattr(rollup_sink, "BATCHES_PER_VEHICLE", 2)
    frames = drive(5, 2)
    rows = [[t, *values] for t, values in frames.items()]
    for first in range(0, len(rows), 500):
        send(portal, team, source="obd", signals=SIGNALS, frames=rows[first : first + 500])
    roll_up()
    progress = SinkProgress.objects.get(sink="rollups", vehicle_id=team.vehicle.pk)
    assert progress.version == 18
    assert_history_is(portal, team, frames, START, START + 5 * HOUR, 60)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_mixture_of_batches_and_turns_equals_the_frames(portal: Portal, data: st.DataObject) -> None:
    team = make_team()
    frames: Frames = {}
    for _ in range(data.draw(st.integers(1, 5))):
        step = data.draw(st.sampled_from([0.5, 4, 59, 60, 700]))
        start = START + data.draw(st.integers(0, 5 * HOUR))
        count = data.draw(st.integers(1, 3_000))
        base = data.draw(st.integers(0, 100))
        both = data.draw(st.booleans())
        part: Frames = {}
        for i in range(count):
            part[round(start + i * step, 3)] = [float(base + i % 50), float(i % 7) if both else None]
        part = {t: v for t, v in part.items() if t < START + 8 * HOUR}
        send_all(portal, team, part)
        for t, (a, b) in part.items():
            old = frames.get(t, [None, None])
            frames[t] = [old[0] if a is None else a, old[1] if b is None else b]
        if data.draw(st.booleans()):
            roll_up()
    points = data.draw(st.sampled_from([2, 8, 30, 133]))
    first = START + data.draw(st.integers(0, 4_000))
    assert_history_is(portal, team, frames, first, START + 8 * HOUR, points)


def test_who_lost_the_lease_writes_nothing(portal: Portal, team: Team) -> None:
    import uuid

    send_all(portal, team, drive(1, 2))
    version = SinkProgress.objects.filter(vehicle_id=team.vehicle.pk, sink="rollups").first()
    assert version is None or version.version == 0
    late = sinks.Claim(team.organization.pk, team.vehicle.pk, 0, 10, uuid.uuid4())
    rollup_sink.roll_up([late])
    assert stored_hours(team) == []
    roll_up()
    assert stored_hours(team)

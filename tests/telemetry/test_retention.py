"""What organizations no longer keep is let go: whole partitions, vehicle by vehicle, buffers; never what they keep."""

from __future__ import annotations

import time

from fleet.accounts.models import Organization
from telemetry import retention, store
from telemetry.models import SinkProgress
from tests.conftest import Team, make_team
from tests.portal import Portal
from tests.telemetry.test_history import get, send
from tests.telemetry.test_rollups import HOUR, START, Frames, assert_history_is, roll_up, send_all, stored_hours


def test_retention_drops_whole_partitions_and_keeps_the_rollups(portal: Portal) -> None:
    team, _ = make_team(), make_team()
    old = time.time() - 100 * 86_400
    base = old // HOUR * HOUR
    frames: Frames = {round(base + i * 2, 3): [float(i % 100), None] for i in range(5 * 1_800)}
    send_all(portal, team, frames)
    roll_up()
    Organization.objects.filter(pk=team.organization.pk).update(frame_days=30)
    before = {partition.name for partition in store.list_partitions()}
    others = Organization.objects.exclude(pk=team.organization.pk)
    retention.apply()
    assert others.exists()
    with_frames = store.Range(team.organization.pk, team.vehicle.pk, int(base * 1e6), int((base + 5 * HOUR) * 1e6))
    assert store.read_frames(with_frames, 10) == []
    assert_history_is(portal, team, frames, base, base + 5 * HOUR, 50)
    assert {partition.name for partition in store.list_partitions()} <= before
    Organization.objects.filter(pk=team.organization.pk).update(rollup_days=60)
    retention.apply()
    assert stored_hours(team) == []
    query = {"signals": "engine.rpm", "from": base, "to": base + 5 * HOUR}
    assert get(portal, team, "history", **query)["times"] == []


def test_a_partition_that_nobody_keeps_is_dropped_and_made_again_on_demand(portal: Portal) -> None:
    team = make_team()
    lonely = {"vehicle": team.vehicle.public_id, "time": "2021-03-03T00:00:00Z", "values": {"engine.rpm": 1}}
    with portal.client(team.key) as client:
        assert client.post("/api/v1/telemetry", json={"rows": [lonely]}).json()["readings"] == 1
        names = {partition.name for partition in store.list_partitions()}
        Organization.objects.filter(pk=team.organization.pk).update(frame_days=30)
        retention.apply()
        gone = names - {partition.name for partition in store.list_partitions()}
        assert "telemetry_frame_20210303" in gone
        Organization.objects.filter(pk=team.organization.pk).update(frame_days=None)
        answer = client.post("/api/v1/telemetry", json={"rows": [lonely]})
        assert (answer.status_code, answer.json()["readings"]) == (200, 1)
    assert "telemetry_frame_20210303" in {partition.name for partition in store.list_partitions()}


def test_a_buffer_keeps_only_the_last_seconds(portal: Portal, team: Team) -> None:
    Organization.objects.filter(pk=team.organization.pk).update(buffer_seconds=60)
    now = time.time()
    frames: Frames = {round(now - 600 + i, 3): [float(i), None] for i in range(600)}
    send_all(portal, team, frames)
    roll_up()
    retention.trim_buffers()
    assert stored_hours(team) == []
    times = get(portal, team, "history", signals="engine.rpm", points=5_000)["times"]
    assert 50 <= len(times) <= 60
    assert get(portal, team, "latest")["signals"]["engine.rpm"]["value"] == 599


def test_processed_batches_leave_the_outbox(portal: Portal, team: Team) -> None:
    from django.db import connection

    send(portal, team, signals=["engine.rpm"], frames=[[START, 1]])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_batch SET created_at = now() - interval '2 d' WHERE vehicle_id = %s", [team.vehicle.pk]
        )
    retention.apply()
    assert len(store.read_batches(team.organization.pk, team.vehicle.pk, 0, 10)) == 1  # nobody has processed it
    roll_up()
    retention.apply()
    assert store.read_batches(team.organization.pk, team.vehicle.pk, 0, 10) == []


def old_hours(portal: Portal, days: int, hours: int = 5) -> tuple[Team, float, Frames]:
    """A team with dense hours that began so many days ago, rolled up."""
    team = make_team()
    base = (time.time() - days * 86_400) // HOUR * HOUR
    frames: Frames = {round(base + i * 2, 3): [float(i % 100), None] for i in range(hours * 1_800)}
    send_all(portal, team, frames)
    roll_up()
    return team, base, frames


def test_late_data_does_not_erase_rollups_whose_frames_are_gone(portal: Portal) -> None:
    team, base, frames = old_hours(portal, 100)
    Organization.objects.filter(pk=team.organization.pk).update(frame_days=30)
    retention.apply()
    send_all(portal, team, {base + 10: [5.0, None]})
    assert_history_is(portal, team, frames, base, base + 5 * HOUR, 5)  # while the batch waits
    roll_up()
    assert_history_is(portal, team, frames, base, base + 5 * HOUR, 5)


def test_an_interrupted_drop_blocks_nothing(portal: Portal, team: Team) -> None:
    from django.db import connection

    row = {"vehicle": team.vehicle.public_id, "time": "2005-05-05T00:00:00Z", "values": {"engine.rpm": 1}}
    with portal.client(team.key) as client:
        assert client.post("/api/v1/telemetry", json={"rows": [row]}).status_code == 200
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE telemetry_frame DETACH PARTITION telemetry_frame_20050101")
        again = client.post("/api/v1/telemetry", json={"rows": [row]})
        assert (again.status_code, again.json()["duplicates"]) == (200, 1)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE telemetry_frame DETACH PARTITION telemetry_frame_20050101")
        retention.apply()
        assert "telemetry_frame_20050101" in {partition.name for partition in store.list_partitions()}


def test_switching_a_buffer_off_leaves_no_hole(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        admin.patch("/api/v1/organization", json={"buffer_seconds": 86_400}).raise_for_status()
        base = time.time() // HOUR * HOUR - 6 * HOUR
        frames: Frames = {round(base + i * 5, 3): [float(i % 100), None] for i in range(5 * 720)}
        send_all(portal, team, frames)
        roll_up()
        assert stored_hours(team) == []
        admin.patch("/api/v1/organization", json={"buffer_seconds": None}).raise_for_status()
    assert_history_is(portal, team, frames, base, base + 6 * HOUR, 50)


def test_retention_has_bounds(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["admin"]) as admin:
        for name in ("frame_days", "rollup_days", "buffer_seconds"):
            assert admin.patch("/api/v1/organization", json={name: 2_147_483_647}).status_code == 400


def test_a_rollup_partition_that_was_dropped_is_made_again(portal: Portal) -> None:
    team, base, frames = old_hours(portal, 2_000)
    Organization.objects.filter(pk=team.organization.pk).update(frame_days=30, rollup_days=60)
    retention.apply()
    assert stored_hours(team) == []
    Organization.objects.filter(pk=team.organization.pk).update(frame_days=None, rollup_days=None)
    again = {t + 1: v for t, v in frames.items()}
    send_all(portal, team, again)
    roll_up()
    assert SinkProgress.objects.get(sink="rollups", vehicle_id=team.vehicle.pk).error == ""
    assert_history_is(portal, team, again, base, base + 6 * HOUR, 5)

"""Metrics, logs, the staff's page, backup and restore, sweeping without a broker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection

from telemetry.models import SinkProgress
from tests.conftest import Team, _numbers
from tests.portal import ROOT, Portal, database_url, running_portal
from tests.telemetry.test_history import START, get, send
from tests.test_tenancy import sign_in


def metric(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", text, re.MULTILINE)
    assert found, name
    return float(found.group(1))


@pytest.mark.usefixtures("_database")
def test_metrics_count_what_happened(tmp_path: Path, team: Team) -> None:
    with running_portal(tmp_path, METRICS_TOKEN="scrape-me-0123456789") as portal:
        send(portal, team, signals=["engine.rpm"], frames=[[START, 1], [START + 1, 99_999]])
        send(portal, team, signals=["engine.rpm"], frames=[[START, 1]])
        with portal.client("mpd_unknown") as client:
            client.post("/api/v1/telemetry", json={"rows": []})
        assert httpx.get(f"{portal.url}/metrics", trust_env=False).status_code == 401
        with portal.client("scrape-me-0123456789") as scraper:
            text = scraper.get("/metrics").text
    assert metric(text, "motorpool_ingest_acked_requests_total") == 2
    assert metric(text, 'motorpool_ingest_readings_total{result="accepted"}') == 2
    assert metric(text, 'motorpool_ingest_readings_total{result="duplicate"}') == 1
    assert metric(text, 'motorpool_ingest_readings_total{result="rejected"}') == 1
    assert metric(text, 'motorpool_ingest_refused_requests_total{status="401"}') == 1
    assert metric(text, "motorpool_live_sockets") == 0
    assert metric(text, 'motorpool_sink_waiting_vehicles{sink="rollups"}') >= 1
    assert metric(text, 'motorpool_outbox_age_seconds{sink="state"}') >= 0
    assert metric(text, "motorpool_frame_partitions") >= 1


def test_every_request_leaves_one_line_with_its_id_and_no_secret(portal: Portal, team: Team) -> None:
    with portal.client(team.tokens["viewer"]) as client:
        answer = client.get("/api/v1/auth/me?secret=hidden", headers={"X-Request-Id": "my-own-id-1234"})
        assert answer.headers["X-Request-Id"] == "my-own-id-1234"
        assert client.get("/invitations/mpi_abcdefghijklmnop").status_code == 404
        assert len(client.get("/api/v1/auth/me", headers={"X-Request-Id": "no\tgood"}).headers["X-Request-Id"]) == 32
    sign_in(portal, team.users["viewer"].email, team.password).close()
    lines = portal.log.read_text().splitlines()
    mine = [json.loads(line) for line in lines if "my-own-id-1234" in line]
    assert [(line["route"], line["status"], line["organization"]) for line in mine] == [
        ("api/v1/auth/me", 200, team.organization.pk)
    ]
    text = "\n".join(lines)
    for secret in ("hidden", "mpi_abcdefghijklmnop", team.tokens["viewer"], team.key, team.password):
        assert secret not in text


def test_staff_see_what_was_given_up_and_take_it_up_again(portal: Portal, team: Team) -> None:
    from fleet.accounts.models import User

    send(portal, team, signals=["engine.rpm"], frames=[[START, 1]])
    SinkProgress.objects.update_or_create(
        sink="rollups", vehicle_id=team.vehicle.pk,
        defaults={"dead_at": "2026-01-01T00:00:00Z", "attempts": 5, "error": "broken on purpose"},
    )  # fmt: skip
    User.objects.filter(pk=team.users["admin"].pk).update(is_staff=True)
    with closing(sign_in(portal, team.users["admin"].email, team.password)) as staff:
        page = staff.get("/system")
        assert "broken on purpose" in page.text
        assert staff.get("/metrics").status_code == 200
        data = {"revive": f"rollups:{team.vehicle.pk}", "csrfmiddlewaretoken": staff.cookies["motorpool-csrf"]}
        assert staff.post("/system", data=data, headers={"Referer": portal.url}).status_code == 302
    assert SinkProgress.objects.get(sink="rollups", vehicle_id=team.vehicle.pk).dead_at is None


def manage(*arguments: str, database: str = "") -> subprocess.CompletedProcess[str]:
    import os

    environment = {**os.environ, "DATABASE_URL": database or database_url(), "LOG_LEVEL": "warning"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_backup_restore_into_an_empty_database_and_sign_in(portal: Portal, team: Team, tmp_path: Path) -> None:
    frames = [[START + i, i % 50, "D" if i % 7 else "R"] for i in range(3_000)]
    send(portal, team, signals=["engine.rpm", "vehicle.gear"], frames=frames)
    send(portal, team, signals=["engine.rpm"], frames=[[START - 400 * 86_400, 7]])
    manage("sweep")
    archive = tmp_path / "motorpool.zip"
    made = manage("backup", str(archive))
    assert made.returncode == 0, made.stderr
    again = manage("restore", str(archive))
    assert again.returncode != 0
    assert "in use" in again.stderr
    name = f"restored_{next(_numbers)}"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    url = database_url().rsplit("/", 1)[0] + f"/{name}"
    try:
        restored = manage("restore", str(archive), database=url)
        assert restored.returncode == 0, restored.stderr
        assert "counts and checksums agree" in restored.stdout
        with psycopg.connect(url) as opened:
            for table in ("telemetry_frame", "telemetry_rollup", "accounts_user", "vehicles_device", "telemetry_batch"):
                query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t"
                with connection.cursor() as cursor:
                    cursor.execute(query)
                    expected = cursor.fetchone()
                opened.execute("SET timezone = 'UTC'")
                assert opened.execute(query).fetchone() == expected, table  # type: ignore[arg-type]
        with running_portal(tmp_path, DATABASE_URL=url) as other:
            sign_in(other, team.users["admin"].email, team.password).close()
            query = {"signals": "engine.rpm", "from": START, "to": START + 3_000, "points": 10}
            assert get(other, team, "history", **query) == get(portal, team, "history", **query)
            send(other, team, signals=["engine.rpm"], frames=[[time.time(), 1]])
            with other.client(team.tokens["admin"]) as client:
                assert client.post("/api/v1/vehicles", json={"name": "after the restore"}).status_code == 201
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_damaged_archive_leaves_nothing_behind(tmp_path: Path, portal: Portal, team: Team) -> None:
    import zipfile

    archive, damaged = tmp_path / "good.zip", tmp_path / "bad.zip"
    assert manage("backup", str(archive)).returncode == 0
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(damaged, "w") as target:
        for entry in source.namelist():
            data: Any = source.read(entry)
            if entry == "accounts_organization.copy":
                data = b"\n".join(data.split(b"\n")[1:])
            target.writestr(entry, data)
    name = f"damaged_{next(_numbers)}"
    migrated = connection.settings_dict["TEST"].get("TEMPLATE") or "template1"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated}"')
    url = database_url().rsplit("/", 1)[0] + f"/{name}"
    try:
        refused = manage("restore", str(damaged), database=url)
        assert refused.returncode != 0
        with psycopg.connect(url) as opened:
            assert opened.execute("SELECT count(*) FROM accounts_user").fetchone() == (0,)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_no_issued_secret_is_in_a_backup(portal: Portal, team: Team, tmp_path: Path) -> None:
    import zipfile

    with portal.client(team.tokens["admin"]) as admin:
        secrets = [admin.post("/api/v1/tokens", json={"name": f"t{i}"}).json()["token"] for i in range(20)]
        secrets += [admin.post("/api/v1/devices", json={"name": f"d{i}"}).json()["key"] for i in range(20)]
        secrets += [
            admin.post("/api/v1/invitations", json={"email": f"i{i}@example.com"}).json()["link"].rsplit("/", 1)[1]
            for i in range(10)
        ]
    archive = tmp_path / "backup.zip"
    assert manage("backup", str(archive)).returncode == 0
    with zipfile.ZipFile(archive) as opened:
        dump = b"".join(opened.read(entry) for entry in opened.namelist())
    assert len(secrets) == 50
    assert not [secret for secret in [*secrets, team.password] if secret.encode() in dump]
    assert b"i3@example.com" in dump  # the search itself finds what is there

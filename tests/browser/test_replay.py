"""A real recording, replayed by the collector, is watched live on the vehicle page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Trouble, new_page, sign_in
from tests.browser.demo import Demo
from tests.collector.test_collector import TORQUE
from tests.portal import ROOT, eventually

pytestmark = pytest.mark.browser


def test_a_torque_recording_moves_the_page(
    browser: Browser, demo: Demo, trouble: Trouble, tmp_path: Path, shared_data: Path
) -> None:
    headers = {"Authorization": f"Bearer {demo.facts['api_token']}"}
    client = httpx.Client(base_url=demo.url, headers=headers, trust_env=False)
    vehicle = client.post("/api/v1/vehicles", json={"name": "Volt"}).json()["id"]
    key = client.post("/api/v1/devices", json={"name": "Torque", "vehicles": [vehicle]}).json()["key"]
    command = [sys.executable, "-m", "motorpool_collector", "replay", str(shared_data / TORQUE), "--portal", demo.url]
    command += ["--speed", "200", "--rebase", "--spool", str(tmp_path / "spool.sqlite3")]
    environment = {**os.environ, "MOTORPOOL_KEY": key, "PYTHONPATH": str(ROOT / "collector" / "src")}
    context, page = new_page(browser, demo.url, trouble)
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.goto(f"{demo.url}/vehicles/{vehicle}")
    assert page.locator("[data-empty]").is_visible()
    process = subprocess.Popen(command, env=environment)
    try:
        seen: set[str] = set()

        def moves() -> bool:
            seen.add(" ".join(page.locator("tr[data-signal] td:nth-of-type(2)").all_inner_texts()))
            return len(seen) >= 4

        eventually(moves, 45)
        assert page.locator(".chart canvas").count() >= 4
        assert page.locator("[data-empty]").is_hidden()
        speed = page.locator('[data-signal="vehicle.speed"] td').nth(1).inner_text()
        assert float(speed) == 0  # the placeholder of 255 km/h never arrives
    finally:
        process.terminate()
        process.wait(20)
    assert trouble == Trouble()
    context.close()

"""Connect a car in Chromium, at the demo's simulated maker's cloud, and see it live."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Trouble, new_page, sign_in
from tests.browser.demo import Demo
from tests.portal import eventually

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, demo: Demo, trouble: Trouble) -> Any:
    context, opened = new_page(browser, demo.url, trouble, viewport={"width": 1440, "height": 900})
    yield opened
    context.close()


def value(page: Page, signal: str) -> str:
    cell = page.locator(f'[data-signal="{signal}"] [data-value]')
    return cell.first.inner_text() if cell.count() else ""


def test_two_cars_are_connected_and_a_webhook_moves_the_page(page: Page, demo: Demo, trouble: Trouble) -> None:
    sign_in(page, demo.url, demo.facts["users"]["admin"])
    page.click("text=Connections")
    page.click("text=Connect a car")
    page.wait_for_url(re.compile("/oauth/authorize"))
    cloud = page.url.split("/oauth/")[0]
    boxes = page.locator("input[name=vehicle]")
    for index in range(boxes.count()):
        boxes.nth(index).set_checked(index < 2)
    page.click("#allow")
    page.wait_for_url(f"{demo.url}/connections")
    assert "Connected:" in page.locator(".notice").first.inner_text()
    rows = page.locator("section[aria-label='Connected vehicles'] tbody tr")
    assert rows.count() == 2
    addresses = [rows.nth(i).locator("th a").get_attribute("href") or "" for i in range(2)]
    electric = ""
    for address in addresses:
        page.goto(demo.url + address)
        for signal in ("location.latitude", "location.longitude", "vehicle.odometer"):
            eventually(lambda signal=signal: value(page, signal), 60)  # type: ignore[misc]
        if value(page, "traction_battery.soc"):
            electric = address
        else:
            eventually(lambda: value(page, "fuel.level"), 10)
    page.goto(demo.url + electric)
    remote = httpx.get(
        f"{demo.url}/api/v1/connections", headers={"Authorization": f"Bearer {demo.facts['api_token']}"}
    ).json()["results"]
    car = next(r["remote_id"] for r in remote if f"/vehicles/{r['vehicle']}" == electric)
    eventually(lambda: page.locator("[data-freshness]").inner_text().startswith("Live"), 15)
    charge = 61 if value(page, "traction_battery.soc") != "61" else 62
    assert httpx.post(f"{cloud}/control/vehicles/{car}", json={"soc": charge}).status_code == 200
    eventually(lambda: value(page, "traction_battery.soc") == str(charge), 2)
    page.click("text=Controls")
    page.click("text=Lock >> nth=0")
    eventually(lambda: "succeeded" in page.locator("[aria-label='Commands']").inner_text(), 20)
    foreign = {url for url in trouble.foreign if not url.startswith(cloud)}
    assert (trouble.console, foreign) == ([], set())

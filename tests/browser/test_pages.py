"""The pages of the demo in Chromium: alive, quiet on the console, asking no other host."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Trouble, new_page, sign_in
from tests.browser.demo import Demo
from tests.portal import eventually

pytestmark = pytest.mark.browser
SIZES = [("light", 1440, 900), ("dark", 390, 844)]


@pytest.fixture(params=SIZES, ids=["light-wide", "dark-narrow"])
def page(request: pytest.FixtureRequest, browser: Browser, demo: Demo, trouble: Trouble) -> Any:
    scheme, width, height = request.param
    context, opened = new_page(
        browser, demo.url, trouble, color_scheme=scheme, viewport={"width": width, "height": height}
    )
    yield opened
    context.close()


def number(page: Page, signal: str) -> float:
    return float(page.locator(f'[data-signal="{signal}"] [data-value]').first.inner_text() or "nan")


@pytest.mark.parametrize("vehicle", ["Focus ST", "City EV"])
def test_a_vehicle_page_moves_live(page: Page, demo: Demo, trouble: Trouble, vehicle: str) -> None:
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.click(f"text={vehicle}")
    signals = ["engine.rpm", "vehicle.speed"] if vehicle == "Focus ST" else ["motor.rpm", "vehicle.speed"]
    for signal in signals:
        seen: set[float] = set()

        def moved(signal: str = signal, seen: set[float] = seen) -> bool:
            seen.add(number(page, signal))
            return len(seen) >= 4

        eventually(moved, 30)
    eventually(lambda: page.locator("[data-freshness]").inner_text().startswith("Live"), 10)
    assert page.locator(".chart canvas").count() >= 4
    assert page.locator("[data-state]").first.get_attribute("data-state") == "moving"
    assert trouble == Trouble()


def test_a_car_is_diagnosed(page: Page, demo: Demo, trouble: Trouble) -> None:
    sign_in(page, demo.url, demo.facts["users"]["operator"])
    page.click("text=Focus ST")
    page.click("text=Diagnostics")
    page.click("text=Read codes")
    eventually(lambda: "P0299" in page.locator("[aria-label='Trouble codes']").inner_text(), 15)
    assert "boosts too little" in page.locator("[aria-label='Trouble codes']").inner_text()
    page.fill("input[name=pid]", "010C")
    page.fill("input[name=formula]", "(A*256+B)/4")
    begun = time.monotonic()
    page.click("text=Ask the vehicle")
    eventually(lambda: "=" in page.locator("[aria-label='Commands'] tbody tr").first.inner_text(), 10)
    assert time.monotonic() - begun < 3
    page.fill("input[name=pid]", "04")
    page.click("text=Ask the vehicle")
    assert "two to eight hex bytes" in page.locator("body").inner_text()
    trouble.console = [line for line in trouble.console if "422" not in line]  # the refusal above
    assert trouble == Trouble()


def test_every_page_is_quiet_and_local(page: Page, demo: Demo, trouble: Trouble) -> None:
    page.goto(demo.url + "/accounts/signup/")
    page.goto(demo.url + "/accounts/password/reset/")
    sign_in(page, demo.url, demo.facts["users"]["admin"])
    for path in (
        "/", "/vehicles", "/vehicles?state=charging", "/devices", "/tokens", "/members", "/organization", "/account",
        "/accounts/2fa/", "/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/", "/accounts/sessions/",
        "/accounts/email/", "/accounts/password/change/", "/organizations/new", "/connections", "/alerts?state=",
        "/rules", "/rules/new", "/channels", "/geofences", "/docs",
    ):  # fmt: skip
        page.goto(demo.url + path)
        if path != "/docs":
            width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert width <= 0, f"{path} is {width} px wider than the screen"
        page.wait_for_load_state("networkidle") if path == "/docs" else page.wait_for_timeout(300)
    assert page.locator(".opblock").count() > 10  # the API's documentation, drawn without any other host
    assert trouble == Trouble()
    page.goto(demo.url + "/vehicles/999999")
    assert "nothing here" in page.content()


def test_the_overview_counts_every_vehicle_once(page: Page, demo: Demo) -> None:
    sign_in(page, demo.url, demo.facts["users"]["operator"])
    counts = page.locator("[data-count]")

    def states() -> dict[str, int]:
        return {
            str(page.locator("[data-tile]").nth(i).get_attribute("data-tile")): int(counts.nth(i).inner_text())
            for i in range(counts.count())
        }

    eventually(lambda: states()["moving"] >= 2 and states()["charging"] == 1, 20)
    assert sum(states().values()) == page.locator("[data-vehicle]").count()
    assert states()["never"] == 1


@pytest.mark.long
@pytest.mark.parametrize("page", SIZES[:1], indirect=True)
def test_a_lost_connection_is_told_and_mended(page: Page, demo: Demo) -> None:
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    light = page.locator("[data-freshness]")
    eventually(lambda: light.inner_text().startswith("Live"), 10)
    page.context.set_offline(True)
    page.evaluate("() => performance.now()")
    eventually(lambda: not light.inner_text().startswith("Live"), 60)
    page.context.set_offline(False)
    eventually(lambda: light.inner_text().startswith("Live"), 45)


def test_a_theme_is_remembered(page: Page, demo: Demo) -> None:
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.click('[aria-label="Switch between light and dark"]')
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.goto(demo.url + "/vehicles")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_keys_lead_to_pages(page: Page, demo: Demo) -> None:
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.keyboard.press("g")
    page.keyboard.press("v")
    page.wait_for_url(demo.url + "/vehicles")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"


def test_a_signal_that_is_told_once_is_shown(page: Page, demo: Demo, trouble: Trouble) -> None:
    """A page that is open before its vehicle's first reading shows it, though no second one follows."""
    with httpx.Client(base_url=demo.url, headers={"Authorization": f"Bearer {demo.facts['api_token']}"}) as api:
        vehicle = api.post("/api/v1/vehicles", json={"name": "Told once"}).json()["id"]
        key = api.post("/api/v1/devices", json={"name": "once", "vehicles": [vehicle]}).json()["key"]
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.goto(f"{demo.url}/vehicles/{vehicle}")
    eventually(lambda: page.locator("[data-freshness]").inner_text() != "Connecting …", 15)
    row = {
        "time": time.time(),
        "source": "smartcar",
        "values": {"location.latitude": 52.52081, "vehicle.odometer": 48211},
    }
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.post(f"{demo.url}/api/v1/telemetry", json={"rows": [row]}, headers=headers).status_code == 200
    eventually(lambda: page.locator('[data-signal="vehicle.odometer"] [data-value]').inner_text() == "48211", 10)
    eventually(lambda: page.locator('[data-signal="location.latitude"] [data-value]').inner_text() == "52.52081", 5)
    assert trouble == Trouble()


def test_f24_a_new_signal_appears_although_the_network_was_away(page: Page, demo: Demo) -> None:
    sign_in(page, demo.url, demo.facts["users"]["viewer"])
    page.click("text=City EV")
    eventually(lambda: page.locator("[data-freshness]").inner_text().startswith("Live"), 10)
    vehicle = page.url.rstrip("/").rsplit("/", 1)[1]
    key = next(key for name, key in demo.facts["device_keys"].items() if "ev" in name.lower())
    name = f"custom.f24_{time.time_ns() % 10**9}"
    failed: list[str] = []

    def fail(route: Any) -> None:
        failed.append(route.request.url)
        route.abort()

    def tell() -> bool:
        row = {"vehicle": vehicle, "time": time.time(), "values": {name: 1.5}}
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{demo.url}/api/v1/telemetry", json={"rows": [row]}, headers=headers, trust_env=False)
        return answer.status_code == 200

    page.route("**/latest", fail)
    eventually(lambda: tell() and page.wait_for_timeout(200) is None and bool(failed), 20)
    page.unroute("**/latest")
    eventually(lambda: tell() and page.locator(f'tr[data-signal="{name}"]').count() == 1, 20)

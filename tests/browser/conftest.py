"""A browser on the machine, and pages that tell of every mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.portal import ROOT, eventually, free_port

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Demo:
    """A running ``make demo``."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    facts: dict[str, Any]


@dataclass
class Trouble:
    """What a page must not do."""

    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole demo with its collectors, as a newcomer starts it, on the servers of this test run."""
    data = tmp_path_factory.mktemp("demo") / "data"
    port = free_port()
    removed = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BASE_URL", "STATIC_ROOT", "DATABASE_URL", "REDIS_URL")
    variables = {k: v for k, v in os.environ.items() if k not in removed}
    variables |= {"PORT": str(port), "MOTORPOOL_DATA": str(data)}
    data.parent.chmod(0o755)
    command = [sys.executable, "-m", "fleet.embedded", "demo"]
    process = subprocess.Popen(command, cwd=ROOT, env=variables)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _ready(url, process), 120)
        yield Demo(url, data, process, json.loads((data / "demo.json").read_text()))
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the demo ended"
    try:
        return httpx.get(f"{url}/ready", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


def new_page(browser: Browser, url: str, trouble: Trouble, **options: Any) -> tuple[BrowserContext, Page]:
    """A page of a fresh context that notes every console line and every request elsewhere."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.on("console", lambda message: trouble.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.console.append(f"error: {error}"))

    def note(request: Any) -> None:
        if not request.url.startswith((url, url.replace("http", "ws"), "data:", "blob:")):
            trouble.foreign.append(request.url)

    page.on("request", note)
    return context, page


def sign_in(page: Page, url: str, user: dict[str, str]) -> None:
    page.goto(f"{url}/accounts/login/")
    page.fill("input[name=login]", user["email"])
    page.fill("input[name=password]", user["password"])
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")

"""A browser on the machine, and pages that tell of every mistake."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.demo import demo

__all__ = ["demo"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Trouble:
    """What a page must not do."""

    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed after this folder's tests: its event loop would make Django refuse database calls in this thread."""
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

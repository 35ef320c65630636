"""Tests on every core: each worker process has a database and a Redis database of its own.

Loaded before the settings are (``-p tests.parallel``), since they are read from the environment. The tests of a module
run in one worker, and so do all tests of the browser: what they share is started once.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from xdist.scheduler import LoadScopeScheduling

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""gw0, gw1 and so on; empty without workers."""


def _redis_of(url: str, number: int) -> str:
    """The address with a database number of its own."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = {**dict(parse_qsl(parts.query)), "db": str(number)}
        return urlunsplit(parts._replace(query=urlencode(query)))
    return urlunsplit(parts._replace(path=f"/{number}"))


if WORKER:
    os.environ["REDIS_URL"] = _redis_of(os.environ["REDIS_URL"], int(WORKER.removeprefix("gw")) + 1)


DIALOGUES = "collector/tests/test_obd_dialogues"
FIRST = (
    "tests/browser/", DIALOGUES, "tests/operations/test_operations", "tests/operations/test_web_process", "tests/accounts/",
    "tests/operations/test_deployment", "tests/collector/test_obd", "tests/alerts/test_rules",
)  # fmt: skip
"""What takes longest begins first, so that no worker is left with it at the end."""


class Scheduling(LoadScopeScheduling):
    """By module, and by folder where a whole demo is shared."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(DIALOGUES):
            return nodeid  # they share nothing, and wait for an adapter most of the time
        module = nodeid.split("::", 1)[0]
        return "tests/browser" if module.startswith("tests/browser/") else module


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, in whatever order the rest is."""
    items.sort(key=lambda item: next((i for i, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Which tests go to which worker."""
    return Scheduling(config, log)

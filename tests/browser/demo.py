"""A running ``make demo``, shared by the tests that look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.portal import ROOT, answers, eventually, free_port


@dataclass
class Demo:
    """A running ``make demo``."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    facts: dict[str, Any]


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
        eventually(lambda: answers(url, process), 120)
        yield Demo(url, data, process, json.loads((data / "demo.json").read_text()))
    finally:
        process.terminate()
        process.wait(30)

"""A running ``make demo``, shared by the tests that look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from tests.portal import ROOT, answers, eventually, free_port


@dataclass
class Demo:
    """A running ``make demo``."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    facts: dict[str, Any]
    mail: Mailbox


class Mailbox(Message):
    """A real SMTP server on loopback, and what it took."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.messages.append(message)


def subject(message: Any) -> str:
    """A message's subject as people read it."""
    return " ".join(str(make_header(decode_header(message["Subject"]))).split())


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    mailbox, port = Mailbox(), free_port()
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield mailbox, port
    finally:
        server.stop()


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole demo with its collectors, as a newcomer starts it, on the servers of this test run."""
    data = tmp_path_factory.mktemp("demo") / "data"
    port = free_port()
    removed = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BASE_URL", "STATIC_ROOT", "DATABASE_URL", "REDIS_URL")
    variables = {k: v for k, v in os.environ.items() if k not in removed}
    data.parent.chmod(0o755)
    command = [sys.executable, "-m", "fleet.embedded", "demo"]
    url = f"http://127.0.0.1:{port}"
    with mail_server() as (mailbox, mail_port):
        mail = f"smtp://127.0.0.1:{mail_port}"
        variables |= {"PORT": str(port), "MOTORPOOL_DATA": str(data), "EMAIL_URL": mail}
        process = subprocess.Popen(command, cwd=ROOT, env=variables)
        try:
            eventually(lambda: answers(url, process), 120)
            yield Demo(url, data, process, json.loads((data / "demo.json").read_text()), mailbox)
        finally:
            process.terminate()
            process.wait(30)

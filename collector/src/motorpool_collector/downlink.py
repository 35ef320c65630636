"""The downlink: a WebSocket to the portal for commands and settings (``/ws/v1/agent``). Uploads do not need it."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Optional

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from motorpool_collector import __version__
from motorpool_collector.agent import Agent
from motorpool_collector.driver import CollectorError

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
AT_ONCE = 4

log = logging.getLogger("motorpool_collector.downlink")


class Downlink:
    """A thread that stays connected, and carries out what it is sent."""

    def __init__(self, portal: str, key: str, vehicle: Optional[str], agent: Agent) -> None:
        scheme, _, rest = portal.rstrip("/").partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws/v1/agent"
        self._key = key
        self._vehicle = vehicle
        self._agent = agent
        self._stopping = threading.Event()
        self._line: Optional[ClientConnection] = None
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="command")
        self._thread = threading.Thread(target=self._work, name="downlink", daemon=True)
        agent.settings.when_changed(self._report)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._stopping.set()
        if self._line is not None:
            self._line.close()
        self._thread.join(5)
        self._workers.shutdown(wait=False)

    def _work(self) -> None:
        wait, said = FIRST_WAIT, False
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                with connect(
                    self._url, additional_headers={"Authorization": f"Bearer {self._key}"}, open_timeout=10,
                    close_timeout=2, max_size=262_144, user_agent_header=f"motorpool-collector/{__version__}",
                ) as line:  # fmt: skip
                    self._line = line
                    said = False
                    self._say_hello(line)
                    for text in line:
                        self._receive(text)
                words = "the portal closed the downlink"
            except (OSError, WebSocketException, TimeoutError) as error:
                words = f"the downlink is not connected ({error})"
            self._line = None
            if self._stopping.is_set():
                return
            log.log(logging.DEBUG if said else logging.WARNING, "%s; trying again", words)
            said = True
            wait = FIRST_WAIT if time.monotonic() - begun > LONGEST_WAIT else min(LONGEST_WAIT, wait * 2)
            self._stopping.wait(wait * random.uniform(0.5, 1.0))

    def _say_hello(self, line: ClientConnection) -> None:
        hello: Dict[str, Any] = {
            "type": "hello", "agent": f"motorpool-collector/{__version__}", "commands": self._agent.can(),
            "settings": self._agent.settings.values,
        }  # fmt: skip
        if self._vehicle:
            hello["vehicle"] = self._vehicle
        line.send(json.dumps(hello))

    def _receive(self, text: Any) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if message.get("type") == "command":
            self._workers.submit(self._carry_out, message)
        elif message.get("type") == "error":
            log.error("the portal says: %s", message.get("detail"))

    def _carry_out(self, message: Dict[str, Any]) -> None:
        answer: Dict[str, Any] = {"type": "result", "id": message.get("id")}
        try:
            arguments = message.get("arguments") or {}
            seconds = float(message.get("seconds") or 30)
            answer["result"] = self._agent.carry_out(str(message.get("command")), arguments, seconds)
            answer["status"] = "succeeded"
        except CollectorError as error:
            answer |= {"status": "failed", "detail": str(error)}
        except Exception as error:
            log.exception("command failed")
            answer |= {"status": "failed", "detail": f"{type(error).__name__}: {error}"}
        self._send(answer)

    def _report(self) -> None:
        self._send({"type": "reported", "settings": self._agent.settings.values})

    def _send(self, message: Dict[str, Any]) -> None:
        line = self._line
        if line is not None:
            try:
                line.send(json.dumps(message))
            except (OSError, WebSocketException) as error:
                log.debug("not sent: %s", error)

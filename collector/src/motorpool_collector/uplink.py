"""The uplink: sends what is spooled, oldest first, until the portal has answered that it is committed."""

from __future__ import annotations

import logging
import random
import threading
from typing import Any, Dict, Optional

import httpx

from motorpool_collector import __version__
from motorpool_collector.batches import request_body
from motorpool_collector.driver import CollectorError
from motorpool_collector.spool import Spool, Spooled

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
NEVER = (400, 411, 413, 415, 422)
"""Answers that the same batch would get for ever."""

log = logging.getLogger("motorpool_collector.uplink")


class Uplink:
    """A thread that empties the spool into the portal."""

    def __init__(self, portal: str, key: str, spool: Spool) -> None:
        if not key:
            raise CollectorError("No device key: use --key or set MOTORPOOL_KEY.", permanent=True)
        self.spool = spool
        self.sent_frames = 0
        self.rejected = 0
        self.refused = 0
        self._url = portal.rstrip("/") + "/api/v1/telemetry"
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": f"motorpool-collector/{__version__}",
        }
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(15, connect=5))
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._work, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def notify(self) -> None:
        """Something was spooled."""
        self._idle.clear()
        self._wake.set()

    def drain(self, seconds: Optional[float]) -> bool:
        """Wait until everything spooled is committed; false where that took longer than ``seconds``."""
        self.notify()
        return self._idle.wait(seconds)

    def stop(self) -> None:
        """End the thread; what is not sent stays spooled."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(20)
        self._client.close()

    def _work(self) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            self._wake.clear()
            batch = self.spool.oldest()
            if batch is None:
                self._idle.set()
                self._wake.wait()
                continue
            try:
                delay = self._send(batch)
            except Exception:
                log.exception("sending failed; trying again")
                delay = LONGEST_WAIT / 4
            if delay is None:
                wait = FIRST_WAIT
                continue
            self._stopping.wait(max(delay, wait * random.uniform(0.5, 1.0)))
            wait = min(LONGEST_WAIT, wait * 2)

    def _send(self, batch: Spooled) -> Optional[float]:
        """Send one batch; None when it is done with, else at least how many seconds to wait."""
        try:
            answer = self._client.post(self._url, content=request_body(batch.boot, batch.seq, batch.blocks))
        except httpx.HTTPError as error:
            log.warning("the portal cannot be reached (%s); %d batches wait", error, self.spool.depth())
            return 0.0
        body = _committed(answer, batch)
        if body is not None:
            self.sent_frames += batch.frames
            if body.get("rejected_count"):
                self.rejected += body["rejected_count"]
                log.warning("%d readings were refused, the first: %s", body["rejected_count"], body["rejected"][:1])
            self.spool.delete(batch.seq)
            return None
        words = (
            answer.text[:300] if answer.status_code != 200 else "200, but not as a portal does; is the address right?"
        )
        if answer.status_code in NEVER:
            log.error("the portal refuses batch %d (%d %s); it is set aside", batch.seq, answer.status_code, words)
            self.refused += 1
            self.spool.refuse(batch.seq, f"{answer.status_code} {words}")
            return None
        log.warning("the portal answers %d %s; %d batches wait", answer.status_code, words, self.spool.depth())
        after = answer.headers.get("Retry-After", "")
        return float(after) if after.isdigit() else 0.0


def _committed(answer: httpx.Response, batch: Spooled) -> Optional[Dict[str, Any]]:
    """The portal's acknowledgement of this very batch, None for anything else (a captive portal says 200 too)."""
    if answer.status_code != 200:
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    if not isinstance(body, dict) or (body.get("boot"), body.get("seq")) != (batch.boot, batch.seq):
        return None
    return body if "batch" in body else None

"""The uplink: sends what is spooled until the portal has answered that it is committed.

Two lanes send at once: one takes the newest batch, the other the oldest ones, several in a request, so that a week's
backlog does not delay what happens now.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from typing import Any, Dict, List, Optional

from motorpool_collector.batches import request_body
from motorpool_collector.carriers import Answer, Carrier, Unreachable
from motorpool_collector.spool import Spool, Spooled

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
BACKLOG_BATCHES = 6
"""In one request: a portal reads up to 16 gzip members, two and a comma between the batches are ours."""
BACKLOG_FRAMES = 9_000
BACKLOG_DEPTH = 4
"""From so many waiting batches on the second lane helps."""
LOOK_SECONDS = 0.5
HURRIED_SECONDS = 2.0
"""Whoever stops an agent does not want to wait."""
NEVER = (400, 411, 413, 415, 422)
"""Answers that the same batch would get for ever."""

log = logging.getLogger("motorpool_collector.uplink")


class Uplink:
    """Threads that empty the spool into the portal."""

    def __init__(self, carrier: Carrier, spool: Spool) -> None:
        self.spool = spool
        self.sent_frames = 0
        self.readings = 0
        self.rejected = 0
        self.rejected_for: Counter[str] = Counter()
        """By code how many of the rejected readings that the portal listed."""
        self.rejected_example = ""
        self.refused = 0
        self._carrier = carrier
        self.acked_at: Optional[float] = None
        """When the portal last committed something, in epoch seconds."""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._counting = threading.Lock()
        self._away = False
        self._hurried = False
        self._threads = [
            threading.Thread(target=self._work, args=(backlog,), name=name, daemon=True)
            for name, backlog in (("uplink", False), ("uplink-backlog", True))
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Something was spooled."""
        self._idle.clear()
        self._wake.set()

    def drain(self, seconds: float) -> bool:
        """Wait until everything spooled is committed; false after ``seconds``, or a moment after `hurry`."""
        self.notify()
        started = time.monotonic()
        while time.monotonic() < started + (min(seconds, HURRIED_SECONDS) if self._hurried else seconds):
            if self._idle.wait(0.1) and not self.spool.depth():
                return True
        return False

    def hurry(self) -> None:
        """Let `drain` wait no longer than a moment, whether it has begun or not; safe in a signal handler."""
        self._hurried = True

    def stop(self) -> None:
        """End the threads; what is not sent stays spooled."""
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(20)
        self._carrier.close()

    def _work(self, backlog: bool) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            batches = self._take(backlog)
            if not batches:
                continue
            try:
                delay = self._send(batches)
            except Exception:
                log.exception("sending failed; trying again")
                delay = LONGEST_WAIT / 4
            if delay is None:
                wait = FIRST_WAIT
                continue
            self.spool.give_back(batches)
            self._stopping.wait(max(delay, wait * random.uniform(0.5, 1.0)))
            wait = min(LONGEST_WAIT, wait * 2)

    def _take(self, backlog: bool) -> List[Spooled]:
        """What this lane sends next; empty after a wait where there is nothing."""
        if backlog:
            batches = self.spool.oldest(BACKLOG_BATCHES, BACKLOG_FRAMES, BACKLOG_DEPTH)
            if not batches:
                self._stopping.wait(LOOK_SECONDS)
            return batches
        self._wake.clear()
        batches = self.spool.newest()
        if not batches:
            self._idle.set()
            self._wake.wait()
        return batches

    def _send(self, batches: List[Spooled]) -> Optional[float]:
        """Send batches in one request; None when they are done with, else at least how many seconds to wait."""
        first = batches[0]
        body = request_body(first.boot, first.seq, [batch.blocks for batch in batches])
        try:
            answer = self._carrier.send(body)
        except Unreachable as error:
            self._tell(f"the portal cannot be reached ({error})")
            return 0.0
        found = _committed(answer, first)
        if found is not None:
            self._done(batches, found)
            return None
        words = answer.text[:300] if answer.status != 200 else "200, but not as a portal does; is the address right?"
        if answer.status in NEVER:
            if len(batches) > 1:  # one of them is at fault: each by itself
                return None if all(self._alone(batch) for batch in batches) else FIRST_WAIT
            log.error("the portal refuses batch %d (%d %s); it is set aside", first.seq, answer.status, words)
            with self._counting:
                self.refused += 1
            self.spool.refuse(first, f"{answer.status} {words}")
            return None
        self._tell(f"the portal answers {answer.status} {words}")
        return float(answer.retry_after) if answer.retry_after.isdigit() else 0.0

    def _alone(self, batch: Spooled) -> bool:
        return self._send([batch]) is None

    def _done(self, batches: List[Spooled], answer: Dict[str, Any]) -> None:
        with self._counting:
            self.sent_frames += sum(batch.frames for batch in batches)
            self.readings += answer.get("readings") or 0
            self.rejected += answer.get("rejected_count") or 0
            listed = [entry for entry in answer.get("rejected") or () if isinstance(entry, dict)]
            self.rejected_for.update(str(entry.get("code")) for entry in listed)
            if listed and not self.rejected_example:
                self.rejected_example = str(listed[0].get("detail"))[:200]
            back, self._away = self._away, False
        if back:
            log.info("the portal is back; %d batches wait", self.spool.depth())
        if answer.get("rejected_count"):
            log.warning("%d readings were refused, the first: %s", answer["rejected_count"], answer["rejected"][:1])
        self.spool.delete(batches)
        self.acked_at = time.time()

    def _tell(self, words: str) -> None:
        """Say once that the portal is away; what follows is detail."""
        with self._counting:
            level = logging.DEBUG if self._away else logging.WARNING
            self._away = True
        log.log(level, "%s; %d batches wait", words, self.spool.depth())


def _committed(answer: Answer, batch: Spooled) -> Optional[Dict[str, Any]]:
    """The portal's acknowledgement of this very batch, None for anything else (a captive portal says 200 too)."""
    if answer.status != 200:
        return None
    try:
        body = json.loads(answer.text)
    except ValueError:
        return None
    if not isinstance(body, dict) or (body.get("boot"), body.get("seq")) != (batch.boot, batch.seq):
        return None
    return body if "batch" in body else None

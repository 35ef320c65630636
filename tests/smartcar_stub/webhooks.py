"""Sends webhooks as the cloud does: signed, one event per request, again after 25, 50 and 100 seconds.

The signature is ``hex(HMAC-SHA256(management token, body))`` in ``SC-Signature``. An event keeps its ``eventId`` over
its attempts; each has a ``deliveryId`` and a ``deliveredAt`` of its own, and so another signature.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.smartcar_stub import errors, signals
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.messages import compact
from tests.smartcar_stub.state import State, append

SECONDS = 15.0
RETRY_SECONDS = (25.0, 50.0, 100.0)
FIRST_DELIVERY = "FIRST_DELIVERY"


@dataclass(frozen=True)
class Attempt:
    """One request that was sent; ``status`` is None where nobody answered."""

    event_id: str
    delivery_id: str
    vehicle_id: str
    number: int
    status: int | None
    time: float


class Webhooks:
    """The sender. ``retry_seconds`` may be changed at any time; ``attempts`` tells what was sent."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.retry_seconds: tuple[float, ...] = RETRY_SECONDS
        self.seconds = SECONDS
        self.attempts: list[Attempt] = []
        self._threads: list[threading.Thread] = []
        self._client = httpx.Client(trust_env=False, follow_redirects=False, limits=httpx.Limits(max_connections=None))
        state.announce = self._announce

    def deliver(
        self,
        vehicle_id: str,
        codes: Iterable[str] | None = None,
        *,
        shape: str = "captured",
        mode: str | None = None,
        duplicate: int = 1,
        bad_signature: bool = False,
        at: float | None = None,
        background: bool = False,
    ) -> httpx.Response | None:
        """Send the state of a car and retry until it is taken.

        Args:
            codes: the signals that triggered it. None: those that changed since the last webhook, and
                ``FIRST_DELIVERY`` where there was none since the car was connected.
            shape: ``captured``, as real deliveries are; or ``docs``, as they are documented.
            mode: ``LIVE``, ``SIMULATED`` or ``TEST``; the connection's where it is None.
            duplicate: how many times the event is delivered.
            at: the time of the delivery, seconds since 1970; of each attempt where it is None.
            background: return at once; `wait` for the end.

        Returns:
            The last answer; None where nobody answered, in the background, and where nothing was sent, because there
            is no webhook, it is silent, or the car is not subscribed.
        """
        state = self.state
        with state.lock:
            if not self._wanted(vehicle_id, mode):
                state.count("webhooks_skipped")
                return None
            event = self.event(vehicle_id, codes, shape=shape, mode=mode)
            car = state.vehicles[vehicle_id]
            car.pending, car.delivered = [], True
        return self._run(event, vehicle_id, duplicate, bad_signature, at, background)

    def deliver_error(
        self,
        vehicle_id: str,
        type: str,
        code: str | None,
        state: str = "ERROR",
        *,
        signal_codes: Iterable[str] = (),
        shape: str = "captured",
        background: bool = False,
    ) -> httpx.Response | None:
        """Send a VEHICLE_ERROR, or with ``RESOLVED`` its end; returns as `deliver` does."""
        if not self._wanted(vehicle_id, None):
            self.state.count("webhooks_skipped")
            return None
        error: dict[str, Any] = {"type": type, "code": code, "state": state}
        error["description"] = errors.sentence(type, code)
        if state == "ERROR":
            error["suggestedUserMessage"] = errors.USER_SENTENCE
            error["docURL"] = errors.about(type, code)
            error["resolution"] = {"type": errors.resolution(type, code)}
        concerned = [signals.named(signal) for signal in signal_codes]
        if concerned:
            error["signals"] = concerned
        with self.state.lock:
            event = self._envelope("VEHICLE_ERROR", self.state.vehicles[vehicle_id], shape, None)
        event["data"]["errors"] = [error]
        return self._run(event, vehicle_id, 1, False, None, background)

    def event(
        self, vehicle_id: str, codes: Iterable[str] | None = None, *, shape: str = "captured", mode: str | None = None
    ) -> dict[str, Any]:
        """A VEHICLE_STATE as it would be sent now; tests may keep it, and `send` it later or changed."""
        state = self.state
        with state.lock:
            car = state.vehicles[vehicle_id]
            granted = state.connection_to(vehicle_id)
            seen = {
                code: signals.as_granted(code, signal, granted.permissions) if granted else signal
                for code, signal in car.signals.items()
            }
            if codes is None:
                codes = (list(car.pending) or list(car.signals)) if car.delivered else [FIRST_DELIVERY]
            event = self._envelope("VEHICLE_STATE", car, shape, mode)
            event["data"]["signals"] = [signals.event_entry(code, signal, shape) for code, signal in seen.items()]
            event["meta"]["signalCount"] = len(seen)
        if shape == "docs":
            event["data"]["triggers"] = [{"code": c} if c == FIRST_DELIVERY else signals.named(c) for c in codes]
        else:
            event["triggers"] = [
                {"type": c} if c == FIRST_DELIVERY else {"type": "SIGNAL_UPDATED", "signal": signals.named(c)}
                for c in codes
            ]
        return event

    def send(
        self, event: dict[str, Any], *, vehicle_id: str = "", number: int = 1, bad_signature: bool = False,
        at: float | None = None,
    ) -> httpx.Response | None:  # fmt: skip
        """One attempt with one event; None where nobody answered in time."""
        delivery_id, now = str(uuid4()), time.time()
        delivered_at = signals.milliseconds(now if at is None else at)
        body = compact({**event, "meta": {**event["meta"], "deliveryId": delivery_id, "deliveredAt": delivered_at}})
        answer = self.post(body, self.sign(body, "not the token" if bad_signature else None))
        status = answer.status_code if answer is not None else None
        with self.state.lock:
            self.state.count("webhooks_delivered" if answer is not None and answer.is_success else "webhooks_failed")
            append(self.attempts, Attempt(event["eventId"], delivery_id, vehicle_id, number, status, now))
        return answer

    def post(self, body: bytes, signature: str | None) -> httpx.Response | None:
        """Post exactly these bytes to the webhook; without a header where ``signature`` is None."""
        headers = {"Content-Type": "application/json", "User-Agent": "Smartcar/1.0"}
        if signature is not None:
            headers["SC-Signature"] = signature
        try:
            url = self.state.application.webhook_url
            return self._client.post(url, content=body, headers=headers, timeout=self.seconds)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None

    def sign(self, message: bytes, token: str | None = None) -> str:
        """The signature of a message; with the management token where ``token`` is None."""
        key = self.state.application.management_token if token is None else token
        return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()

    def verify(self, signed: bool = False) -> bool:
        """Ask the webhook to prove that it knows the management token; whether it did."""
        challenge, now = str(uuid4()), time.time()
        event = self._head("VERIFY")
        event["data"] = {"challenge": challenge}
        event["meta"] |= {"deliveryId": str(uuid4()), "deliveredAt": signals.iso(now)}
        body = compact(event)
        answer = self.post(body, self.sign(body) if signed else None)
        if answer is None or answer.status_code != 200:
            return False
        try:
            return bool(answer.json()["challenge"] == self.sign(challenge.encode()))
        except (ValueError, KeyError, TypeError):
            return False

    def wait(self, seconds: float = 10.0) -> bool:
        """Wait until the background has nothing left to send or retry; whether it has not."""
        deadline = time.monotonic() + seconds
        with self.state.lock:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        alive = [thread for thread in threads if thread.is_alive()]
        with self.state.lock:
            self._threads += alive
        return not alive

    def _wanted(self, vehicle_id: str, mode: str | None) -> bool:
        state = self.state
        with state.lock:
            subscribed = any(s.vehicle_id == vehicle_id for s in state.subscriptions.values())
        enrolled = state.auto_enroll or subscribed or mode == "TEST"
        return bool(state.application.webhook_url) and not state.silent and enrolled

    def _run(
        self, event: dict[str, Any], vehicle_id: str, times: int, bad_signature: bool, at: float | None,
        background: bool,
    ) -> httpx.Response | None:  # fmt: skip
        if not background:
            return self._deliver(event, vehicle_id, times, bad_signature, at)
        arguments = (event, vehicle_id, times, bad_signature, at)
        thread = threading.Thread(target=self._deliver, args=arguments, name="webhook", daemon=True)
        with self.state.lock:
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            thread.start()
        return None

    def _deliver(
        self, event: dict[str, Any], vehicle_id: str, times: int, bad_signature: bool, at: float | None
    ) -> httpx.Response | None:
        answer = None
        for _ in range(times):
            for number, pause in enumerate((0.0, *self.retry_seconds), start=1):
                if pause and self.state.stopping.wait(pause):
                    return answer
                answer = self.send(event, vehicle_id=vehicle_id, number=number, bad_signature=bad_signature, at=at)
                if answer is not None and answer.is_success:
                    break
        return answer

    def _announce(self, vehicle_id: str) -> None:
        with self.state.lock:
            if self.state.connection_to(vehicle_id):
                self.deliver(vehicle_id, background=True)

    def _head(self, kind: str) -> dict[str, Any]:
        meta = {"version": "4.0", "webhookId": self.state.application.webhook_id, "webhookName": "Fleet telemetry"}
        return {"eventId": str(uuid4()), "eventType": kind, "meta": meta}

    def _envelope(self, kind: str, car: Vehicle, shape: str, mode: str | None) -> dict[str, Any]:
        """What events about a car have in common; the documented shape also names the car at the top."""
        state = self.state
        granted = state.connection_to(car.id)
        owners = (account.user_id for account in state.accounts.values() if car.id in account.vehicle_ids)
        event = self._head(kind)
        event["data"] = {
            "user": {"id": granted.user_id if granted else next(owners, "")},
            "vehicle": {"id": car.id, "make": car.make, "model": car.model, "year": car.year},
        }
        event["meta"]["mode"] = mode or (granted.mode if granted else "live").upper()
        return {**event, "vehicleId": car.id} if shape == "docs" else event

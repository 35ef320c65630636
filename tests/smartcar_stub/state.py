"""All that the simulated cloud knows, and the knobs that tests turn. Hold ``State.lock`` to read several things as one.

The handlers run under that lock; sleeping, streaming and sending happen outside.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from tests.smartcar_stub import garage
from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.records import (
    Account,
    Application,
    Code,
    Connection,
    Fault,
    Request,
    Subscription,
    UserToken,
)
from tests.smartcar_stub.signals import Signal

OWNER = "owner@example.com"
OTHER = "other@example.com"
_READ = (
    "alerts battery charge charge_events charge_locations charge_records climate compass diagnostics engine_oil "
    "extended_vehicle_info fuel location odometer security service_history speedometer thermometer tires user_profile "
    "vehicle_info vin"
)
_CONTROL = "charge climate navigation pin security trunk"
PERMISSIONS = [f"read_{name}" for name in _READ.split()] + [f"control_{name}" for name in _CONTROL.split()]
LONGEST_LOG = 20_000
T = TypeVar("T")


@dataclass
class State:
    """See above. Everything may be changed by a test while the cloud runs."""

    application: Application = field(default_factory=Application)
    url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    vehicles: dict[str, Vehicle] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    app_tokens: dict[str, float] = field(default_factory=dict)
    """Application tokens and when each expires."""
    codes: dict[str, Code] = field(default_factory=dict)
    access_tokens: dict[str, UserToken] = field(default_factory=dict)
    refresh_tokens: dict[str, UserToken] = field(default_factory=dict)

    requests: list[Request] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    token_seconds: float = 3600
    access_seconds: float = 7200
    refresh_seconds: float = 60 * 86_400
    refresh_grace: float = 60
    subscription_seconds: float = 0.2
    """Until a new subscription shows."""
    command_mode: str = "sync"
    """``sync``; or ``late``: 202, and the result in chunks; or ``late-close``: the same, ended by hanging up."""
    command_delay: float = 1.0
    command_outcome: str = "SUCCESS"
    time_format: str = "iso"
    """Of the times in version 3: ``iso``, ``ms`` or ``s``."""
    auto_enroll: bool = True
    """Every car is sent by webhook; otherwise those that are subscribed."""
    silent: bool = False
    """No webhooks at all."""

    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)
    announce: Callable[[str], None] = field(default=lambda vehicle_id: None, repr=False)
    """Sends a webhook of a connected car in the background."""

    @classmethod
    def with_default_cars(cls, application: Application) -> State:
        """A cloud with two owners: three cars, and two."""
        state = cls(application)
        state.add_vehicles(OWNER, garage.owners_cars())
        state.add_vehicles(OTHER, garage.others_cars())
        return state

    def add_vehicles(self, email: str, vehicles: Iterable[Vehicle]) -> list[Vehicle]:
        """Give an owner, new or known, more cars."""
        added = list(vehicles)
        with self.lock:
            account = self.accounts.setdefault(email, Account(email))
            for vehicle in added:
                self.vehicles[vehicle.id] = vehicle
                account.vehicle_ids.append(vehicle.id)
        return added

    def cars_of(self, email: str) -> list[Vehicle]:
        """An owner's cars, in their order."""
        with self.lock:
            return [self.vehicles[vehicle_id] for vehicle_id in self.accounts[email].vehicle_ids]

    def connect(
        self,
        email: str = OWNER,
        vehicle_ids: Iterable[str] | None = None,
        permissions: Iterable[str] | None = None,
        mode: str = "live",
        external_id: str | None = None,
    ) -> list[Connection]:
        """Connect cars (all of the owner's) with permissions (all) as Connect does it; renew what is connected."""
        with self.lock:
            account = self.accounts[email]
            made = []
            for vehicle_id in account.vehicle_ids if vehicle_ids is None else vehicle_ids:
                connection = self.connection_of(account.user_id, vehicle_id)
                if connection is None:
                    connection = Connection(account.user_id, vehicle_id, [])
                    self.connections[connection.id] = connection
                    self.vehicles[vehicle_id].delivered = False
                connection.permissions = list(PERMISSIONS if permissions is None else permissions)
                connection.mode, connection.updated_at = mode, time.time()
                if external_id is not None:
                    connection.external_id = None if external_id == "null" else external_id
                made.append(connection)
            return made

    def disconnect(self, connection_id: str) -> bool:
        """End a connection and its subscriptions; False where there is none."""
        with self.lock:
            connection = self.connections.pop(connection_id, None)
            if connection is None:
                return False
            place = (connection.user_id, connection.vehicle_id)
            for key in [k for k, s in self.subscriptions.items() if (s.user_id, s.vehicle_id) == place]:
                del self.subscriptions[key]
            return True

    def connection_of(self, user_id: str, vehicle_id: str) -> Connection | None:
        """The connection between an owner and a car."""
        with self.lock:
            wanted = (user_id, vehicle_id)
            return next((c for c in self.connections.values() if (c.user_id, c.vehicle_id) == wanted), None)

    def connection_to(self, vehicle_id: str) -> Connection | None:
        """Any connection to a car."""
        with self.lock:
            return next((c for c in self.connections.values() if c.vehicle_id == vehicle_id), None)

    def issue_pair(self, user_id: str) -> dict[str, str | int]:
        """A pair of version 2 tokens for an owner, as the token address gives it."""
        access, refresh, now = str(uuid4()), str(uuid4()), time.time()
        with self.lock:
            self.access_tokens[access] = UserToken(user_id, now + self.access_seconds)
            self.refresh_tokens[refresh] = UserToken(user_id, now + self.refresh_seconds)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": round(self.access_seconds),
            "refresh_token": refresh,
        }

    def set_signal(self, vehicle_id: str, code: str, body: dict[str, Any], at: float | None = None) -> None:
        """The car reports a value; ``at`` (now) is its own time, later than its last where none is given."""
        with self.lock:
            now = time.time()
            signals, last = self.vehicles[vehicle_id].signals, self.vehicles[vehicle_id].signals.get(code)
            if at is None:  # webhooks carry whole milliseconds
                at = max(now, (last.oem_updated_at or 0) + 0.001 if last else now)
            signals[code] = Signal(body, at, max(now, at), max(now, at))
            self._changed(vehicle_id, code)

    def set_error(self, vehicle_id: str, code: str, type: str, error_code: str | None, *, stale: bool = False) -> None:
        """A signal turns into an error; ``stale`` keeps its last body, as some makers do."""
        with self.lock:
            last = self.vehicles[vehicle_id].signals.get(code)
            kept = last if stale and last else Signal(None, None, None, time.time())
            self.vehicles[vehicle_id].signals[code] = Signal(
                kept.body, kept.oem_updated_at, kept.retrieved_at, time.time(), "ERROR", type, error_code
            )
            self._changed(vehicle_id, code)

    def _changed(self, vehicle_id: str, code: str) -> None:
        pending = self.vehicles[vehicle_id].pending
        if code not in pending:
            pending.append(code)

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self.lock:
            self.counters[name] += 1


def append(log: list[T], entry: T) -> None:
    """Add to a log that forgets its older half when it gets long."""
    if len(log) >= LONGEST_LOG:
        del log[: LONGEST_LOG // 2]
    log.append(entry)

"""A stand-in for Smartcar's cloud: a real HTTP server on loopback that speaks both generations of its API.

Tests drive it from the inside (`Stub.state`, `Stub.webhooks`); ``python -m tests.smartcar_stub`` runs it as "a
simulated maker's cloud" for the demo.
"""

from __future__ import annotations

from tests.smartcar_stub.garage import Vehicle, many_cars
from tests.smartcar_stub.records import Account, Application, Connection, Fault, Request
from tests.smartcar_stub.server import Stub
from tests.smartcar_stub.signals import Signal
from tests.smartcar_stub.state import OTHER, OWNER, State
from tests.smartcar_stub.webhooks import Attempt, Webhooks

__all__ = [
    "OTHER",
    "OWNER",
    "Account",
    "Application",
    "Attempt",
    "Connection",
    "Fault",
    "Request",
    "Signal",
    "State",
    "Stub",
    "Vehicle",
    "Webhooks",
    "many_cars",
]

"""Who carries out the commands that go through a maker's cloud and not through an agent in the vehicle.

A carrier is a module with two functions: ``able(vehicle) -> bool`` and ``carry_out(vehicle, kind, arguments) -> dict``,
which returns when the end is known and raises `MotorpoolError` with words where it failed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fleet.lib import bell
from telemetry.models import Command
from vehicles.models import Vehicle

CARRIERS = {"smartcar": "integrations.sources.smartcar.commands"}


def carrier_of(vehicle: Vehicle) -> Any:
    """The carrier that reaches a vehicle, None where there is none."""
    return next((module for module in map(import_module, CARRIERS.values()) if module.able(vehicle)), None)


def announce(command: Command) -> None:
    """Tell a worker; beat finds what was not announced."""
    bell.announce("telemetry.tasks.carry_out", str(command.pk))

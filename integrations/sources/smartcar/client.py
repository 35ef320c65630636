"""Smartcar's two interfaces behind one. Each call carries what its account's row says, and nothing is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from integrations.sources.smartcar.calls import RemoteVehicle
from integrations.sources.smartcar.models import Account, CloudVehicle, Generation
from integrations.sources.smartcar.signals import Signal
from integrations.sources.smartcar.version2 import Version2
from integrations.sources.smartcar.version3 import Version3


class Cloud(Protocol):
    """An account's calls; each raises `Failure`."""

    def vehicles(self) -> list[RemoteVehicle]:
        """All of the account's vehicles."""

    def vin(self, remote_id: str) -> str:
        """A vehicle's VIN, empty where it is not told."""

    def signals(self, link: CloudVehicle, *, polling: bool) -> list[Signal]:
        """What the maker's cloud knows of the vehicle."""

    def command(self, link: CloudVehicle, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command of `telemetry.commands.queue.CLOUD_KINDS`; returns what the cloud told of its end."""

    def disconnect(self, link: CloudVehicle) -> None:
        """End Smartcar's access to the vehicle; one that is gone already is no failure."""


def cloud_of(account: Account) -> Cloud:
    """The interface of an account's generation."""
    return Version2(account) if account.generation == Generation.V2 else Version3(account)

"""The door to one vehicle: by id, VIN or alias, within the organization."""

from __future__ import annotations

from django.db.models import Q

from fleet.accounts.models import Organization
from fleet.lib.api import NotFound
from vehicles.models import Vehicle

LARGEST_ID = 2**31 - 1


def names_of(identifier: str) -> Q:
    """The condition under which a vehicle answers to ``identifier``."""
    condition = Q(vin=identifier.upper()) | Q(aliases__alias=identifier)
    if identifier.isascii() and identifier.isdecimal() and int(identifier) <= LARGEST_ID:
        condition |= Q(pk=int(identifier))
    return condition


def find_vehicle(organization: Organization, identifier: str) -> Vehicle:
    """The vehicle that ``identifier`` names: its id before a VIN before an alias.

    Raises:
        NotFound: there is none in this organization.
    """
    if len(identifier) > 100:
        raise NotFound
    found = list(organization.vehicles.filter(names_of(identifier)).distinct())
    if not found:
        raise NotFound
    return min(found, key=lambda vehicle: (str(vehicle.pk) != identifier, vehicle.vin != identifier.upper()))

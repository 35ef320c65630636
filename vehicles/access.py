"""The door to one vehicle: by id, VIN or alias, within the organization."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from fleet.accounts.models import Organization
from fleet.lib.api import NotFound
from vehicles.models import Vehicle

LARGEST_ID = 2**31 - 1
LONGEST_IDENTIFIER = 100


def find_vehicle_ids(organization_id: int, identifiers: Collection[str]) -> dict[str, int]:
    """The ids of the vehicles that many identifiers name, in one query; unknown ones are left out."""
    usable = [identifier for identifier in identifiers if len(identifier) <= LONGEST_IDENTIFIER]
    ids = [int(i) for i in usable if i.isascii() and i.isdecimal() and int(i) <= LARGEST_ID]
    wanted = Q(pk__in=ids) | Q(vin__in=[i.upper() for i in usable]) | Q(aliases__alias__in=usable)
    rows = Vehicle.objects.filter(wanted, organization_id=organization_id).values_list("pk", "vin", "aliases__alias")
    by_id, by_vin, by_alias = {}, {}, {}
    for vehicle_id, vin, alias in rows:
        by_id[str(vehicle_id)] = by_vin[vin] = by_alias[alias] = vehicle_id
    found = {i: by_id.get(i) or by_vin.get(i.upper()) or by_alias.get(i) for i in usable}
    return {identifier: vehicle_id for identifier, vehicle_id in found.items() if vehicle_id is not None}


def find_vehicle(organization: Organization, identifier: str) -> Vehicle:
    """The vehicle that ``identifier`` names: its id before a VIN before an alias.

    Raises:
        NotFound: there is none in this organization.
    """
    if len(identifier) > LONGEST_IDENTIFIER:
        raise NotFound
    if identifier.isascii() and identifier.isdecimal() and int(identifier) <= LARGEST_ID:
        vehicle = organization.vehicles.filter(pk=int(identifier)).first()
        if vehicle is not None:
            return vehicle
    found = list(organization.vehicles.filter(Q(vin=identifier.upper()) | Q(aliases__alias=identifier)).distinct())
    if not found:
        raise NotFound
    return min(found, key=lambda vehicle: vehicle.vin != identifier.upper())

"""The door to one vehicle: by id, VIN or alias, within the organization."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from fleet.accounts.models import Organization
from fleet.lib.api import NotFound
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import Kind, number_of
from vehicles.models import Vehicle

LONGEST_IDENTIFIER = 100
AMBIGUOUS = "{} names two vehicles: it is the VIN or an alias of each. Use another identifier."


def find_vehicle_ids(organization_id: int, identifiers: Collection[str]) -> dict[str, int]:
    """The numbers of the vehicles that many identifiers name, in one query.

    Unknown ones are left out, and those that name two vehicles (a VIN that is an alias of another): what is meant
    cannot be told.
    """
    usable = [identifier for identifier in identifiers if len(identifier) <= LONGEST_IDENTIFIER]
    ids = {identifier: number_of(Kind.VEHICLE, identifier) for identifier in usable}
    wanted = Q(pk__in=set(ids.values())) | Q(vin__in=[i.upper() for i in usable]) | Q(aliases__alias__in=usable)
    rows = Vehicle.objects.filter(wanted, organization_id=organization_id).values_list("pk", "vin", "aliases__alias")
    by_id: set[int] = set()
    by_vin: dict[str | None, int] = {}
    by_alias: dict[str | None, int] = {}
    for vehicle_id, vin, alias in rows:
        by_id.add(vehicle_id)
        by_vin[vin] = by_alias[alias] = vehicle_id
    found: dict[str, int] = {}
    for identifier in usable:
        own = ids[identifier] if ids[identifier] in by_id else 0
        named = {own, by_vin.get(identifier.upper(), 0), by_alias.get(identifier, 0)} - {0}
        if len(named) == 1:
            (found[identifier],) = named
    return found


def find_vehicle(organization: Organization, identifier: str) -> Vehicle:
    """The vehicle that ``identifier`` names: its id, its VIN or an alias.

    Raises:
        NotFound: there is none in this organization.
        MotorpoolError: it names two vehicles (409).
    """
    if len(identifier) > LONGEST_IDENTIFIER:
        raise NotFound
    wanted = Q(pk=number_of(Kind.VEHICLE, identifier)) | Q(vin=identifier.upper()) | Q(aliases__alias=identifier)
    found = list(organization.vehicles.filter(wanted).distinct()[:2])
    if not found:
        raise NotFound
    if len(found) > 1:
        raise MotorpoolError(AMBIGUOUS.format(identifier), status=409, code="conflict")
    return found[0]

"""What happens to vehicles and devices: one transaction each, with its audit event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from fleet.accounts.models import Organization, User, new_secret, secret_hash
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError
from fleet.lib.public_ids import looks_like_id
from vehicles import vin as vin_numbers
from vehicles.models import Device, Group, Vehicle, VehicleAlias

ID_AS_ALIAS = "The alias {} has the form of an ID: readings could go to another vehicle. Choose another alias."


class Conflict(MotorpoolError):
    """Another vehicle of the organization has that name already."""

    status = 409
    code = "conflict"


def vehicle_create(*, organization: Organization, user: User | None, request: Any = None, **fields: Any) -> Vehicle:
    """A new vehicle; make and year come from the VIN where they are not given.

    Raises:
        Conflict: the VIN or an alias is taken.
    """
    vehicle = Vehicle(organization=organization)
    return _save(vehicle, fields, user=user, action="vehicle.created", request=request)


def vehicle_update(*, vehicle: Vehicle, user: User | None, request: Any = None, **fields: Any) -> Vehicle:
    """Change the given fields only; raises `Conflict` like `vehicle_create`."""
    return _save(vehicle, fields, user=user, action="vehicle.updated", request=request)


@transaction.atomic
def vehicle_delete(*, vehicle: Vehicle, user: User, request: Any = None) -> None:
    """Delete the vehicle; its telemetry is purged by a task that finds what no vehicle owns."""
    audit("vehicle.deleted", organization=vehicle.organization, user=user, target=vehicle, request=request)
    vehicle.delete()


def _save(vehicle: Vehicle, fields: dict[str, Any], *, user: User | None, action: str, request: Any) -> Vehicle:
    aliases: list[str] | None = fields.pop("aliases", None)
    groups: list[str] | None = fields.pop("groups", None)
    archived: bool | None = fields.pop("archived", None)
    for name, value in fields.items():
        setattr(vehicle, name, value)
    if archived is not None:
        vehicle.archived_at = (vehicle.archived_at or timezone.now()) if archived else None
    if fields.get("vin"):
        decoded = vin_numbers.decode(fields["vin"])
        vehicle.make = vehicle.make or decoded.make
        vehicle.year = vehicle.year or decoded.year
    try:
        with transaction.atomic():
            vehicle.save()
            if aliases is not None:
                _set_aliases(vehicle, aliases)
            if groups is not None:
                vehicle.groups.set(_groups(vehicle.organization, groups))
            changed = sorted({*fields, *(k for k, v in (("aliases", aliases), ("groups", groups)) if v is not None)})
            audit(action, organization=vehicle.organization, user=user, target=vehicle, request=request, fields=changed)
    except IntegrityError as error:
        if "vin_once" in str(error):
            raise Conflict(f"Another vehicle has the VIN {vehicle.vin}.") from None
        if "alias_once" in str(error):
            raise Conflict("Another vehicle has one of these aliases.") from None
        raise
    return vehicle


def _set_aliases(vehicle: Vehicle, aliases: Iterable[str]) -> None:
    wanted = set(aliases)
    refused = next(filter(looks_like_id, sorted(wanted)), None)
    if refused is not None:
        raise MotorpoolError(ID_AS_ALIAS.format(refused), status=422)
    vehicle.aliases.exclude(alias__in=wanted).delete()
    known = set(vehicle.aliases.values_list("alias", flat=True))
    VehicleAlias.objects.bulk_create(
        VehicleAlias(organization=vehicle.organization, vehicle=vehicle, alias=alias)
        for alias in sorted(wanted - known)
    )


def _groups(organization: Organization, names: Iterable[str]) -> list[Group]:
    return [organization.vehicle_groups.get_or_create(name=name)[0] for name in sorted(set(names))]


@transaction.atomic
def device_create(
    *, organization: Organization, user: User | None, name: str, vehicles: Iterable[Vehicle] = (), request: Any = None
) -> tuple[Device, str]:
    """A device and its key, which is shown this once; without ``vehicles`` it may write all of them."""
    key, prefix, digest = new_secret(Device.PREFIX)
    bound = list(vehicles)
    device = Device.objects.create(
        organization=organization, name=name, prefix=prefix, sha256=digest, created_by=user, all_vehicles=not bound
    )
    device.vehicles.set(bound)
    audit("device.created", organization=organization, user=user, target=device, request=request)
    return device, key


def device_key_known(key: str) -> bool:
    """Whether a key belongs to a device that is not revoked (`DEVICE_KEY_KNOWN` in the settings names this)."""
    return Device.objects.filter(sha256=secret_hash(key), revoked_at=None).exists()


@transaction.atomic
def device_rotate(*, device: Device, user: User, request: Any = None) -> str:
    """A new key; the old one stops working within `KEY_CACHE_SECONDS`."""
    key, device.prefix, device.sha256 = new_secret(Device.PREFIX)
    device.save(update_fields=["prefix", "sha256"])
    audit("device.rotated", organization=device.organization, user=user, target=device, request=request)
    return key


@transaction.atomic
def device_revoke(*, device: Device, user: User, request: Any = None) -> None:
    """End the key; it stops working within `KEY_CACHE_SECONDS`."""
    device.revoked_at = timezone.now()
    device.save(update_fields=["revoked_at"])
    audit("device.revoked", organization=device.organization, user=user, target=device, request=request)

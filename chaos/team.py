"""Make an organization with vehicles and a device key, printed as JSON; a process of its own, since it needs Django."""

from __future__ import annotations

import json
import sys

import django

django.setup()

from fleet.accounts.models import User  # noqa: E402
from fleet.accounts.services import organization_create  # noqa: E402
from vehicles.models import Vehicle, VehicleAlias  # noqa: E402
from vehicles.services import device_create  # noqa: E402

name, count = sys.argv[1], int(sys.argv[2])
organization = organization_create(name=name, owner=User.objects.create(email=f"{name}@example.com"))
vehicles = Vehicle.objects.bulk_create(Vehicle(organization=organization, name=f"{name} {i}") for i in range(count))
# Their numbers name them in requests too, since the checks read the tables.
VehicleAlias.objects.bulk_create(
    VehicleAlias(organization=organization, vehicle=vehicle, alias=str(vehicle.pk)) for vehicle in vehicles
)
_, key = device_create(organization=organization, user=None, name=name)
print(json.dumps({"organization": organization.pk, "vehicles": [vehicle.pk for vehicle in vehicles], "key": key}))

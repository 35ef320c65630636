"""API of vehicles and devices."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.api import NO_STORE, NotFound, choice_of
from fleet.lib.fields import Name, PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind
from vehicles import vin as vin_numbers
from vehicles.access import find_vehicle
from vehicles.models import Device, Powertrain, Vehicle
from vehicles.services import (
    device_create,
    device_revoke,
    device_rotate,
    vehicle_create,
    vehicle_delete,
    vehicle_update,
)

MOST_ATTRIBUTES = 100
ORDERS = ("name", "-name", "created_at", "-created_at", "id", "-id")


class VehicleInput(StrictSerializer):
    """What a client may set of a vehicle."""

    name = Name(max_length=120)
    vin = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=40)
    make = serializers.CharField(required=False, allow_blank=True, max_length=60)
    model = serializers.CharField(required=False, allow_blank=True, max_length=60)
    year = serializers.IntegerField(required=False, allow_null=True, min_value=1886, max_value=2100)
    powertrain = serializers.ChoiceField(Powertrain.choices, required=False, allow_blank=True)
    aliases = serializers.ListField(child=Name(max_length=100), required=False, max_length=50)
    groups = serializers.ListField(child=Name(max_length=100), required=False, max_length=50)
    tags = serializers.ListField(child=Name(max_length=50), required=False, max_length=50)
    attributes = serializers.DictField(child=serializers.FloatField(), required=False)

    def validate_attributes(self, value: dict[str, float]) -> dict[str, float]:
        if len(value) > MOST_ATTRIBUTES or any(len(name) > 100 for name in value):
            raise serializers.ValidationError(f"At most {MOST_ATTRIBUTES} attributes with names of 100 characters.")
        return value

    archived = serializers.BooleanField(required=False)

    def validate_vin(self, value: str | None) -> str | None:
        vin = vin_numbers.normal(value or "")
        problem = vin_numbers.problem(vin) if vin else None
        if problem:
            raise serializers.ValidationError(problem)
        return vin or None


class VehicleOutput(serializers.ModelSerializer[Vehicle]):
    """A vehicle as the API shows it."""

    id = own_id(Kind.VEHICLE)
    aliases = serializers.SlugRelatedField[Any](many=True, read_only=True, slug_field="alias")
    groups = serializers.SlugRelatedField[Any](many=True, read_only=True, slug_field="name")
    archived = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Vehicle
        fields = (
            "id", "name", "vin", "make", "model", "year", "powertrain", "aliases", "groups", "tags", "attributes",
            "archived", "created_at", "warnings",
        )  # fmt: skip

    def get_archived(self, vehicle: Vehicle) -> bool:
        return vehicle.archived_at is not None

    def get_warnings(self, vehicle: Vehicle) -> list[str]:
        doubt = vin_numbers.warning(vehicle.vin) if vehicle.vin else None
        return [doubt] if doubt else []


class Vehicles(generics.GenericAPIView[Vehicle]):
    """The organization's vehicles."""

    roles = {"POST": Role.OPERATOR}
    queryset = Vehicle.objects.none()
    serializer_class = VehicleOutput

    def get_queryset(self) -> Any:
        query = self.request.query_params
        vehicles = access(self.request).organization.vehicles.prefetch_related("aliases", "groups")
        vehicles = vehicles.filter(archived_at__isnull=choice_of(query, "archived", ("true", "false")) != "true")
        words = query.get("search", "")[:100]
        if words:
            vehicles = vehicles.search(words)
        if query.get("group"):
            vehicles = vehicles.filter(groups__name=query["group"])
        if query.get("tag"):
            vehicles = vehicles.filter(tags__contains=[query["tag"]])
        return vehicles.order_by(choice_of(query, "ordering", ORDERS) or "name", "id")

    @extend_schema(
        parameters=[
            *(OpenApiParameter(n, str) for n in ("search", "group", "tag")),
            OpenApiParameter("archived", str, enum=("", "true", "false")),
            OpenApiParameter("ordering", str, enum=("", *ORDERS)),
        ],
        responses=VehicleOutput(many=True),
    )
    def get(self, request: Request) -> Response:
        """A page of vehicles."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(VehicleOutput(page, many=True).data)

    @extend_schema(request=VehicleInput, responses={201: VehicleOutput})
    def post(self, request: Request) -> Response:
        """A new vehicle; only the name is required."""
        data = VehicleInput(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        vehicle = vehicle_create(
            organization=found.organization, user=found.user, request=request, **data.validated_data
        )
        return Response(VehicleOutput(vehicle).data, status=status.HTTP_201_CREATED)


class VehicleDetail(APIView):
    """One vehicle."""

    roles = {"PATCH": Role.OPERATOR, "DELETE": Role.ADMIN}

    @extend_schema(responses=VehicleOutput)
    def get(self, request: Request, vehicle: str) -> Response:
        """The vehicle with that id, VIN or alias."""
        return Response(VehicleOutput(find_vehicle(access(request).organization, vehicle)).data)

    @extend_schema(request=VehicleInput(partial=True), responses=VehicleOutput)
    def patch(self, request: Request, vehicle: str) -> Response:
        """Change some of it."""
        found = access(request)
        row = find_vehicle(found.organization, vehicle)
        data = VehicleInput(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        row = vehicle_update(vehicle=row, user=found.user, request=request, **data.validated_data)
        return Response(VehicleOutput(row).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, vehicle: str) -> Response:
        """Delete it and all its telemetry; `archived` hides it and keeps both."""
        found = access(request)
        vehicle_delete(vehicle=find_vehicle(found.organization, vehicle), user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeviceOutput(serializers.ModelSerializer[Device]):
    """A device as the API shows it: never its key."""

    id = own_id(Kind.DEVICE)
    vehicles = serializers.SlugRelatedField[Any](many=True, read_only=True, slug_field="public_id")

    class Meta:
        model = Device
        fields = ("id", "name", "prefix", "all_vehicles", "vehicles", "created_at", "last_seen", "revoked_at")


class DeviceWithKey(DeviceOutput):
    """A device just made or rotated."""

    key = serializers.CharField(help_text="The secret, shown this once.")

    class Meta(DeviceOutput.Meta):
        fields = (*DeviceOutput.Meta.fields, "key")  # type: ignore[assignment]


class Devices(generics.GenericAPIView[Device]):
    """The organization's ingest credentials."""

    roles = {"GET": Role.OPERATOR, "POST": Role.ADMIN}
    queryset = Device.objects.none()
    serializer_class = DeviceOutput

    class Input(StrictSerializer):
        name = Name(max_length=120)
        vehicles = serializers.ListField(child=PublicId(Kind.VEHICLE), required=False, max_length=1000)

    def get_queryset(self) -> Any:
        return access(self.request).organization.devices.prefetch_related("vehicles")

    @extend_schema(responses=DeviceOutput(many=True))
    def get(self, request: Request) -> Response:
        """A page of devices, revoked ones too."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(DeviceOutput(page, many=True).data)

    @extend_schema(request=Input, responses={201: DeviceWithKey})
    def post(self, request: Request) -> Response:
        """A new device and its key."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        wanted = set(data.validated_data.get("vehicles", ()))
        vehicles = list(found.organization.vehicles.filter(pk__in=wanted))
        if len(vehicles) != len(wanted):
            raise serializers.ValidationError({"vehicles": ["Some of these vehicles do not exist here."]})
        device, key = device_create(
            organization=found.organization,
            user=found.user,
            name=data.validated_data["name"],
            vehicles=vehicles,
            request=request,
        )
        return Response({**DeviceOutput(device).data, "key": key}, status=status.HTTP_201_CREATED, headers=NO_STORE)


class _OneDevice(APIView):
    def _device(self, request: Request, device_id: int) -> Device:
        device = access(request).organization.devices.filter(pk=device_id, revoked_at=None).first()
        if device is None:
            raise NotFound
        return device


class DeviceDetail(_OneDevice):
    """One device."""

    roles = {"GET": Role.OPERATOR, "DELETE": Role.ADMIN}

    @extend_schema(responses=DeviceOutput)
    def get(self, request: Request, device_id: int) -> Response:
        """The device."""
        return Response(DeviceOutput(self._device(request, device_id)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, device_id: int) -> Response:
        """Revoke its key."""
        device_revoke(device=self._device(request, device_id), user=access(request).user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeviceRotate(_OneDevice):
    """A new key for a device."""

    roles = {"POST": Role.ADMIN}

    @extend_schema(request=None, responses=DeviceWithKey)
    def post(self, request: Request, device_id: int) -> Response:
        """Replace the key; the old one stops working within a minute."""
        device = self._device(request, device_id)
        key = device_rotate(device=device, user=access(request).user, request=request)
        return Response({**DeviceOutput(device).data, "key": key}, headers=NO_STORE)

"""API of commands, trouble codes and vehicle settings."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.api import BoundedPages, NewestFirst, NotFound, choice_of
from fleet.lib.fields import PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind
from telemetry.commands import queue
from telemetry.commands.descriptions import describe
from telemetry.models import Command, TroubleCode, TroubleCodeStatus, VehicleSettings
from vehicles.access import find_vehicle

_VEHICLE = OpenApiParameter("vehicle", str, description="Id, VIN or alias.")


class CommandOutput(serializers.ModelSerializer[Command]):
    vehicle = PublicId(Kind.VEHICLE, source="vehicle_id", read_only=True)
    user = serializers.CharField(allow_null=True)

    class Meta:
        model = Command
        fields = (
            "id", "vehicle", "user", "type", "arguments", "state", "result", "detail", "created_at", "sent_at",
            "finished_at", "expires_at",
        )  # fmt: skip


class CommandInput(StrictSerializer):
    """A command as a client asks for it."""

    type = serializers.ChoiceField(list(queue.KINDS))
    arguments = serializers.DictField(required=False)
    confirm = serializers.BooleanField(required=False, help_text="Needed to clear trouble codes.")


class ByCreation(BoundedPages, CursorPagination):
    """The newest first, by time of creation."""

    ordering = ("-created_at", "-id")


class VehicleCommands(APIView):
    """Ask a vehicle's agent to do something."""

    roles = {"POST": Role.OPERATOR}

    @extend_schema(request=CommandInput, responses={202: CommandOutput})
    def post(self, request: Request, vehicle: str) -> Response:
        """Queue a command; its outcome is at `/commands/{id}`."""
        found = access(request)
        row = find_vehicle(found.organization, vehicle)
        data = CommandInput(data=request.data)
        data.is_valid(raise_exception=True)
        if data.validated_data["type"] == "collector_config" and found.role < Role.ADMIN:
            raise PermissionDenied
        command = queue.create(
            vehicle=row,
            user=found.user,
            kind=data.validated_data["type"],
            arguments=data.validated_data.get("arguments", {}),
            confirmed=data.validated_data.get("confirm", False),
            request=request,
        )
        return Response(CommandOutput(command).data, status=status.HTTP_202_ACCEPTED)


class Commands(generics.ListAPIView[Command]):
    """Commands, the newest first."""

    queryset = Command.objects.none()
    serializer_class = CommandOutput
    pagination_class = ByCreation

    def get_queryset(self) -> Any:
        organization = access(self.request).organization
        queue.expire(organization.pk)
        commands = organization.commands.select_related("user")
        named = self.request.query_params.get("vehicle")
        return commands.filter(vehicle=find_vehicle(organization, named)) if named else commands

    @extend_schema(parameters=[_VEHICLE])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All of the organization, or one vehicle's."""
        return super().get(request, *args, **kwargs)


class CommandDetail(APIView):
    """One command and its outcome."""

    @extend_schema(responses=CommandOutput)
    def get(self, request: Request, command_id: Any) -> Response:
        """The command."""
        queue.expire(access(request).organization.pk)
        command = access(request).organization.commands.select_related("user").filter(pk=command_id).first()
        if command is None:
            raise NotFound
        return Response(CommandOutput(command).data)


class TroubleCodeOutput(serializers.ModelSerializer[TroubleCode]):
    id = own_id(Kind.TROUBLE_CODE)
    vehicle = PublicId(Kind.VEHICLE, source="vehicle_id", read_only=True)
    description = serializers.SerializerMethodField()

    class Meta:
        model = TroubleCode
        fields = (
            "id", "vehicle", "code", "description", "status", "first_seen", "last_seen", "cleared_at", "freeze_frame",
        )  # fmt: skip

    def get_description(self, row: TroubleCode) -> str:
        """The code in words."""
        return describe(row.code)


class TroubleCodes(generics.ListAPIView[TroubleCode]):
    """Trouble codes that were ever told."""

    queryset = TroubleCode.objects.none()
    serializer_class = TroubleCodeOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        organization = access(self.request).organization
        codes = organization.trouble_codes.all()
        query = self.request.query_params
        if query.get("vehicle"):
            codes = codes.filter(vehicle=find_vehicle(organization, query["vehicle"]))
        status = choice_of(query, "status", TroubleCodeStatus.values)
        return codes.filter(status=status) if status else codes

    @extend_schema(parameters=[_VEHICLE, OpenApiParameter("status", str, enum=("", *TroubleCodeStatus.values))])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All of the organization, one vehicle's, or those in one status."""
        return super().get(request, *args, **kwargs)


class SettingsOutput(serializers.ModelSerializer[VehicleSettings]):
    class Meta:
        model = VehicleSettings
        fields = ("desired", "reported", "reported_at")


class Settings(APIView):
    """What was asked of a vehicle's settings, and what its agent says they are."""

    @extend_schema(responses=SettingsOutput)
    def get(self, request: Request, vehicle: str) -> Response:
        """Desired and reported; a command of type `setting` changes the desired ones."""
        row = find_vehicle(access(request).organization, vehicle)
        return Response(SettingsOutput(queue.settings_of(row)).data)

"""API of geofences."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts.access import find_fence
from alerts.models import Geofence
from alerts.services import fence_delete, fence_save
from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.fields import Name, own_id
from fleet.lib.public_ids import Kind


@extend_schema_field(
    {
        "type": "object", "required": ["type"],
        "properties": {"type": {"type": "string"}, "coordinates": {"type": "array", "items": {}}},
    }
)  # fmt: skip
class Geometry(serializers.JSONField):
    """A GeoJSON geometry, or a Feature with one."""


class FenceInput(serializers.ModelSerializer[Geofence]):
    """A geofence: a GeoJSON geometry; a Point or a LineString has a radius in metres."""

    id = own_id(Kind.GEOFENCE)
    name = Name(max_length=100)
    geometry = Geometry()

    class Meta:
        model = Geofence
        fields = ("id", "name", "geometry", "radius", "created_at", "updated_at")
        read_only_fields = ("id", "created_at", "updated_at")

    def validate_geometry(self, value: Any) -> Any:
        """A Feature counts by its geometry."""
        found = value.get("geometry") if isinstance(value, dict) and value.get("type") == "Feature" else value
        if not isinstance(found, dict):
            raise serializers.ValidationError("A GeoJSON geometry is an object.")
        return found


class Fences(generics.GenericAPIView[Geofence]):
    """The organization's geofences."""

    roles = {"POST": Role.OPERATOR}
    queryset = Geofence.objects.none()
    serializer_class = FenceInput

    def get_queryset(self) -> Any:
        return access(self.request).organization.geofences.all()

    @extend_schema(responses=FenceInput(many=True))
    def get(self, request: Request) -> Response:
        """A page of geofences."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(FenceInput(page, many=True).data)

    @extend_schema(request=FenceInput, responses={201: FenceInput})
    def post(self, request: Request) -> Response:
        """A new geofence."""
        data = FenceInput(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        fence = Geofence(organization=found.organization)
        fence = fence_save(fence=fence, user=found.user, request=request, **data.validated_data)
        return Response(FenceInput(fence).data, status=status.HTTP_201_CREATED)


class FenceDetail(APIView):
    """One geofence."""

    roles = {"PATCH": Role.OPERATOR, "DELETE": Role.OPERATOR}

    @extend_schema(responses=FenceInput)
    def get(self, request: Request, fence: int) -> Response:
        """The geofence."""
        return Response(FenceInput(find_fence(access(request).organization, fence)).data)

    @extend_schema(request=FenceInput(partial=True), responses=FenceInput)
    def patch(self, request: Request, fence: int) -> Response:
        """Change some of it."""
        found = access(request)
        row = find_fence(found.organization, fence)
        data = FenceInput(row, data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        row = fence_save(fence=row, user=found.user, request=request, **data.validated_data)
        return Response(FenceInput(row).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, fence: int) -> Response:
        """Delete it, where no rule asks for it."""
        found = access(request)
        fence_delete(fence=find_fence(found.organization, fence), user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)

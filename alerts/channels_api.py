"""API of channels, geofences and push subscriptions."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts import by_hand, starter
from alerts.access import find_channel, find_fence
from alerts.models import Channel, ChannelKind, Delivery, Geofence, Severity
from alerts.services import channel_delete, channel_save, fence_delete, fence_save
from alerts.wire import DAYS, BadCondition, minute_of
from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.fields import Name, own_id
from fleet.lib.public_ids import Kind

PUSH = "integrations.channels.push"


class Quiet(serializers.Serializer[Any]):
    """Quiet hours in the organization's time zone."""

    to = serializers.CharField()
    days = serializers.ListField(child=serializers.ChoiceField(DAYS), required=False)
    passes = serializers.ListField(child=serializers.CharField(), required=False, help_text="Severities.")

    def validate_passes(self, value: list[str]) -> list[str]:
        if not set(value) <= set(Severity.values):
            raise serializers.ValidationError(f"A list of {', '.join(Severity.values)}.")
        return value

    def get_fields(self) -> Any:
        return {"from": serializers.CharField(), **super().get_fields()}


class ChannelInput(serializers.Serializer[Any]):
    """What a client may set of a channel."""

    kind = serializers.ChoiceField(ChannelKind.choices)
    name = Name(max_length=100)
    config = serializers.DictField(required=False)
    quiet = Quiet(required=False, allow_null=True)


def fields_of(data: dict[str, Any]) -> dict[str, Any]:
    """Validated input as arguments of `channel_save`."""
    fields: dict[str, Any] = {name: data[name] for name in ("kind", "name") if name in data}
    if "quiet" in data:
        quiet = data["quiet"] or {}
        try:
            fields |= {
                "quiet_from": minute_of(quiet["from"]) % 1440 if quiet else None,
                "quiet_to": minute_of(quiet["to"]) % 1440 if quiet else None,
                "quiet_days": [DAYS.index(day) for day in quiet.get("days", ())],
                "quiet_passes": sorted(quiet.get("passes", ())),
            }
        except BadCondition as error:
            raise serializers.ValidationError({"quiet": [error.detail]}) from None
    return fields


def shape(channel: Channel) -> dict[str, Any]:
    """A channel as the API shows it: a webhook's secret only when it was just made."""
    quiet = None
    if channel.quiet_from is not None and channel.quiet_to is not None:
        quiet = {
            "from": _clock(channel.quiet_from), "to": _clock(channel.quiet_to),
            "days": [DAYS[day] for day in channel.quiet_days], "passes": channel.quiet_passes,
        }  # fmt: skip
    body = {
        "id": channel.public_id, "kind": channel.kind, "name": channel.name, "config": channel.config, "quiet": quiet,
        "disabled_at": channel.disabled_at, "disabled_because": channel.disabled_because,
        "recipients": [
            {"address": r.address, "confirmed": r.confirmed_at is not None, "unsubscribed": bool(r.unsubscribed_at)}
            for r in channel.recipients.all()
        ],
        "created_at": channel.created_at,
    }  # fmt: skip
    secret = getattr(channel, "shown_secret", None)
    return {**body, "secret": secret} if secret else body


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


class Channels(generics.GenericAPIView[Channel]):
    """The organization's channels."""

    roles = {"GET": Role.OPERATOR, "POST": Role.OPERATOR}
    queryset = Channel.objects.none()
    serializer_class = ChannelInput

    def get_queryset(self) -> Any:
        return access(self.request).organization.channels.prefetch_related("recipients")

    @extend_schema(responses=ChannelInput(many=True))
    def get(self, request: Request) -> Response:
        """A page of channels."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([shape(channel) for channel in page or ()])

    @extend_schema(request=ChannelInput, responses={201: ChannelInput})
    def post(self, request: Request) -> Response:
        """A new channel; a webhook's secret is in this answer alone."""
        data = ChannelInput(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        channel = channel_save(
            channel=Channel(organization=found.organization), user=found.user, request=request,
            config=data.validated_data.get("config"), **fields_of(data.validated_data),
        )  # fmt: skip
        return Response(shape(channel), status=status.HTTP_201_CREATED)


class ChannelDetail(APIView):
    """One channel."""

    roles = {"GET": Role.OPERATOR, "PATCH": Role.OPERATOR, "DELETE": Role.OPERATOR}

    @extend_schema(responses=ChannelInput)
    def get(self, request: Request, channel: int) -> Response:
        """The channel."""
        return Response(shape(find_channel(access(request).organization, channel)))

    @extend_schema(request=ChannelInput(partial=True), responses=ChannelInput)
    def patch(self, request: Request, channel: int) -> Response:
        """Change some of it, and enable it again."""
        found = access(request)
        row = find_channel(found.organization, channel)
        data = ChannelInput(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        if data.validated_data.get("kind", row.kind) != row.kind:
            raise serializers.ValidationError({"kind": ["A channel's kind stays: make another one."]})
        fields = fields_of(data.validated_data)
        row = channel_save(
            channel=row, user=found.user, request=request, config=data.validated_data.get("config"), **fields
        )
        return Response(shape(row))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, channel: int) -> Response:
        """Delete it."""
        found = access(request)
        channel_delete(channel=find_channel(found.organization, channel), user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ChannelTest(APIView):
    """Whether a channel works."""

    roles = {"GET": Role.OPERATOR, "POST": Role.OPERATOR}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, channel: int) -> Response:
        """What became of the newest tests, with the provider's words."""
        tests = find_channel(access(request).organization, channel).deliveries.filter(kind="test")
        return Response({"results": [_test(row) for row in tests.order_by("-created_at")[:20]]})

    @extend_schema(request=None, responses={202: dict})
    def post(self, request: Request, channel: int) -> Response:
        """Have a test sent within seconds; GET tells what became of it."""
        made = by_hand.queue_test(find_channel(access(request).organization, channel))
        return Response({"results": [_test(row) for row in made]}, status=status.HTTP_202_ACCEPTED)


def _test(row: Delivery) -> dict[str, str]:
    return {"id": str(row.pk), "state": row.state, "words": row.words, "recipient": row.recipient}


class FenceInput(serializers.ModelSerializer[Geofence]):
    """A geofence: a GeoJSON geometry; a Point or a LineString has a radius in metres."""

    id = own_id(Kind.GEOFENCE)
    name = Name(max_length=100)

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


class StarterSet(APIView):
    """Rules that make a good beginning."""

    roles = {"POST": Role.OPERATOR}

    @extend_schema(request=None, responses={201: dict})
    def post(self, request: Request) -> Response:
        """Add those for the vehicles here that are not there yet."""
        found = access(request)
        count = starter.add(organization=found.organization, user=found.user, request=request)
        return Response({"added": count}, status=status.HTTP_201_CREATED)


class PushBrowsers(APIView):
    """The browsers in which a person gets notifications."""

    class Input(serializers.Serializer[Any]):
        endpoint = serializers.CharField(max_length=1_000)
        p256dh = serializers.CharField(max_length=200)
        auth = serializers.CharField(max_length=100)
        name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")

    @extend_schema(responses={200: dict})
    def get(self, request: Request) -> Response:
        """The key that browsers subscribe with, and how many of this person's are."""
        found = access(request)
        mine = found.organization.push_subscriptions.filter(user=found.user)
        return Response({"public_key": import_string(f"{PUSH}.public_key")(), "browsers": mine.count()})

    @extend_schema(request=Input, responses={201: dict})
    def post(self, request: Request) -> Response:
        """Subscribe a browser."""
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        import_string(f"{PUSH}.subscribe")(found.organization, found.user, **data.validated_data)
        return Response({"subscribed": True}, status=status.HTTP_201_CREATED)

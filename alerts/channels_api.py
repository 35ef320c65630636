"""API of channels and push subscriptions."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts import by_hand, starter
from alerts.access import find_channel
from alerts.models import Channel, ChannelKind, Delivery, Severity
from alerts.services import channel_delete, channel_save
from alerts.wire import DAYS, BadCondition, minute_of
from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.fields import Name, PublicId, StrictSerializer
from fleet.lib.public_ids import Kind

PUSH = "integrations.channels.push"


class Quiet(StrictSerializer):
    """Quiet hours in the organization's time zone."""

    to = serializers.CharField()
    days = serializers.ListField(child=serializers.ChoiceField(DAYS), required=False)
    passes = serializers.ListField(child=serializers.ChoiceField(Severity.choices), required=False)

    def get_fields(self) -> Any:
        return {"from": serializers.CharField(), **super().get_fields()}


class ChannelInput(StrictSerializer):
    """What a client may set of a channel."""

    kind = serializers.ChoiceField(ChannelKind.choices)
    name = Name(max_length=100)
    config = serializers.DictField(required=False)
    quiet = Quiet(required=False, allow_null=True)


class RecipientOutput(serializers.Serializer[Any]):
    """An address that a channel writes to."""

    address = serializers.CharField()
    confirmed = serializers.BooleanField()
    unsubscribed = serializers.BooleanField()


class ChannelOutput(ChannelInput):
    """A channel as the API shows it."""

    id = PublicId(Kind.CHANNEL)
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_because = serializers.CharField()
    recipients = RecipientOutput(many=True)
    created_at = serializers.DateTimeField()
    secret = serializers.CharField(required=False, help_text="What signs a webhook's messages, shown this once.")


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

    @extend_schema(responses=ChannelOutput(many=True))
    def get(self, request: Request) -> Response:
        """A page of channels."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([shape(channel) for channel in page or ()])

    @extend_schema(request=ChannelInput, responses={201: ChannelOutput})
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

    @extend_schema(responses=ChannelOutput)
    def get(self, request: Request, channel: int) -> Response:
        """The channel."""
        return Response(shape(find_channel(access(request).organization, channel)))

    @extend_schema(request=ChannelInput(partial=True), responses=ChannelOutput)
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

    class Input(StrictSerializer):
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

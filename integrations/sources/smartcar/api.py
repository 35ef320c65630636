"""API of connections and their webhooks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts.access import access
from fleet.accounts.models import Role
from fleet.lib.api import NewestFirst, NotFound
from fleet.lib.fields import PublicId, StrictSerializer, own_id
from fleet.lib.public_ids import Kind
from integrations.sources.smartcar import connecting, polling, processing, selectors
from integrations.sources.smartcar.models import CloudVehicle, Generation, WebhookEvent


class ConnectionOutput(serializers.ModelSerializer[CloudVehicle]):
    id = own_id(Kind.CONNECTION)
    vehicle = PublicId(Kind.VEHICLE, source="vehicle_id", read_only=True)
    state = serializers.SerializerMethodField()
    detail = serializers.SerializerMethodField()
    requests_left = serializers.SerializerMethodField()
    generation = serializers.CharField(source="account.generation")
    mode = serializers.CharField(source="account.mode")

    class Meta:
        model = CloudVehicle
        fields = (
            "id", "vehicle", "remote_id", "generation", "mode", "state", "detail", "error_code", "permissions",
            "connected_at", "last_sync", "last_webhook", "last_poll", "poll_at", "requests_left", "asleep",
        )  # fmt: skip

    def get_state(self, row: CloudVehicle) -> str:
        """connected, syncing, warning or broken."""
        return str(selectors.describe(row)["state"])

    def get_detail(self, row: CloudVehicle) -> str:
        """What is wrong, in words."""
        return str(selectors.describe(row)["words"])

    def get_requests_left(self, row: CloudVehicle) -> int:
        """Of the month's allowance."""
        return int(selectors.describe(row)["left"])


class ConnectInput(StrictSerializer):
    """How a car is to be connected."""

    mode = serializers.ChoiceField(["live", "simulated"], required=False)
    make = serializers.CharField(required=False, max_length=30)
    vin = serializers.CharField(required=False, max_length=17)
    generation = serializers.ChoiceField(Generation.choices, required=False, default=Generation.V3)


class ConnectOutput(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Open it in the browser of the person who asked; it is good for 30 minutes.")


class Connections(generics.ListAPIView[CloudVehicle]):
    """Connected vehicles."""

    roles = {"POST": Role.OPERATOR}
    queryset = CloudVehicle.objects.none()
    serializer_class = ConnectionOutput

    def get_queryset(self) -> Any:
        return selectors.links_of(access(self.request).organization)

    @extend_schema(request=ConnectInput, responses={201: ConnectOutput})
    def post(self, request: Request) -> Response:
        """Begin to connect a car: the address to open."""
        found = access(request)
        data = ConnectInput(data=request.data)
        data.is_valid(raise_exception=True)
        url = connecting.begin(organization=found.organization, user=found.user, **data.validated_data)
        return Response({"url": url}, status=status.HTTP_201_CREATED)


class ConnectionDetail(APIView):
    """One connection."""

    roles = {"DELETE": Role.ADMIN}

    @extend_schema(responses=ConnectionOutput)
    def get(self, request: Request, link_id: int) -> Response:
        """How it is."""
        return Response(ConnectionOutput(_link(request, link_id)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, link_id: int) -> Response:
        """Disconnect: Smartcar's access ends, tokens are forgotten, readings stay."""
        connecting.disconnect(_link(request, link_id), access(request).user, request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConnectionSync(APIView):
    """Ask the maker's cloud now."""

    roles = {"POST": Role.OPERATOR}

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, link_id: int) -> Response:
        """Within the allowance."""
        link = _link(request, link_id)
        polling.sync_soon(selectors.links_of(link.organization).filter(pk=link.pk))
        return Response(status=status.HTTP_202_ACCEPTED)


class WebhookOutput(serializers.ModelSerializer[WebhookEvent]):
    id = own_id(Kind.WEBHOOK_EVENT)

    class Meta:
        model = WebhookEvent
        fields = ("id", "event_id", "kind", "state", "detail", "readings", "deliveries", "received_at", "processed_at")


class Webhooks(generics.ListAPIView[WebhookEvent]):
    """Deliveries that told of the organization's vehicles."""

    queryset = WebhookEvent.objects.none()
    serializer_class = WebhookOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return selectors.events_of(access(self.request).organization)


class WebhookReplay(APIView):
    """Process a delivery again."""

    roles = {"POST": Role.ADMIN}

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, event_id: int) -> Response:
        """What is stored already stays as it is."""
        events = selectors.events_of(access(request).organization).filter(pk=event_id)
        if not events.exists():
            raise NotFound
        processing.replay(events)
        return Response(status=status.HTTP_202_ACCEPTED)


def _link(request: Request, link_id: int) -> CloudVehicle:
    link = selectors.links_of(access(request).organization).filter(pk=link_id).first()
    if link is None:
        raise NotFound
    return link

"""API of rules: what they say, and what they would have said."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts import backtest, durations
from alerts.access import find_rule
from alerts.models import AlertRule, Escalation, Severity
from alerts.services import rule_delete, rule_save
from fleet.accounts.access import access
from fleet.accounts.models import Organization, Role
from fleet.lib.api import NotFound, parse_time
from fleet.lib.fields import Name, PublicId, StrictSerializer
from fleet.lib.public_ids import Kind, public_id
from vehicles.access import find_vehicle

DURATIONS = {"for": "lasting", "clear_for": "clear_lasting", "within": "within", "hold": "hold", "cooldown": "cooldown"}
"""The API's names of the row's durations."""


@extend_schema_field(OpenApiTypes.STR)
class Duration(serializers.Field[Any, Any, Any, Any]):
    """An ISO 8601 duration."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return durations.parse(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: Any) -> str:
        return durations.iso(value)


_NAMES = {"type": "array", "items": {"type": "string"}, "maxItems": 1_000}
_OBJECT = {"type": "object", "nullable": True}


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["all"]},
            _NAMES,
            {
                "type": "object", "minProperties": 1, "additionalProperties": False,
                "properties": {"vehicles": _NAMES, "groups": _NAMES, "tags": _NAMES},
            },
        ]
    }
)  # fmt: skip
class Scope(serializers.Field[Any, Any, Any, Any]):
    """``"all"``, a list of vehicles, or ``{"vehicles"?, "groups"?, "tags"?}``."""

    def to_internal_value(self, data: Any) -> Any:
        if data == "all":
            return {"all_vehicles": True}
        if isinstance(data, list):
            data = {"vehicles": data}
        lists = ("vehicles", "groups", "tags")
        if not isinstance(data, dict) or not data or set(data) - set(lists):
            raise serializers.ValidationError('Give "all", a list of vehicles, or {"vehicles", "groups", "tags"}.')
        if not all(isinstance(data.get(name, []), list) and len(data.get(name, [])) <= 1_000 for name in lists):
            raise serializers.ValidationError("vehicles, groups and tags are lists of at most 1,000.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(_OBJECT)
class Condition(serializers.JSONField):
    """An object whose meaning is checked when the rule is saved."""


class Step(StrictSerializer):
    """An escalation: whom to notify after how long."""

    after = Duration()
    channel = PublicId(Kind.CHANNEL)


class RuleInput(StrictSerializer):
    """What a client may set of a rule; only the name and the condition are required."""

    name = Name(max_length=120)
    severity = serializers.ChoiceField(Severity.choices, required=False)
    enabled = serializers.BooleanField(required=False)
    vehicles = Scope(required=False)
    condition = Condition()
    clear = Condition(required=False, allow_null=True)
    clear_for = Duration(required=False)
    times = serializers.IntegerField(required=False, min_value=1, max_value=100)
    within = Duration(required=False)
    hold = Duration(required=False)
    cooldown = Duration(required=False)
    tell_cleared = serializers.BooleanField(required=False)
    schedule = Condition(required=False, allow_null=True)
    channels = serializers.ListField(child=PublicId(Kind.CHANNEL), required=False, max_length=50)
    escalations = Step(many=True, required=False)

    def get_fields(self) -> Any:
        fields = super().get_fields()
        fields["for"] = Duration(required=False)  # a word of Python's
        return fields

    def validate_condition(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise serializers.ValidationError("A condition is an object.")
        return value

    def validate_schedule(self, value: Any) -> Any:
        if value is not None and not isinstance(value, dict):
            raise serializers.ValidationError('A schedule is like {"days": ["mon"], "from": "08:00", "to": "18:00"}.')
        return value


class RuleOutput(RuleInput):
    """A rule as the API shows it."""

    id = PublicId(Kind.RULE)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


def fields_of(data: dict[str, Any], organization: Organization) -> dict[str, Any]:
    """Validated input as arguments of `rule_save`.

    Raises:
        ValidationError: a vehicle, group or channel does not exist here.
    """
    fields = {DURATIONS.get(name, name): value for name, value in data.items()}
    scope = fields.pop("vehicles", None)
    if scope is not None:
        fields |= {"all_vehicles": scope.get("all_vehicles", False), "vehicles": [], "groups": [], "tags": []}
        try:
            fields["vehicles"] = [find_vehicle(organization, str(name)) for name in scope.get("vehicles", [])]
        except NotFound:
            raise serializers.ValidationError({"vehicles": ["Some of these vehicles do not exist here."]}) from None
        names = [str(name) for name in scope.get("groups", [])]
        fields["groups"] = list(organization.vehicle_groups.filter(name__in=names))
        if len(fields["groups"]) != len(set(names)):
            raise serializers.ValidationError({"vehicles": ["Some of these groups do not exist here."]})
        fields["tags"] = [str(tag)[:50] for tag in scope.get("tags", [])]
    wanted = {*fields.get("channels", ()), *(step["channel"] for step in fields.get("escalations", ()))}
    channels = {c.pk: c for c in organization.channels.filter(pk__in=wanted)}
    if set(channels) != wanted:
        raise serializers.ValidationError({"channels": ["Some of these channels do not exist here."]})
    if "channels" in fields:
        fields["channels"] = [channels[pk] for pk in fields["channels"]]
    if "escalations" in fields:
        steps = fields["escalations"]
        fields["escalations"] = [Escalation(after=s["after"], channel=channels[s["channel"]]) for s in steps]
    return fields


def shape(rule: AlertRule) -> dict[str, Any]:
    """A rule as the API shows it."""
    scope: Any = "all"
    if not rule.all_vehicles:
        scope = {
            "vehicles": [vehicle.public_id for vehicle in rule.vehicles.all()],
            "groups": [group.name for group in rule.groups.all()],
            "tags": rule.tags,
        }
    return {
        "id": rule.public_id, "name": rule.name, "severity": rule.severity, "enabled": rule.enabled, "vehicles": scope,
        "condition": rule.condition, "clear": rule.clear, "times": rule.times, "schedule": rule.schedule,
        "tell_cleared": rule.tell_cleared,
        **{name: durations.iso(getattr(rule, field)) for name, field in DURATIONS.items()},
        "channels": [channel.public_id for channel in rule.channels.all()],
        "escalations": [
            {"after": durations.iso(step.after), "channel": public_id(Kind.CHANNEL, step.channel_id)}
            for step in rule.escalations.all()
        ],
        "created_at": rule.created_at, "updated_at": rule.updated_at,
    }  # fmt: skip


class Rules(generics.GenericAPIView[AlertRule]):
    """The organization's rules."""

    roles = {"POST": Role.OPERATOR}
    queryset = AlertRule.objects.none()
    serializer_class = RuleInput

    def get_queryset(self) -> Any:
        rules = access(self.request).organization.alert_rules
        return rules.prefetch_related("vehicles", "groups", "channels", "escalations")

    @extend_schema(responses=RuleOutput(many=True))
    def get(self, request: Request) -> Response:
        """A page of rules."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([shape(rule) for rule in page or ()])

    @extend_schema(request=RuleInput, responses={201: RuleOutput})
    def post(self, request: Request) -> Response:
        """A new rule; it evaluates readings from now on."""
        data = RuleInput(data=request.data)
        data.is_valid(raise_exception=True)
        found = access(request)
        fields = fields_of(data.validated_data, found.organization)
        rule = rule_save(rule=AlertRule(organization=found.organization), user=found.user, request=request, **fields)
        return Response(shape(rule), status=status.HTTP_201_CREATED)


class RuleDetail(APIView):
    """One rule."""

    roles = {"PATCH": Role.OPERATOR, "DELETE": Role.OPERATOR}

    @extend_schema(responses=RuleOutput)
    def get(self, request: Request, rule: int) -> Response:
        """The rule."""
        return Response(shape(find_rule(access(request).organization, rule)))

    @extend_schema(request=RuleInput(partial=True), responses=RuleOutput)
    def patch(self, request: Request, rule: int) -> Response:
        """Change some of it; where it then says something else, its open alerts are cleared."""
        found = access(request)
        row = find_rule(found.organization, rule)
        data = RuleInput(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        fields = fields_of(data.validated_data, found.organization)
        return Response(shape(rule_save(rule=row, user=found.user, request=request, **fields)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, rule: int) -> Response:
        """Delete it; its alerts stay."""
        found = access(request)
        rule_delete(rule=find_rule(found.organization, rule), user=found.user, request=request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Backtest(APIView):
    """What a rule would have done."""

    @extend_schema(
        request=RuleInput(partial=True),
        parameters=[OpenApiParameter(name, str) for name in ("vehicle", "from", "to")],
        responses={200: dict},
    )
    def post(self, request: Request) -> Response:
        """The episodes that a rule would have had on a vehicle: the last seven days, or ``from`` and ``to``."""
        organization = access(request).organization
        data = RuleInput(data={"name": "backtest", **(request.data if isinstance(request.data, dict) else {})})
        data.is_valid(raise_exception=True)
        fields = {k: v for k, v in data.validated_data.items() if k not in ("vehicles", "channels", "escalations")}
        fields = fields_of(fields, organization)
        rule = AlertRule(organization=organization, **fields)
        vehicle = find_vehicle(organization, request.query_params.get("vehicle", ""))
        span = [request.query_params.get(name) for name in ("from", "to")]
        times = [parse_time(words, name) if words else None for words, name in zip(span, ("from", "to"), strict=True)]
        return Response(backtest.run(rule, vehicle, *times))

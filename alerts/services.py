"""What happens to rules, fences and channels: one transaction each, with its audit event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from alerts import wire
from alerts.channels import carrier
from alerts.evaluation import compiled, progress, spans
from alerts.handling import clear
from alerts.models import (
    AlertRule,
    Channel,
    ChannelKind,
    Escalation,
    Geofence,
)
from alerts.rules.fences import NoFence, fence_of
from fleet.accounts.models import Organization, User
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError
from vehicles.models import Group, Vehicle

MOST_RULES, MOST_FENCES, MOST_CHANNELS = 500, 500, 100
_EVALUATED = {
    "condition", "clear", "lasting", "clear_lasting", "times", "within", "hold", "schedule", "enabled",
    "all_vehicles", "vehicles", "groups", "tags",
}  # fmt: skip
"""Fields that change what alerts a rule raises."""


class Refused(MotorpoolError):
    """Something here cannot be done (409)."""

    status = 409
    code = "conflict"


@transaction.atomic
def rule_save(
    *,
    rule: AlertRule,
    user: User,
    request: Any = None,
    vehicles: Sequence[Vehicle] | None = None,
    groups: Sequence[Group] | None = None,
    channels: Sequence[Channel] | None = None,
    escalations: Sequence[Escalation] | None = None,
    **fields: Any,
) -> AlertRule:
    """Make or change a rule; one that says something else closes its open alerts and begins anew.

    Raises:
        BadCondition: its condition cannot be evaluated.
        Refused: there are too many rules.
    """
    new = rule.pk is None
    if new and rule.organization.alert_rules.count() >= MOST_RULES:
        raise Refused(f"An organization has at most {MOST_RULES} rules.")
    anew = not new and _says_something_else(rule, fields, vehicles, groups)
    for name, value in fields.items():
        setattr(rule, name, value)
    check(rule)
    rule.facts = sorted(_combined_facts(rule))
    if new or anew:
        rule.begins = timezone.now()
        rule.revision += 0 if new else 1
    rule.created_by = rule.created_by or user
    rule.save()
    for relation, rows in (("vehicles", vehicles), ("groups", groups), ("channels", channels)):
        if rows is not None:
            getattr(rule, relation).set(rows)
    if new and channels is None and (default := _default_channel(rule.organization)) is not None:
        rule.channels.set([default])
    if escalations is not None:
        rule.escalations.all().delete()
        for step in escalations:
            step.rule = rule
            step.save()
    if anew:
        clear(rule.alerts.all(), "The rule was changed.", over=not rule.enabled)
    if new or anew:
        spans.forget_unused(rule.organization)
        # What was told lately counts for it too, and nobody has to tell it again.
        progress.look_soon(rule.organization_id)
    action = "alert_rule.created" if new else "alert_rule.updated"
    audit(action, organization=rule.organization, user=user, target=rule, request=request)
    return rule


def _combined_facts(rule: AlertRule) -> set[str]:
    if wire.is_fact(rule.condition):
        return set()
    return wire.facts_in(rule.condition) | (wire.facts_in(rule.clear) if rule.clear else set())


def _says_something_else(
    rule: AlertRule, fields: dict[str, Any], vehicles: Sequence[Vehicle] | None, groups: Sequence[Group] | None
) -> bool:
    if any(getattr(rule, name) != value for name, value in fields.items() if name in _EVALUATED):
        return True
    for relation, rows in (("vehicles", vehicles), ("groups", groups)):
        if rows is not None and {row.pk for row in rows} != set(getattr(rule, relation).values_list("pk", flat=True)):
            return True
    return False


def check(rule: AlertRule) -> None:
    """Raises `BadCondition` where a rule cannot be evaluated."""
    wire.compile_schedule(rule.schedule, rule.organization.time_zone)
    if isinstance(rule.condition, dict) and wire.is_fact(rule.condition):
        wire.check_fact(rule.condition)
        if rule.clear or rule.times > 1 or rule.schedule:
            raise wire.BadCondition("state, dtc and source clear by themselves, and count neither times nor hours.")
        return
    fences = set(rule.organization.geofences.values_list("pk", flat=True))
    compiled.rule_of(rule, rule.organization, fences)
    if rule.times > 1 and not rule.within:
        raise wire.BadCondition("times needs within: the time in which they are counted.")


@transaction.atomic
def rule_delete(*, rule: AlertRule, user: User, request: Any = None) -> None:
    """Delete a rule; its alerts stay, those that are open are cleared."""
    # Locked first, as evaluations do.
    AlertRule.objects.select_for_update().get(pk=rule.pk)
    clear(rule.alerts.all(), "The rule was deleted.")
    audit("alert_rule.deleted", organization=rule.organization, user=user, target=rule, request=request)
    rule.delete()
    spans.forget_unused(rule.organization)


@transaction.atomic
def fence_save(*, fence: Geofence, user: User, request: Any = None, **fields: Any) -> Geofence:
    """Make or change a geofence.

    Raises:
        MotorpoolError: its shape is none (422), its name is taken or there are too many (409).
    """
    new = fence.pk is None
    for name, value in fields.items():
        setattr(fence, name, value)
    if new and fence.organization.geofences.count() >= MOST_FENCES:
        raise Refused(f"An organization has at most {MOST_FENCES} geofences.")
    try:
        fence_of(fence.geometry, fence.radius)
    except NoFence as error:
        raise MotorpoolError(str(error), status=422) from None
    try:
        with transaction.atomic():
            fence.save()
    except IntegrityError:
        raise Refused("Another geofence has that name.") from None
    action = "geofence.created" if new else "geofence.updated"
    audit(action, organization=fence.organization, user=user, target=fence, request=request)
    return fence


@transaction.atomic
def fence_delete(*, fence: Geofence, user: User, request: Any = None) -> None:
    """Delete a geofence that no rule asks for; raises `Refused`."""
    for rule in fence.organization.alert_rules.all():
        if any(fence.pk in wire.fence_ids(part) for part in (rule.condition, rule.clear) if part):
            raise Refused(f"The rule {rule.name!r} asks for this geofence.")
    audit("geofence.deleted", organization=fence.organization, user=user, target=fence, request=request)
    fence.delete()


@transaction.atomic
def channel_save(
    *, channel: Channel, user: User | None, config: dict[str, Any] | None, request: Any = None, **fields: Any
) -> Channel:
    """Make or change a channel; saving it enables it again.

    Raises:
        MotorpoolError: its settings cannot be used.
    """
    new = channel.pk is None
    if new and channel.organization.channels.count() >= MOST_CHANNELS:
        raise Refused(f"An organization has at most {MOST_CHANNELS} channels.")
    for name, value in fields.items():
        setattr(channel, name, value)
    channel.disabled_at, channel.disabled_because = None, ""
    if config is not None or new:
        carrier(channel.kind).prepare(channel, config or {}, user)
    else:
        channel.save()
    channel.recipients.update(refused_at=None)
    action = "channel.created" if new else "channel.updated"
    audit(action, organization=channel.organization, user=user, target=channel, request=request)
    return channel


@transaction.atomic
def channel_delete(*, channel: Channel, user: User, request: Any = None) -> None:
    """Delete a channel, with what was sent through it."""
    audit("channel.deleted", organization=channel.organization, user=user, target=channel, request=request)
    channel.delete()


def _default_channel(organization: Organization) -> Channel | None:
    """For a rule that names no channel: ``ALERT_EMAIL_TO``, in the portal's first organization."""
    if not settings.ALERT_EMAIL_TO or Organization.objects.order_by("pk").first() != organization:
        return None
    known = organization.channels.filter(kind=ChannelKind.EMAIL, name="Alerts by e-mail").first()
    if known is not None:
        return known
    channel = Channel(organization=organization, kind=ChannelKind.EMAIL, name="Alerts by e-mail")
    return channel_save(channel=channel, user=None, config={"to": settings.ALERT_EMAIL_TO})

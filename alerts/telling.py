"""Tell people of alerts: whom, and at most once per rule, vehicle and cool-down. Channels carry it out afterwards.

First `choose` marks alerts that are about to be saved, then `announce` writes the messages of those that were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Prefetch

from alerts import news
from alerts.models import (
    Alert,
    AlertEvent,
    AlertRule,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryState,
    Escalation,
    EventKind,
)
from fleet.lib import bell

SETTLES = timedelta(seconds=10)
"""So long an end may still be taken back before it is told."""


@dataclass
class Told:
    """What has been written, and is to be made known once it is committed."""

    news: list[Alert] = field(default_factory=list)
    deliveries: int = 0

    def after_commit(self) -> None:
        """Tell the open pages, and ring for the deliveries."""
        news.publish(self.news)
        if self.deliveries:
            ring()


def ring() -> None:
    """Have what is due sent soon."""
    bell.announce("alerts.tasks.deliver", expires=30)


Chosen = Sequence[tuple[Alert, AlertRule]]
"""Alerts that are told now, with their rules."""


def choose(alerts: Sequence[Alert], now: datetime) -> Chosen:
    """Mark which alerts are told now, and the others with when their cool-down ends; the caller saves them."""
    chosen: list[tuple[Alert, AlertRule]] = []
    if not alerts:
        return chosen
    rules = _rules({alert.rule_id for alert in alerts if alert.rule_id is not None})
    last = _last_told(alerts)
    for alert in alerts:
        rule = rules.get(alert.rule_id or 0)
        if rule is None:
            continue
        before = last.get((alert.rule_id or 0, alert.vehicle_id))
        if before is not None and now < before + rule.cooldown:
            alert.tell_at = None if alert.cleared_at else before + rule.cooldown
            continue
        last[alert.rule_id or 0, alert.vehicle_id] = now
        alert.tell_at, alert.told_at = None, now
        first = next(iter(rule.escalations.all()), None)
        alert.escalate_at = None
        if first is not None and alert.cleared_at is None:
            alert.escalate_at = max(now + first.after, alert.snoozed_until or now)
        chosen.append((alert, rule))
    return chosen


def announce(chosen: Chosen, ended: Sequence[Alert], now: datetime) -> Told:
    """Write the messages of saved alerts: of chosen ones, and of told ones that ended where their rule wants that.

    An end waits a little, so that a reading that comes out of step can take it back (`take_back`).
    """
    deliveries = [
        delivery
        for alert, rule in chosen
        for channel in rule.channels.all()
        for delivery in messages_of(alert, channel, "opened", now)
    ]
    just_told = {alert.pk for alert, _ in chosen}
    deliveries += _ends([alert for alert in ended if alert.told_at is not None and alert.pk not in just_told], now)
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True, batch_size=1_000)
    return Told(deliveries=len(deliveries))


def _ends(alerts: Sequence[Alert], now: datetime) -> list[Delivery]:
    """The messages of ends, to those who were told of the beginnings, not yet saved."""
    asked = {alert.rule_id for alert in alerts if alert.rule_id is not None}
    wanting = set(AlertRule.objects.filter(pk__in=asked, tell_cleared=True).values_list("pk", flat=True))
    over = {alert.pk: alert for alert in alerts if alert.rule_id in wanting}
    told = Delivery.objects.filter(alert__in=list(over), kind__in=("opened", "escalated")).order_by()
    pairs = set(told.values_list("alert_id", "channel_id", "recipient"))
    channels = Channel.objects.filter(pk__in={channel for _, channel, _ in pairs}).prefetch_related("recipients")
    known = {channel.pk: channel for channel in channels}
    messages: list[Delivery] = []
    for alert_id, channel_id, recipient in sorted(pairs):
        due = max(now + SETTLES, over[alert_id].snoozed_until or now)
        made = messages_of(over[alert_id], known[channel_id], "cleared", due)
        messages += [message for message in made if message.recipient == recipient]
    return messages


def take_back(alerts: Sequence[Alert], now: datetime) -> None:
    """Alerts that had ended stand again: their ends are not told where they were not yet, and they escalate again."""
    for alert in alerts:
        if alert.told_at is not None and alert.acknowledged_at is None:
            alert.escalate_at = max(now, alert.snoozed_until or now)
    waiting = (DeliveryState.WAITING, DeliveryState.HELD)
    Delivery.objects.filter(alert__in=[alert.pk for alert in alerts], kind="cleared", state__in=waiting).delete()


def messages_of(alert: Alert | None, channel: Channel, kind: str, now: datetime) -> list[Delivery]:
    """One message per recipient of a channel, not yet saved; none where it is disabled."""
    if channel.disabled_at is not None:
        return []
    return [
        Delivery(
            organization_id=channel.organization_id, channel=channel, alert=alert, kind=kind, recipient=recipient,
            due_at=now,
        )
        for recipient in recipients_of(channel)
    ]  # fmt: skip


def recipients_of(channel: Channel) -> list[str]:
    """Who gets what goes through a channel: confirmed addresses, a person's browsers, or the one target."""
    if channel.kind == ChannelKind.EMAIL:
        return [recipient.address for recipient in channel.recipients.all() if recipient.wants]
    return [f"{channel.kind}:{channel.pk}"]


def _rules(ids: set[int]) -> dict[int, AlertRule]:
    channels = Channel.objects.filter(disabled_at=None).prefetch_related("recipients")
    rows = AlertRule.objects.filter(pk__in=ids).prefetch_related(Prefetch("channels", channels), "escalations")
    return {rule.pk: rule for rule in rows}


def _last_told(alerts: Sequence[Alert]) -> dict[tuple[int, int], datetime]:
    rows = (
        Alert.objects.filter(
            rule_id__in={a.rule_id for a in alerts},
            vehicle_id__in={a.vehicle_id for a in alerts},
            told_at__isnull=False,
        )
        .values_list("rule_id", "vehicle_id")
        .annotate(last=Max("told_at"))
        .order_by()
    )
    return {(rule, vehicle): last for rule, vehicle, last in rows}


def tell_due(now: datetime) -> int:
    """Tell the alerts whose cool-down is over and that still stand; returns how many."""
    alerts = list(
        Alert.objects.open().filter(tell_at__lte=now, acknowledged_at=None).select_for_update(skip_locked=True)[:1_000]
    )
    waiting = [alert for alert in alerts if alert.snoozed_until is None or alert.snoozed_until <= now]
    Alert.objects.open().filter(tell_at__lte=now, acknowledged_at__isnull=False).update(tell_at=None)
    chosen = choose(waiting, now)
    Alert.objects.write_times(waiting)
    told = announce(chosen, (), now)
    if told.deliveries:
        transaction.on_commit(ring)
    return len(waiting)


def escalate_due(now: datetime) -> int:
    """Tell further channels of alerts that nobody acknowledged in time; returns how many."""
    alerts = list(
        Alert.objects.open()
        .filter(escalate_at__lte=now, acknowledged_at=None)
        .select_for_update(skip_locked=True, of=("self",))[:1_000]
    )
    deliveries: list[Delivery] = []
    events: list[AlertEvent] = []
    steps_of: dict[int, list[Escalation]] = {}
    rules = {alert.rule_id for alert in alerts}
    for step in (
        Escalation.objects.filter(rule_id__in=rules).select_related("channel").prefetch_related("channel__recipients")
    ):
        steps_of.setdefault(step.rule_id, []).append(step)
    for alert in alerts:
        steps = steps_of.get(alert.rule_id or 0, [])
        base = alert.told_at or alert.known_at
        due = [step for step in steps if base + step.after <= now][alert.escalated :]
        for number, step in enumerate(due, alert.escalated + 1):
            made = messages_of(alert, step.channel, "escalated", now)
            for delivery in made:
                delivery.step = number
            deliveries += made
            events.append(AlertEvent(alert=alert, kind=EventKind.ESCALATED, words=f"to {step.channel}", at=now))
        alert.escalated += len(due)
        later = steps[alert.escalated :]
        alert.escalate_at = base + later[0].after if later else None
    Alert.objects.bulk_update(alerts, ["escalated", "escalate_at"], batch_size=1_000)
    AlertEvent.objects.bulk_create(events, batch_size=1_000)
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True, batch_size=1_000)
    if deliveries:
        transaction.on_commit(ring)
    return len(alerts)

"""What alerts keep: rules and fences, alerts with their history, channels and what went out through them."""

from alerts.models.alerts import Alert, AlertEvent, AlertQuerySet, EventKind
from alerts.models.delivery import Channel, ChannelKind, Delivery, DeliveryState, PushKey, PushSubscription, Recipient
from alerts.models.evaluation import Checkpoint, Evaluation, FactSpan
from alerts.models.rules import AlertRule, Escalation, Geofence, Severity

__all__ = [
    "Alert", "AlertEvent", "AlertQuerySet", "AlertRule", "Channel", "ChannelKind", "Checkpoint", "Delivery",
    "DeliveryState", "Escalation", "Evaluation", "EventKind", "FactSpan", "Geofence", "PushKey", "PushSubscription",
    "Recipient", "Severity",
]  # fmt: skip

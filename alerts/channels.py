"""Ways to tell people. Each kind is a module with ``prepare`` (checks its settings) and ``send``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.utils.module_loading import import_string

from alerts.models import Channel, Delivery
from fleet.accounts.models import User
from fleet.lib import encryption

CHANNELS = {
    "email": "integrations.channels.email.EmailChannel",
    "webhook": "integrations.channels.webhook.WebhookChannel",
    "push": "integrations.channels.push.PushChannel",
    "apprise": "integrations.channels.chat.ChatChannel",
}


class Undelivered(Exception):
    """A message did not arrive; the words are the provider's, without secrets.

    ``permanent``: trying again is of no use, and the channel is disabled. ``sure``: it certainly was not taken.
    """

    def __init__(self, words: str, *, permanent: bool = False, sure: bool = True) -> None:
        super().__init__(words[:500])
        self.words = words[:500]
        self.permanent = permanent
        self.sure = sure


@dataclass(frozen=True)
class Line:
    """One alert as a message tells of it; ``ended`` is empty while it stands."""

    alert_id: int
    rule: str
    vehicle: str
    severity: str
    state: str
    opened: str
    ended: str
    value: str
    url: str


@dataclass(frozen=True)
class Message:
    """What is to be said: one alert, or, as a digest, many; ``body`` is what a program reads."""

    delivery: Delivery
    subject: str
    lines: Sequence[Line]
    body: dict[str, Any]
    url: str

    @property
    def text(self) -> str:
        """In a few words, for what shows only those."""
        if len(self.lines) == 1:
            line = self.lines[0]
            when = f"from {line.opened} to {line.ended}" if line.ended else f"since {line.opened}"
            return f"{line.vehicle}: {line.rule}" + (f" ({line.value})" if line.value else "") + f", {when}"
        return ", ".join(f"{line.vehicle}: {line.rule}" for line in self.lines[:10])


class Carrier(Protocol):
    """One kind of channel."""

    def prepare(self, channel: Channel, config: dict[str, Any], user: User | None) -> None:
        """Check settings and put them into an unsaved or saved channel.

        Raises:
            MotorpoolError: they cannot be used; the words say what to mend.
        """
        ...

    def send(self, channel: Channel, message: Message) -> str:
        """Send, and return the provider's words; raises `Undelivered`."""
        ...


def carrier(kind: str) -> Carrier:
    """What carries a kind of channel."""
    found: Carrier = import_string(CHANNELS[kind])()
    return found


def place(channel: Channel) -> str:
    """Where a channel's secret belongs, for its encryption."""
    return f"alerts.channel:{channel.pk}:secret"


def keep_secret(channel: Channel, secret: str) -> None:
    """Seal a saved channel's secret into its row."""
    channel.secret = encryption.seal(secret, place(channel))
    channel.save(update_fields=["secret"])


def secret_of(channel: Channel) -> str:
    """A channel's secret; raises `encryption.Unreadable`."""
    return encryption.unseal(channel.secret, place(channel))

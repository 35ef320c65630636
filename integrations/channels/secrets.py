"""The secrets of channels and browsers, sealed anew after a key was added."""

from __future__ import annotations

from collections.abc import Iterator

from alerts.channels import place
from alerts.models import Channel, PushKey, PushSubscription
from fleet.lib.resealing import resealed
from integrations.channels import push


def reseal() -> Iterator[str]:
    """Seal every secret anew with the newest key; yields what was resealed."""
    yield from resealed(Channel, ["secret"], lambda row, _: place(row))
    yield from resealed(PushSubscription, ["keys"], lambda row, _: push.place(row))
    yield from resealed(PushKey, ["private"], lambda row, _: push.KEY_PLACE)

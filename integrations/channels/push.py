"""Web push (RFC 8030): encrypted for the browser (RFC 8291), signed with the portal's key (RFC 8292)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from py_vapid import Vapid02
from pywebpush import WebPusher

from alerts.channels import Message, Undelivered
from alerts.models import Channel, PushKey, PushSubscription
from fleet.accounts.models import Organization, User
from fleet.lib import encryption, safe_http
from fleet.lib.errors import MotorpoolError
from fleet.lib.outbound import Forbidden, OutboundError
from fleet.lib.public_ids import Kind, number_of

MOST_BROWSERS = 20
TTL_SECONDS = 86_400
KEY_PLACE = "alerts.push:key"


class PushChannel:
    """A person's browsers."""

    def prepare(self, channel: Channel, config: dict[str, Any], user: User | None) -> None:
        """No settings: the messages go to the browsers that whoever makes the channel has subscribed."""
        if user is None:
            raise MotorpoolError("A push channel belongs to a person.", status=422)
        channel.config = {"user": channel.config.get("user", user.public_id)}
        channel.save()

    def send(self, channel: Channel, message: Message) -> str:
        """To every browser of the person; it has arrived where one took it."""
        browsers = list(
            PushSubscription.objects.filter(
                organization=channel.organization,
                user_id=number_of(Kind.USER, channel.config["user"]),
                user__memberships__organization=channel.organization,
            )
        )
        if not browsers:
            raise Undelivered("No browser is subscribed: open Notifications on it.", permanent=False)
        data = {"title": message.subject, "body": message.text, "url": message.url, "tag": str(message.delivery.pk)}
        words, arrived = [], False
        for browser in browsers:
            try:
                words.append(_push(browser, data))
                arrived = True
            except Undelivered as error:
                words.append(error.words)
                if error.permanent:
                    browser.delete()
        if not arrived:
            raise Undelivered("; ".join(words))
        return "; ".join(words)


def subscribe(organization: Organization, user: User, endpoint: str, p256dh: str, auth: str, name: str) -> None:
    """Keep a browser's subscription.

    Raises:
        MotorpoolError: it is none.
    """
    try:
        safe_http.check(endpoint)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(p256dh))
        if len(_bytes(p256dh)) != 65 or len(_bytes(auth)) != 16:
            raise ValueError
    except (Forbidden, ValueError):
        raise MotorpoolError("This is no push subscription.", status=422) from None
    known = PushSubscription.objects.filter(organization=organization, user=user)
    if known.exclude(endpoint=endpoint).count() >= MOST_BROWSERS:
        raise MotorpoolError(f"At most {MOST_BROWSERS} browsers per person.", status=409)
    with transaction.atomic():
        row, _ = known.update_or_create(
            endpoint=endpoint, organization=organization, user=user, defaults={"name": name[:100], "keys": ""}
        )
        row.keys = encryption.seal(json.dumps({"p256dh": p256dh, "auth": auth}), place(row))
        row.save(update_fields=["keys"])


def public_key() -> str:
    """The portal's key as browsers want it: the uncompressed point in base64url."""
    point = _vapid().public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


def _push(browser: PushSubscription, data: dict[str, str]) -> str:
    keys = json.loads(encryption.unseal(browser.keys, place(browser)))
    encoded = WebPusher({"endpoint": browser.endpoint, "keys": keys}).encode(json.dumps(data).encode(), "aes128gcm")
    parts = urlsplit(browser.endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "sub": f"mailto:{settings.DEFAULT_FROM_EMAIL.rpartition('<')[2].rstrip('>')}",
        "exp": str(int(timezone.now().timestamp()) + 12 * 3600),
    }
    headers = {str(k): str(v) for k, v in _vapid().sign(claims).items()}
    headers |= {"Content-Encoding": "aes128gcm", "TTL": str(TTL_SECONDS), "Content-Type": "application/octet-stream"}
    try:
        answer = safe_http.call("POST", browser.endpoint, headers=headers, body=encoded["body"])
    except Forbidden as error:
        raise Undelivered(str(error), permanent=True) from None
    except OutboundError as error:
        raise Undelivered(str(error)) from None
    if 200 <= answer.status < 300:
        return str(answer.status)
    raise Undelivered(f"{answer.status} {answer.body[:100]!r}", permanent=answer.status in (404, 410))


def _vapid() -> Vapid02:
    """The portal's key pair, made by whoever asks first."""
    row = PushKey.objects.filter(pk=1).first()
    if row is None:
        made = Vapid02()
        made.generate_keys()
        row, _ = PushKey.objects.get_or_create(
            pk=1, defaults={"private": encryption.seal(made.private_pem().decode(), KEY_PLACE)}
        )
    return Vapid02.from_pem(encryption.unseal(row.private, KEY_PLACE).encode())


def place(browser: PushSubscription) -> str:
    """Where a browser's keys belong, for their encryption."""
    return f"alerts.pushsubscription:{browser.pk}:keys"


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

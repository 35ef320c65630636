"""Signed webhooks. The signature is like Stripe's: ``t=<epoch seconds>,v1=<HMAC-SHA256 of "t.body">`` in hexadecimal
(https://docs.stripe.com/webhooks#verify-manually), so receivers can refuse what is old or altered.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from alerts.channels import Message, Undelivered, keep_secret, secret_of
from alerts.models import Channel
from fleet.accounts.models import User
from fleet.lib import safe_http
from fleet.lib.errors import MotorpoolError
from fleet.lib.outbound import Answer, Forbidden, OutboundError

PREFIX = "whsec_"
GONE = (404, 410)


def sign(secret: str, body: bytes, moment: int) -> str:
    """The value of the ``Motorpool-Signature`` header."""
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


class WebhookChannel:
    """A POST to an address, signed with a secret that is shown once."""

    def prepare(self, channel: Channel, config: dict[str, Any], user: User | None) -> None:
        """``{"url"}``; a new channel gets its secret as ``channel.shown_secret``."""
        url = config.get("url")
        if not isinstance(url, str):
            raise MotorpoolError("config.url is the address that is to be called.", status=422)
        try:
            safe_http.check(url)
        except Forbidden as error:
            raise MotorpoolError(str(error), status=422) from None
        channel.config = {"url": url}
        channel.save()
        if not channel.secret:
            secret = PREFIX + secrets.token_urlsafe(32)
            keep_secret(channel, secret)
            channel.shown_secret = secret  # type: ignore[attr-defined]

    def send(self, channel: Channel, message: Message) -> str:
        """POST the message; any 2xx is an arrival."""
        body = json.dumps(message.body, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "Motorpool-Signature": sign(secret_of(channel), body, int(time.time())),
            "Idempotency-Key": str(message.delivery.pk),
        }
        try:
            answer = safe_http.call("POST", channel.config["url"], headers=headers, body=body)
        except Forbidden as error:
            raise Undelivered(str(error), permanent=True) from None
        except OutboundError as error:
            raise Undelivered(str(error)) from None
        return accepted(answer)


def accepted(answer: Answer) -> str:
    """The words of an answer that took a message; raises `Undelivered` for any other."""
    words = f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}".strip()
    if 200 <= answer.status < 300:
        return words
    if 300 <= answer.status < 400:
        raise Undelivered(f"{answer.status}: the address leads elsewhere; give the final one.", permanent=True)
    raise Undelivered(words, permanent=answer.status in GONE)

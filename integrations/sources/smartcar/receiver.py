"""``POST /webhooks/smartcar/{key}`` and ``POST /webhook``: a raw ASGI route, since many may come at once.

A delivery is verified, kept and answered; what it means is found out by a worker. A signature that is wrong is
refused and changes nothing else: no address is ever blocked, since anybody may send from a shared one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from django.db import DatabaseError, connection
from django.utils import timezone

from fleet.lib import strict_json
from fleet.lib.asgi import ClientGone, Receive, Scope, Send, header, read_body, refuse, respond
from fleet.lib.errors import MotorpoolError
from integrations.sources.smartcar import signature
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.events import challenge_of, identity_of
from integrations.sources.smartcar.inbox import NO_DATABASE, Inbox
from integrations.sources.smartcar.models import WebhookEndpoint

PREFIX = "/webhooks/smartcar/"
OLD_PATH = "/webhook"
MOST_BYTES = 262_144
"""Smartcar's deliveries have at most 50 kB."""
MOST_UNSIGNED = 2_000
"""Bytes that are looked into without a signature: enough for a challenge."""
CHALLENGES_PER_MINUTE = 60
KNOWN_SECONDS = 10.0
_CHALLENGE = [(b"www-authenticate", b'SC-Signature realm="motorpool"')]

log = structlog.get_logger(__name__)


class Refused(MotorpoolError):
    """A delivery that is not kept."""


class Receiver:
    """The ASGI application of both routes."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._known: dict[str, float] = {}
        self._challenges: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one delivery."""
        try:
            answer = await self._receive(scope, receive)
        except ClientGone:
            return None
        except MotorpoolError as error:
            return await refuse(receive, send, error, _CHALLENGE if error.status == 401 else ())
        except DatabaseError:
            return await refuse(receive, send, NO_DATABASE)
        return await respond(send, 200, answer)

    async def _receive(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        if scope["method"] != "POST":
            raise Refused("Use POST.", code="method_not_allowed", status=405)
        key = scope["path"].removeprefix(PREFIX) if scope["path"].startswith(PREFIX) else ""
        if key and not await self._is_known(key):
            raise Refused("There is no such address.", code="not_found", status=404)
        body = await read_body(scope, receive, MOST_BYTES)
        given = header(scope, b"sc-signature")
        tokens = configuration().management_tokens
        genuine = bool(given) and signature.verified(tokens, body, given)
        if given and not genuine:
            log.warning("webhook.refused", reason="signature", bytes=len(body))
            raise Refused("SC-Signature does not match the body.", code="bad_signature", status=401)
        if not given and len(body) > MOST_UNSIGNED:
            raise Refused("SC-Signature is missing.", code="bad_signature", status=401)
        parsed = _parsed(body)
        asks, challenge = challenge_of(parsed)
        if asks:
            self._count_challenge()
            return await asyncio.to_thread(_answer, key, challenge)
        if not genuine:
            raise Refused("SC-Signature is missing.", code="bad_signature", status=401)
        if not isinstance(parsed, dict):  # what an answered challenge could be taken for
            raise Refused("The body is not a JSON object.", code="invalid", status=400)
        await self._inbox.keep(identity_of(body, parsed), body)
        return {}

    def _count_challenge(self) -> None:
        """Anybody may ask; few are looked at."""
        now = time.monotonic()
        while self._challenges and self._challenges[0] < now - 60:
            self._challenges.popleft()
        if len(self._challenges) >= CHALLENGES_PER_MINUTE:
            raise Refused("Too many challenges; try again in a minute.", code="throttled", status=429)
        self._challenges.append(now)

    async def _is_known(self, key: str) -> bool:
        """Whether an endpoint has the key; a yes is trusted for a moment."""
        now = time.monotonic()
        if self._known.get(key, 0.0) > now:
            return True
        found = await asyncio.to_thread(_in_database, lambda: WebhookEndpoint.objects.filter(key=key[:60]).exists())
        if found:
            self._known[key] = now + KNOWN_SECONDS
        return bool(found)


def _answer(key: str, challenge: object) -> dict[str, Any]:
    """The answer to a challenge; raises `Refused` unless an admin has armed the endpoint and it cannot be a body."""
    tokens = configuration().management_tokens
    if not signature.answerable(challenge) or not tokens:
        log.warning("webhook.challenge_refused", reason="unanswerable")
        raise Refused("This challenge is not answered.", code="challenge_refused", status=403)
    answered = _in_database(lambda: _use_armed(key))
    if not answered:
        log.warning("webhook.challenge_refused", reason="not_armed")
        raise Refused(
            "Verification is not armed: an administrator does it under Connections.", code="not_armed", status=403
        )
    log.info("webhook.challenge_answered")
    return {"challenge": signature.sign(tokens[0], str(challenge).encode())}


def _use_armed(key: str) -> bool:
    now = timezone.now()
    armed = WebhookEndpoint.objects.filter(armed_until__gt=now)
    return bool((armed.filter(key=key[:60]) if key else armed).update(verified_at=now))


def _in_database(function: Callable[[], bool]) -> bool:
    try:
        return function()
    finally:
        connection.close()


def _parsed(body: bytes) -> Any:
    try:
        return strict_json.loads(body)
    except (MotorpoolError, msgspec.DecodeError, ValueError):
        return None

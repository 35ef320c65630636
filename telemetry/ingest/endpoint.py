"""``POST /api/v1/telemetry``: a raw ASGI route, since it is the hot path. docs/api.md has its contract."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.db import InterfaceError, OperationalError

from fleet.lib import memory
from fleet.lib.asgi import ClientGone, Receive, Scope, Send, header, inflate, read_body, refuse, respond
from fleet.lib.errors import MotorpoolError
from telemetry.ingest import names as directory
from telemetry.ingest.committer import Committer
from telemetry.ingest.decode import Decoded, decode, wanted_names
from telemetry.ingest.format import Body, parse
from telemetry.ingest.parts import parts_of
from telemetry.ingest.queue import NO_DATABASE
from telemetry.ingest.refusals import MOST_LISTED
from telemetry.ingest.turns import Turns
from telemetry.metrics import ACKED, READINGS, REFUSED
from telemetry.readings import Outcome
from vehicles.models import Device

WIRE_LIMIT = 1_000_000
DECLARED_WIRE_LIMIT = 4_000_000
INFLATED_LIMIT = 16_000_000
LARGE_BODY = 65_536
"""From here on decoding takes long enough to leave the event loop."""
LARGE_PACKED = LARGE_BODY // 8
MUCH_INFLATED = 2_000_000
"""What inflates to more leaves holes in the heap."""
RESULTS = {"readings": "accepted", "duplicates": "duplicate", "rejected_count": "rejected"}
_CHALLENGE = [(b"www-authenticate", b'Bearer realm="motorpool"')]

R = TypeVar("R")
log = structlog.get_logger(__name__)


class _Refusal(MotorpoolError):
    pass


_NO_DATABASE = _Refusal(NO_DATABASE, code="unavailable", status=503)
_FAILED = _Refusal("Something failed here; the request was not stored.", code="error", status=500)


class IngestEndpoint:
    """The ASGI application of the route.

    Large bodies are decoded one after the other, so that no number of them can hold more than one body's arrays.
    """

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._large = asyncio.Semaphore(1)
        self._turns = Turns()
        self._lookups: set[asyncio.Future[Any]] = set()
        self._gone = False

    def database_down(self) -> None:
        """End the waits for look-ups: their threads may hang for a while yet."""
        self._gone = True
        for future in list(self._lookups):
            future.cancel()

    async def _look_up(self, function: Callable[..., R], *arguments: Any) -> R:
        """Run a look-up in the database in a thread."""
        future = asyncio.wrap_future(directory.in_thread(function, *arguments))
        self._lookups.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled() and self._gone:
                raise _NO_DATABASE from None
            raise
        finally:
            self._lookups.discard(future)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["method"] != "POST":
                error = _Refusal("Use POST.", code="method_not_allowed", status=405)
                return await refuse(receive, send, error, [(b"allow", b"POST")])
            sender = await self._authenticate(scope)
            async with self._turns.of(sender.organization_id, _declared(scope)):
                answer = await self._store(scope, receive, sender)
        except ClientGone:
            return None
        except MotorpoolError as error:
            refusal: MotorpoolError = error
        except (OperationalError, InterfaceError):
            refusal = _NO_DATABASE
        except Exception:
            log.exception("ingest.failed")
            refusal = _FAILED
        else:
            return await respond(send, 200, answer)
        REFUSED.labels(refusal.status).inc()
        return await refuse(receive, send, refusal, _CHALLENGE if refusal.status == 401 else ())

    async def _store(self, scope: Scope, receive: Receive, sender: directory.Sender) -> dict[str, Any]:
        """Read, decode and commit a request; returns its answer."""
        body, encoding = await _read(scope, receive)
        if len(body) > (LARGE_PACKED if encoding else LARGE_BODY):
            async with self._large:
                decoded, parsed = await self._decode(await asyncio.to_thread(_unpack, body, encoding), sender)
        else:
            decoded, parsed = await self._decode(_unpack(body, encoding), sender)
        del body
        batch = str(uuid.uuid4())
        outcomes: list[Outcome] = []
        if decoded.blocks or decoded.refused.kept:
            outcomes = await self._committer.commit(decoded, batch, sender.organization_id, sender.device_id)
        answer: dict[str, Any] = {
            "batch": batch,
            "boot": parsed.boot,
            "seq": parsed.seq,
            "frames": decoded.frames,
            "readings": decoded.readings,
            "duplicates": sum(outcome.duplicates for outcome in outcomes),
            "corrected": sum(outcome.corrected for outcome in outcomes),
            "rejected_count": decoded.refused.count,
            "rejected": [entry.as_dict() for entry in decoded.refused.kept[:MOST_LISTED]],
        }
        if parsed.ignored:
            answer["ignored"] = parsed.ignored
        ACKED.inc()
        for name in ("readings", "duplicates", "rejected_count"):
            if answer[name]:
                READINGS.labels(RESULTS[name]).inc(answer[name])
        return answer

    async def _decode(self, body: bytes, sender: directory.Sender) -> tuple[Decoded, Body]:
        large = len(body) > LARGE_BODY
        parsed = await asyncio.to_thread(parse, body) if large else parse(body)
        parts = parts_of(parsed)
        names = directory.organization_names(sender.organization_id)
        wanted = wanted_names(parts, names, sender)
        if wanted.soon:
            directory.in_thread(directory.load, names, wanted.soon, set(), {})
        if wanted:
            await self._look_up(directory.load, names, wanted.vehicles, wanted.sources, wanted.signals)
        now = time.time_ns() // 1_000
        if large:
            return await asyncio.to_thread(decode, parsed, parts, names, sender, now), parsed
        return decode(parsed, parts, names, sender, now), parsed

    async def _authenticate(self, scope: Scope) -> directory.Sender:
        scheme, _, key = header(scope, b"authorization").decode("latin-1").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _Refusal("Send Authorization: Bearer <device key>.", code="not_authenticated", status=401)
        if not key.startswith(Device.PREFIX):
            if not key.isascii() or len(key) > 4000:
                raise _Refusal("This key is unknown or revoked.", code="not_authenticated", status=401)
            raise _Refusal("Telemetry is written with a device key (mpd_…).", code="permission_denied", status=403)
        sender = directory.remembered_sender(key)
        if sender is None:
            sender = await self._look_up(directory.find_sender, key)
        if sender is None:
            raise _Refusal("This key is unknown or revoked.", code="not_authenticated", status=401)
        return sender


def _declared(scope: Scope) -> int:
    """How many bytes the body may have."""
    declared = header(scope, b"content-length")
    return min(int(declared), DECLARED_WIRE_LIMIT) if declared.isdigit() else WIRE_LIMIT


async def _read(scope: Scope, receive: Receive) -> tuple[bytes, str]:
    """The body as it came, and its encoding."""
    kind = header(scope, b"content-type").split(b";")[0].strip().lower()
    if kind not in (b"", b"application/json"):
        raise _Refusal("Send Content-Type: application/json.", code="unsupported_media_type", status=415)
    encoding = header(scope, b"content-encoding").decode("latin-1").strip().lower()
    return await read_body(scope, receive, WIRE_LIMIT, DECLARED_WIRE_LIMIT), "" if encoding == "identity" else encoding


def _unpack(body: bytes, encoding: str) -> bytes:
    size = INFLATED_LIMIT
    try:
        body = inflate(body, encoding, INFLATED_LIMIT)
        size = len(body)
    finally:
        if encoding and size > MUCH_INFLATED:
            memory.give_back()
    return body

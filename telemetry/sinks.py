"""Sinks: what happens to committed batches beside storing them, each at its own pace.

A sink keeps its progress per vehicle and claims many vehicles at once under a lease, by conditional upsert: two
workers never do the same work, a dead one's lease runs out, and a failing sink neither stops nor repeats others.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

# name -> dotted path of a function that takes a list of `Claim`
SINKS = {
    "state": "telemetry.state_sink.update_states",
}
LEASE = timedelta(seconds=60)
VEHICLES_PER_CLAIM = 500
ROUNDS = 20
MOST_ATTEMPTS = 5
"""After as many failures a vehicle is tried once an hour."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Claim:
    """A vehicle's batches after ``done`` up to ``version`` are this worker's to process."""

    organization_id: int
    vehicle_id: int
    done: int
    version: int


Sink = Callable[[list[Claim]], None]

_CLAIM = """
INSERT INTO telemetry_sinkprogress AS p (sink, vehicle_id, version, lease_until, lease_owner, attempts, error)
SELECT %(sink)s, w.vehicle_id, 0, %(until)s, %(owner)s, 1, ''
FROM (
    SELECT l.vehicle_id FROM telemetry_latest l
    LEFT JOIN telemetry_sinkprogress q ON q.sink = %(sink)s AND q.vehicle_id = l.vehicle_id
    WHERE l.version > coalesce(q.version, 0)
        AND (q.lease_until IS NULL OR q.lease_until < %(now)s)
    ORDER BY l.vehicle_id LIMIT %(limit)s
) AS w
ON CONFLICT (sink, vehicle_id) DO UPDATE
SET lease_until = excluded.lease_until, lease_owner = excluded.lease_owner, attempts = p.attempts + 1
WHERE p.lease_until IS NULL OR p.lease_until < %(now)s
RETURNING vehicle_id, version
"""


def run_all() -> int:
    """Run every sink until nothing waits, or `ROUNDS` claims each; returns how many vehicles were processed."""
    return sum(_run(name, import_string(path)) for name, path in SINKS.items())


def _run(name: str, sink: Sink) -> int:
    processed = 0
    for _ in range(ROUNDS):
        owner = uuid.uuid4()
        claims = _claim(name, owner)
        if not claims:
            break
        try:
            sink(claims)
        except Exception as error:
            log.exception("sink.failed", sink=name, vehicles=len(claims))
            done = _run_each(name, sink, owner, claims) if len(claims) > 1 else []
            _release(name, owner, f"{type(error).__name__}: {error}"[:300])
        else:
            done = claims
            _complete(name, owner, claims)
        processed += len(done)
    return processed


def _run_each(name: str, sink: Sink, owner: uuid.UUID, claims: list[Claim]) -> list[Claim]:
    """Each vehicle by itself, after they failed together, so that one does not hold the others back."""
    done = []
    for claim in claims:
        try:
            sink([claim])
        except Exception as error:
            log.warning("sink.vehicle_failed", sink=name, vehicle=claim.vehicle_id, error=str(error)[:200])
        else:
            _complete(name, owner, [claim])
            done.append(claim)
    return done


def _claim(name: str, owner: uuid.UUID) -> list[Claim]:
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "sink": name, "owner": owner, "until": now + LEASE, "now": now,
                "limit": VEHICLES_PER_CLAIM,
            },
        )  # fmt: skip
        done = dict(cursor.fetchall())
        if not done:
            return []
        cursor.execute(
            "SELECT organization_id, vehicle_id, version FROM telemetry_latest WHERE vehicle_id = ANY(%s)", [list(done)]
        )
        return [Claim(org, vehicle, done[vehicle], version) for org, vehicle, version in cursor.fetchall()]


def _complete(name: str, owner: uuid.UUID, claims: list[Claim]) -> None:
    """Note the progress, where the lease is still ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress p SET version = c.version, lease_until = NULL, lease_owner = NULL,"
            " attempts = 0, error = '' FROM unnest(%s::int4[], %s::int8[]) AS c (vehicle_id, version)"
            " WHERE p.sink = %s AND p.vehicle_id = c.vehicle_id AND p.lease_owner = %s",
            [[c.vehicle_id for c in claims], [c.version for c in claims], name, owner],
        )


def _release(name: str, owner: uuid.UUID, error: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress SET lease_owner = NULL, error = %s, lease_until = now() + CASE"
            " WHEN attempts < %s THEN interval '5 s' * attempts ELSE interval '1 h' END"
            " WHERE sink = %s AND lease_owner = %s",
            [error, MOST_ATTEMPTS, name, owner],
        )

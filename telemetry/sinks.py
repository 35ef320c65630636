"""Sinks: what happens to committed batches beside storing them, each at its own pace.

A sink keeps its progress per vehicle and claims many vehicles at once under a lease, by conditional upsert: two
workers never do the same work, a dead one's lease runs out, and a failing sink neither stops nor repeats others.
A vehicle that failed is tried again by itself, and after `MOST_ATTEMPTS` it is on the dead list until staff revive it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class Claim:
    """A vehicle's batches after ``done`` up to ``version`` are this worker's to process."""

    organization_id: int
    vehicle_id: int
    done: int
    version: int
    owner: uuid.UUID
    """Whose lease it is."""


Sink = Callable[[list[Claim]], dict[int, int] | None]
"""Processes claims; may return how far it came by vehicle id, where that is not all."""


@dataclass(frozen=True)
class Registered:
    """A sink's dotted path, and how long a vehicle rests after its turn, so that its batches gather."""

    path: str
    rest: timedelta = timedelta(0)


SINKS = {
    "alerts": Registered("alerts.evaluation.sink.evaluate_batches"),
    "state": Registered("telemetry.state_sink.update_states"),
    "rollups": Registered("telemetry.rollup_sink.roll_up", timedelta(seconds=30)),
}
LEASE = timedelta(seconds=60)
VEHICLES_PER_CLAIM = 500
ROUNDS = 20
MOST_ATTEMPTS = 5
FEW = 3

log = structlog.get_logger(__name__)

# Organizations take turns, and of each the vehicle that waits longest comes first: nobody starves while more comes in
# than can be processed.
_CLAIM = """
INSERT INTO telemetry_sinkprogress AS p (sink, vehicle_id, version, lease_until, lease_owner, attempts, error)
SELECT %(sink)s, w.vehicle_id, 0, %(until)s, %(owner)s, 1, ''
FROM (
    SELECT vehicle_id FROM (
        SELECT l.vehicle_id, q.done_at,
            row_number() OVER (PARTITION BY l.organization_id ORDER BY q.done_at NULLS FIRST, l.vehicle_id) AS turn
        FROM telemetry_latest l
        LEFT JOIN telemetry_sinkprogress q ON q.sink = %(sink)s AND q.vehicle_id = l.vehicle_id
        WHERE l.version > coalesce(q.version, 0)
            AND (q.lease_until IS NULL OR q.lease_until < %(now)s)
            AND coalesce(q.attempts, 0) {attempts} AND q.dead_at IS NULL
    ) AS waiting
    ORDER BY turn, done_at NULLS FIRST, vehicle_id LIMIT %(limit)s
) AS w
ON CONFLICT (sink, vehicle_id) DO UPDATE
SET lease_until = excluded.lease_until, lease_owner = excluded.lease_owner, attempts = p.attempts + 1
WHERE p.lease_until IS NULL OR p.lease_until < %(now)s
RETURNING vehicle_id, version
"""


def run_all() -> int:
    """Run every sink until nothing waits, or `ROUNDS` claims each; returns how many vehicles were processed."""
    return sum(run_sink(name) for name in SINKS)


def run_prompt() -> int:
    """The same for the sinks that people wait for: those that do not let batches gather."""
    return sum(run_sink(name) for name, registered in SINKS.items() if not registered.rest)


def run_sink(name: str) -> int:
    """The same for one of them."""
    registered = SINKS[name]
    sink: Sink = import_string(registered.path)
    processed = 0
    _bury(name)
    for alone in (False, True):
        for _ in range(ROUNDS):
            owner = uuid.uuid4()
            claims = _claim(name, owner, alone)
            if not claims:
                break
            processed += _process(name, registered, sink, owner, claims)
    return processed


def _process(name: str, registered: Registered, sink: Sink, owner: uuid.UUID, claims: list[Claim]) -> int:
    try:
        reached = sink(claims)
    except (OperationalError, InterfaceError) as error:
        # The database's fault, not the vehicles': no attempt is counted.
        log.warning("sink.interrupted", sink=name, vehicles=len(claims), error=str(error).strip()[:200])
        _release(name, owner, f"{type(error).__name__}: {error}"[:300], counted=False)
        return 0
    except Exception as error:
        log.exception("sink.failed", sink=name, vehicles=len(claims))
        done = _run_each(name, registered, sink, owner, claims) if len(claims) > 1 else 0
        # Where all of many fail, the fault is a general one.
        _release(name, owner, f"{type(error).__name__}: {error}"[:300], counted=bool(done) or len(claims) <= FEW)
        return done
    _complete(name, registered, owner, claims, reached)
    return len(claims)


def _run_each(name: str, registered: Registered, sink: Sink, owner: uuid.UUID, claims: list[Claim]) -> int:
    """Each vehicle by itself, after they failed together, so that one does not hold the others back."""
    done = 0
    for claim in claims:
        try:
            reached = sink([claim])
        except Exception as error:
            log.warning("sink.vehicle_failed", sink=name, vehicle=claim.vehicle_id, error=str(error)[:200])
        else:
            _complete(name, registered, owner, [claim], reached)
            done += 1
    return done


def _claim(name: str, owner: uuid.UUID, alone: bool) -> list[Claim]:
    """Claim what waits: all that never failed together, or one that did (it may kill its worker)."""
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _CLAIM.format(attempts="> 0" if alone else "= 0"),
            {
                "sink": name, "owner": owner, "until": now + LEASE, "now": now,
                "limit": 1 if alone else VEHICLES_PER_CLAIM,
            },
        )  # fmt: skip
        done = dict(cursor.fetchall())
        if not done:
            return []
        cursor.execute(
            "SELECT organization_id, vehicle_id, version FROM telemetry_latest WHERE vehicle_id = ANY(%s)", [list(done)]
        )
        return [Claim(org, vehicle, done[vehicle], version, owner) for org, vehicle, version in cursor.fetchall()]


@contextmanager
def held(name: str, claims: Sequence[Claim]) -> Iterator[set[int]]:
    """A transaction with the vehicle ids whose leases are still ours; nobody else gets them before its end.

    Who was held up for longer than a lease must not write over what the next one wrote.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT vehicle_id FROM telemetry_sinkprogress WHERE sink = %s AND lease_owner = %s"
            " AND vehicle_id = ANY(%s) ORDER BY vehicle_id FOR UPDATE",
            [name, claims[0].owner, [claim.vehicle_id for claim in claims]],
        )
        yield {row[0] for row in cursor.fetchall()}


def _complete(
    name: str, registered: Registered, owner: uuid.UUID, claims: list[Claim], reached: dict[int, int] | None
) -> None:
    """Note the progress, where the lease is still ours; who is not done goes on without a rest."""
    came = [(reached or {}).get(claim.vehicle_id, claim.version) for claim in claims]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress p SET version = c.version, lease_owner = NULL, attempts = 0, error = '',"
            " done_at = now(),"
            " lease_until = CASE WHEN c.whole THEN now() + %s * interval '1 s' ELSE NULL END"
            " FROM unnest(%s::int4[], %s::int8[], %s::bool[]) AS c (vehicle_id, version, whole)"
            " WHERE p.sink = %s AND p.vehicle_id = c.vehicle_id AND p.lease_owner = %s",
            [
                registered.rest.total_seconds(), [c.vehicle_id for c in claims], came,
                [c.version == version for c, version in zip(claims, came, strict=True)], name, owner,
            ],
        )  # fmt: skip


def _release(name: str, owner: uuid.UUID, error: str, counted: bool = True) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress SET lease_owner = NULL, error = %s,"
            " lease_until = now() + interval '5 s' * attempts, attempts = attempts - %s"
            " WHERE sink = %s AND lease_owner = %s",
            [error, 0 if counted else 1, name, owner],
        )


def _bury(name: str) -> None:
    """Put on the dead list what used up its attempts, by failing or by killing its worker."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress SET dead_at = now(), lease_owner = NULL,"
            " error = CASE WHEN error = '' THEN 'The worker died of it.' ELSE error END"
            " WHERE sink = %s AND dead_at IS NULL AND attempts >= %s AND (lease_until IS NULL OR lease_until < now())"
            " RETURNING vehicle_id, error",
            [name, MOST_ATTEMPTS],
        )
        for vehicle_id, error in cursor.fetchall():
            log.error("sink.dead", sink=name, vehicle=vehicle_id, error=error)


def revive(name: str, vehicle_id: int | None = None) -> int:
    """Take a vehicle, or all, off the dead list, to be tried again; returns how many were on it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE telemetry_sinkprogress SET dead_at = NULL, attempts = 0, lease_until = NULL, error = ''"
            " WHERE sink = %s AND (%s::int4 IS NULL OR vehicle_id = %s) AND dead_at IS NOT NULL",
            [name, vehicle_id, vehicle_id],
        )
        return int(cursor.rowcount)

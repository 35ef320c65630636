"""The sink that evaluates rules: each committed batch counts once, whoever is killed and whatever comes twice.

A vehicle's row (`alerts.models.Evaluation`) is locked while it is evaluated, and its progress, the alerts and the
messages that they cause are written in the same transaction. Each evaluation starts from a memory some seconds before
the newest frame, so sources that lag behind one another cost nothing; what is later than that is evaluated anew from
an older memory: at once where that is near, else by `correct`, once it stopped coming.

Cost of a claim of many vehicles: a fixed number of queries, and array operations per rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from alerts.evaluation import checkpoints, compiled, work
from alerts.evaluation.compiled import RuleSet
from alerts.evaluation.work import OLDEST, SECOND, Work
from alerts.rules.memory import Memory
from fleet.accounts.models import Organization
from telemetry import store
from telemetry.readings import CLOCK_TOLERANCE_US
from telemetry.sinks import Claim

NEAR = 300 * SECOND
DEBOUNCE = 10 * SECOND
SILENT = 60 * SECOND
BATCHES = 2_000


@dataclass
class _New:
    """What a vehicle's batches brought: from when to when, and up to which version."""

    first: int
    last: int
    version: int


def evaluate_batches(claims: Sequence[Claim]) -> dict[int, int]:
    """Evaluate the claimed vehicles' new batches; returns how far it came, by vehicle id."""
    by_organization: dict[int, list[Claim]] = {}
    for claim in claims:
        by_organization.setdefault(claim.organization_id, []).append(claim)
    reached: dict[int, int] = {}
    for organization in Organization.objects.filter(pk__in=by_organization):
        rules = compiled.load(organization)
        if rules is not None:
            reached |= _evaluate(organization, rules, by_organization[organization.pk])
    return reached


def _evaluate(organization: Organization, rules: RuleSet, claims: Sequence[Claim]) -> dict[int, int]:
    wanted = {claim.vehicle_id: (claim.done, claim.version) for claim in claims}
    found, reached = _new_data(rules, wanted)
    if found:
        with transaction.atomic():
            held = work.begin(organization, rules, list(found))
            found = {v: new for v, new in found.items() if v in held.rows and new.version > held.rows[v].version}
            _advance(held, found)
            told = work.finish(held)
        told.after_commit()
    return reached


def _new_data(rules: RuleSet, wanted: dict[int, tuple[int, int]]) -> tuple[dict[int, _New], dict[int, int]]:
    """What batches with ruled signals brought, by vehicle."""
    found: dict[int, _New] = {}
    counts: dict[int, int] = {}
    reached: dict[int, int] = {}
    ruled: dict[bytes, bool] = {}
    for change in store.read_changes(wanted, BATCHES):
        counts[change.vehicle_id] = counts.get(change.vehicle_id, 0) + 1
        if counts[change.vehicle_id] == BATCHES:
            reached[change.vehicle_id] = change.version
        key = change.signals.tobytes()
        if key not in ruled:
            ruled[key] = not key or rules.any_frame or not rules.signals.isdisjoint(change.signals.tolist())
        if not ruled[key]:
            continue
        new = found.get(change.vehicle_id)
        if new is None:
            found[change.vehicle_id] = _New(change.first_time, change.last_time, change.version)
        else:
            new.first, new.last = min(new.first, change.first_time), max(new.last, change.last_time)
            new.version = change.version
    return found, reached


def _advance(held: Work, found: dict[int, _New]) -> None:
    """Evaluate on from each vehicle's memory; what came late from before it, where that is near."""
    late: dict[int, _New] = {}
    settled: dict[int, int] = {}
    for vehicle_id, new in found.items():
        row = held.rows[vehicle_id]
        row.version = new.version
        last = min(new.last, held.now + CLOCK_TOLERANCE_US)
        if last <= max(held.now - OLDEST, held.rules.since):
            continue
        if row.newest is not None and new.first > row.newest + SILENT:
            held.gaps[vehicle_id] = (row.newest, new.first - 1)
        row.newest = max(row.newest or last, last)
        if row.memory is None:
            begin = max(min(new.first, held.now - SILENT), held.rules.since, held.now - OLDEST)
            row.memory = Memory(begin - 1)
            held.fresh.add(vehicle_id)
        elif new.first <= row.memory.time:
            late[vehicle_id] = new
            continue
        settled[vehicle_id] = work.settle(held, row)
    if late:
        settled |= _late(held, late)
    if settled:
        work.run(held, settled)


def _late(held: Work, late: dict[int, _New]) -> dict[int, int]:
    """Replay the vehicles whose older memory is near; the rest is noted for `correct`, and goes on as if on time."""
    known = checkpoints.read(list(late))
    onward: dict[int, int] = {}
    for vehicle_id, new in late.items():
        row = held.rows[vehicle_id]
        assert row.memory is not None
        assert row.newest is not None
        first = max(new.first, held.now - OLDEST)
        base = checkpoints.before(known.get(vehicle_id, {}), first)
        if base is not None and row.memory.time - base.time <= NEAR:
            work.replay_from(held, row, base, first, known.get(vehicle_id, {}))
        else:
            row.correct_from = min(row.correct_from or first, first)
            row.correct_after = row.correct_after or held.now + DEBOUNCE
            onward[vehicle_id] = work.settle(held, row)
    return onward

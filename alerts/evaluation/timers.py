"""What happens without a new batch: time passes, and late data is evaluated once it stopped coming."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.db import transaction

from alerts.evaluation import checkpoints, compiled, progress, work
from alerts.evaluation.compiled import RuleSet
from alerts.rules.memory import Memory
from fleet.accounts.models import Organization

MOST_DUE = 1_000
LATER = 60 * work.SECOND
_Do = Callable[[Organization, RuleSet, list[int]], None]

log = structlog.get_logger(__name__)


def look_again() -> int:
    """Evaluate the vehicles for which the passing of time alone may have changed something; returns how many."""
    return _each_due("look_again", _look)


def correct() -> int:
    """Evaluate anew the vehicles that got data of long ago; returns how many."""
    return _each_due("correct_after", _correct_each)


def _each_due(column: str, do: _Do) -> int:
    due = progress.due(column, work.now(), MOST_DUE)
    for organization in Organization.objects.filter(pk__in=due):
        rules = compiled.load(organization)
        ids = due[organization.pk]
        known = compiled.whom(rules, ids)[0] if rules is not None else {}
        progress.forget(organization.pk, set(ids) - known.keys())
        if rules is not None and known:
            _apart(organization, rules, sorted(known), do)
    return sum(map(len, due.values()))


def _apart(organization: Organization, rules: RuleSet, ids: list[int], do: _Do) -> None:
    """Together, or, where that fails, each by itself: one vehicle's fault stops no other's time."""
    try:
        do(organization, rules, ids)
    except Exception:
        log.exception("alerts.not_evaluated", organization=organization.pk, vehicles=len(ids))
        if len(ids) == 1:
            progress.put_off(ids[0], work.now() + LATER)
        else:
            for vehicle_id in ids:
                _apart(organization, rules, [vehicle_id], do)


def _look(organization: Organization, rules: RuleSet, ids: list[int]) -> None:
    with transaction.atomic():
        held = work.begin(organization, rules, ids)
        for vehicle_id, row in held.rows.items():
            if row.memory is None and row.newest is not None:  # it told things before there were rules
                seen = min(row.newest, held.now)
                row.memory = Memory(seen - work.LAG, seen - work.LAG)
                held.fresh.add(vehicle_id)
        settled = {v: work.settle(held, row) for v, row in held.rows.items() if row.memory is not None}
        if settled:
            work.run(held, settled)
        told = work.finish(held)
    told.after_commit()


def _correct_each(organization: Organization, rules: RuleSet, ids: list[int]) -> None:
    for vehicle_id in ids:
        _correct(organization, rules, vehicle_id)


def _correct(organization: Organization, rules: RuleSet, vehicle_id: int) -> None:
    with transaction.atomic():
        held = work.begin(organization, rules, [vehicle_id])
        row = held.rows.get(vehicle_id)
        if row is None or row.memory is None or row.correct_from is None or row.newest is None:
            return
        first, row.correct_from, row.correct_after = row.correct_from, None, None
        levels = checkpoints.read([vehicle_id]).get(vehicle_id, {})
        begin = max(min(first, max(rules.since, first - _lookback(rules))), held.now - work.OLDEST - _lookback(rules))
        base = checkpoints.before(levels, first) or Memory(begin - 1)
        work.replay_from(held, row, base, first, levels)
        told = work.finish(held)
    told.after_commit()
    log.info("alerts.corrected", vehicle=vehicle_id, seconds=round((row.newest - first) / work.SECOND))


def _lookback(rules: RuleSet) -> int:
    return max(entry.rule.lookback for entry in rules.rules)

"""One worker at a time renews a token; the others wait for what it saved.

The lease is two columns of the row, taken by a conditional UPDATE, so that nobody holds a transaction open over HTTP.
It outlives the call's time-out; a worker that is killed leaves it behind, and the next one takes over when it ends,
within the grace that the provider gives a refresh token that was just used (a minute at least).
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from django.db.models import Q
from django.utils import timezone

from integrations.sources.smartcar.models import Lease

CALL_SECONDS = 10.0
LEASE_SECONDS = 25.0
PATIENCE_SECONDS = 40.0
POLL_SECONDS = 0.05

Row = TypeVar("Row", bound=Lease)


class TooBusy(Exception):
    """Somebody else holds the lease for longer than anybody should."""


def renewed(row: Row, is_fresh: Callable[[Row], bool], renew: Callable[[Row, uuid.UUID], None]) -> Row:
    """The row with a fresh token.

    Args:
        is_fresh: whether a row's token will do.
        renew: calls the provider and saves the outcome, where the row still has the lease's owner (`keep`); raises
            where it fails. The lease is given back whatever happens.

    Raises:
        TooBusy: somebody else took the lease over meanwhile, or not within `PATIENCE_SECONDS`.
    """
    manager = type(row)._default_manager
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        row = manager.get(pk=row.pk)
        if is_fresh(row):
            return row
        owner, now = uuid.uuid4(), timezone.now()
        free = Q(lease_until=None) | Q(lease_until__lt=now)
        until = now + timedelta(seconds=LEASE_SECONDS)
        if manager.filter(free, pk=row.pk).update(lease_owner=owner, lease_until=until):
            row = manager.get(pk=row.pk)
            try:
                if not is_fresh(row):  # else somebody renewed between our look and our lease
                    renew(row, owner)
            finally:
                manager.filter(pk=row.pk, lease_owner=owner).update(lease_owner=None, lease_until=None)
            return manager.get(pk=row.pk)
        if time.monotonic() > deadline:
            raise TooBusy("Another worker renews the token and does not finish.")
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311


def keep(row: Lease, owner: uuid.UUID, **values: object) -> bool:
    """Save an outcome, where the lease is still ours; false where another worker took over."""
    values = values or {"lease_owner": owner}
    return bool(type(row)._default_manager.filter(pk=row.pk, lease_owner=owner).update(**values))

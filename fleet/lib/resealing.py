"""Seal stored secrets anew, row by row, after a key was added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog
from django.db import transaction

from fleet.lib import encryption

log = structlog.get_logger(__name__)


def resealed(model: Any, columns: Sequence[str], place_of: Callable[[Any, str], str]) -> Iterator[str]:
    """Seal the columns of a model's rows with the newest key; yields what was resealed. It may be begun again.

    Args:
        place_of: where a row's column belongs, for `fleet.lib.encryption`.
    """
    for pk in model._default_manager.order_by("pk").values_list("pk", flat=True):
        changed = {}
        with transaction.atomic():
            row = model._default_manager.select_for_update().get(pk=pk)
            for column in columns:
                sealed, place = getattr(row, column), place_of(row, column)
                if sealed and not encryption.sealed_with_newest(sealed):
                    try:
                        changed[column] = encryption.seal(encryption.unseal(sealed, place), place)
                    except encryption.Unreadable as error:  # no other row is less safe for it
                        log.error("rotate_keys.unreadable", place=place, error=error.detail)
            if changed:
                model._default_manager.filter(pk=pk).update(**changed)
        for column in changed:
            yield f"{model._meta.label_lower} {pk} {column}"

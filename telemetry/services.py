"""What happens to signals: one transaction each, with its audit event."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from fleet.accounts.models import Organization, User
from fleet.accounts.services import audit
from fleet.lib.errors import MotorpoolError
from telemetry import catalog, directory
from telemetry.ingest import names
from telemetry.models import Signal

KINDS = ("number", "boolean", "text")


class SignalError(MotorpoolError):
    """A signal that cannot be made or changed (409, or 422 for its fields)."""

    status = 422
    code = "invalid_signal"


def signal_create(*, organization: Organization, user: User, name: str, request: Any = None, **fields: Any) -> Signal:
    """Add a signal of the organization's own, so that its kind is settled before the first reading.

    Raises:
        SignalError: the name is malformed or taken, or the fields do not belong together.
    """
    if not catalog.well_formed(name):
        raise SignalError("Signal names are lower-case words joined by dots, such as engine.rpm.")
    if Signal.objects.filter(organization=None, name=name).exists():
        raise SignalError(f"{name} is in the catalog.", status=409, code="conflict")
    signal = Signal(organization=organization, name=name)
    try:
        return _save(signal, fields, user=user, action="signal.created", request=request)
    except IntegrityError:
        raise SignalError(f"There is a signal {name} already.", status=409, code="conflict") from None


def signal_update(*, signal: Signal, user: User, request: Any = None, **fields: Any) -> Signal:
    """Change kind, unit, range or description. What is stored stays as it is; new readings follow the change.

    Raises:
        SignalError: the fields do not belong together.
    """
    return _save(signal, fields, user=user, action="signal.updated", request=request)


def _save(signal: Signal, fields: dict[str, Any], *, user: User, action: str, request: Any) -> Signal:
    for name, value in fields.items():
        setattr(signal, name, value)
    if signal.kind not in KINDS:
        raise SignalError(f"kind is one of {', '.join(KINDS)}.")
    if signal.kind == "boolean":
        signal.minimum, signal.maximum = 0, 1
    elif signal.kind == "text":
        signal.minimum = signal.maximum = None
    elif "kind" in fields and (signal.minimum, signal.maximum) == (0, 1) and "maximum" not in fields:
        signal.minimum = signal.maximum = None  # it was a boolean
    if signal.minimum is not None and signal.maximum is not None and signal.minimum >= signal.maximum:
        raise SignalError("minimum must be less than maximum.")
    with transaction.atomic():
        signal.save()
        audit(
            action, organization=signal.organization, user=user, target=signal, request=request, fields=sorted(fields)
        )
    assert signal.organization_id is not None
    names.forget(signal.organization_id)
    directory.forget(signal.pk)
    return signal

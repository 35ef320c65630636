"""Keeps what the cloud knows in a private file, so that a restarted demo still knows who connected what."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.smartcar_stub.garage import Vehicle
from tests.smartcar_stub.records import Account, Code, Connection, Subscription, UserToken
from tests.smartcar_stub.signals import Signal
from tests.smartcar_stub.state import State

log = logging.getLogger(__name__)

_KINDS: dict[str, type[Any]] = {
    "accounts": Account,
    "connections": Connection,
    "subscriptions": Subscription,
    "codes": Code,
    "access_tokens": UserToken,
    "refresh_tokens": UserToken,
}


def dump(state: State) -> dict[str, Any]:
    """The lasting part of the state as JSON: not its knobs and logs."""
    with state.lock:
        kept: dict[str, Any] = {
            name: {key: asdict(entry) for key, entry in getattr(state, name).items()} for name in (*_KINDS, "vehicles")
        }
        return {**kept, "app_tokens": dict(state.app_tokens), "silent": state.silent}


def restore(state: State, kept: dict[str, Any]) -> None:
    """Replace the state's lasting part by one that was dumped; raises before anything is replaced."""
    fresh: dict[str, Any] = {
        name: {key: kind(**entry) for key, entry in kept[name].items()} for name, kind in _KINDS.items()
    }
    fresh["vehicles"] = {
        key: Vehicle(**{**entry, "signals": {code: Signal(**signal) for code, signal in entry["signals"].items()}})
        for key, entry in kept["vehicles"].items()
    }
    fresh |= {name: kept[name] for name in ("app_tokens", "silent")}
    with state.lock:
        for name, value in fresh.items():
            setattr(state, name, value)


def load(state: State, path: Path) -> bool:
    """Restore the state from a file; False where there is none, or one of another make."""
    try:
        restore(state, json.loads(path.read_text()))
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("The saved state does not fit and is left aside.")
        return False
    return True


def save(path: Path, kept: dict[str, Any]) -> None:
    """Write a dump whole or not at all, for nobody else to read: it holds tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # left by a process that was killed; its mode could be another
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

"""What a vehicle is doing, from its latest readings: exactly one state. A pure function of readings and clock.

The rules are asked in this order; the first that holds decides:

1. never: no reading has arrived.
2. offline: nothing for ``offline_after`` seconds although it was last seen on or charging. A vehicle that was
   parked stays parked, because its devices sleep.
3. charging: its charge state says so.
4. moving: faster than 3 km/h within the last 60 s; or ignition on and still for less than 2 minutes, since a
   stop at a light is part of a drive.
5. idle: ignition or engine on.
6. parked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEVER, OFFLINE, CHARGING, MOVING, IDLE, PARKED = "never", "offline", "charging", "moving", "idle", "parked"
STATES = (MOVING, IDLE, PARKED, CHARGING, OFFLINE, NEVER)

MOVING_KMH = 3.0
MOVING_SECONDS = 60.0
STOP_SECONDS = 120.0
RECENT_SECONDS = 60.0
NEEDED_SIGNALS = frozenset(
    (
        "vehicle.speed",
        "location.speed",
        "vehicle.ignition",
        "engine.running",
        "engine.rpm",
        "charge.state",
        "charge.plugged_in",
        "charge.power",
        "charge.active",
    )
)

Reading = tuple[float | str, float]
"""Value and epoch seconds."""


@dataclass(frozen=True)
class Verdict:
    """A vehicle's state and when it has to be looked at again, in epoch seconds."""

    state: str
    moved_at: float | None
    look_again: float | None


def judge(
    readings: Mapping[str, Reading], last_time: float | None, moved_at: float | None, now: float, offline_after: float
) -> Verdict:
    """The state of a vehicle.

    Args:
        readings: the latest reading of each of `NEEDED_SIGNALS` that the vehicle has.
        last_time: its newest reading of any signal, epoch seconds; None for never.
        moved_at: when it was last known to be faster than `MOVING_KMH`.
        now: the clock, epoch seconds.
        offline_after: seconds of silence.
    """
    if last_time is None:
        return Verdict(NEVER, None, None)
    for name in ("vehicle.speed", "location.speed"):
        value, time = readings.get(name, (0.0, 0.0))
        if isinstance(value, float) and value > MOVING_KMH and time > (moved_at or 0.0):
            moved_at = time
    told = "charge.state" in readings  # it knows better than the plain switch beside it
    charging = _text(readings, "charge.state") == "charging" or _number(readings, "charge.power") > 0
    charging = charging or (not told and _number(readings, "charge.active") == 1)
    on = _is_on(readings, last_time)
    recently = last_time - (moved_at or 0.0) <= MOVING_SECONDS
    if (charging or on or recently) and now - last_time > offline_after:
        return Verdict(OFFLINE, moved_at, None)
    again = last_time + offline_after + 1 if charging or on or recently else None
    if charging:
        return Verdict(CHARGING, moved_at, again)
    still = now - (moved_at or 0.0)
    if still <= MOVING_SECONDS:
        return Verdict(MOVING, moved_at, now + MOVING_SECONDS - still + 1)
    if on and still <= STOP_SECONDS:
        return Verdict(MOVING, moved_at, now + STOP_SECONDS - still + 1)
    return Verdict(IDLE if on else PARKED, moved_at, again)


def _is_on(readings: Mapping[str, Reading], last_time: float) -> bool:
    """Ignition or engine on; where a vehicle tells neither, a motion signal that is still being sent."""
    told = [readings[name] for name in ("vehicle.ignition", "engine.running") if name in readings]
    if told:
        return any(value == 1.0 for value, _ in told)
    value, time = readings.get("engine.rpm", (0.0, 0.0))
    return isinstance(value, float) and value > 0 and last_time - time <= RECENT_SECONDS


def _number(readings: Mapping[str, Reading], name: str) -> float:
    value = readings.get(name, (0.0, 0.0))[0]
    return value if isinstance(value, float) else 0.0


def _text(readings: Mapping[str, Reading], name: str) -> str:
    value = readings.get(name, ("", 0.0))[0]
    return value if isinstance(value, str) else ""

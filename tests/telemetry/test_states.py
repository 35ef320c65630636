"""A vehicle has exactly one state; the order of the rules is the docstring of `telemetry.states`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry import states
from telemetry.states import Reading, judge

NOW = 1_767_225_600.0
HALF_HOUR = 1800.0


@pytest.mark.parametrize(
    ("readings", "last", "moved", "state"),
    [
        ({}, None, None, "never"),
        ({"vehicle.speed": (50.0, 0)}, 0, None, "moving"),
        ({"vehicle.speed": (2.0, 0)}, 0, None, "parked"),
        ({"vehicle.speed": (0.0, 0), "vehicle.ignition": (1.0, 0)}, 0, -600, "idle"),
        ({"vehicle.speed": (0.0, 0), "vehicle.ignition": (1.0, 0)}, 0, -90, "moving"),  # a stop at a light
        ({"vehicle.speed": (0.0, 0), "vehicle.ignition": (0.0, 0)}, 0, -90, "parked"),
        ({"vehicle.speed": (0.0, 0), "engine.rpm": (800.0, 0)}, 0, -600, "idle"),
        ({"charge.state": ("charging", 0)}, 0, None, "charging"),
        ({"charge.state": ("charging", -7200)}, -7200, None, "offline"),
        ({"vehicle.ignition": (1.0, -7200)}, -7200, None, "offline"),
        ({"vehicle.speed": (80.0, -7200)}, -7200, None, "offline"),
        ({"vehicle.ignition": (0.0, -7200)}, -7200, -9000, "parked"),  # its device sleeps
        ({"charge.state": ("complete", -7200)}, -7200, None, "parked"),
        ({"charge.active": (1.0, 0)}, 0, None, "charging"),
        ({"charge.active": (1.0, 0), "charge.state": ("complete", 0)}, 0, None, "parked"),
    ],
)
def test_rules(readings: dict[str, Reading], last: float | None, moved: float | None, state: str) -> None:
    shifted = {name: (value, NOW + age) for name, (value, age) in readings.items()}
    verdict = judge(
        shifted, None if last is None else NOW + last, None if moved is None else NOW + moved, NOW, HALF_HOUR
    )
    assert verdict.state == state


ages = st.floats(-100_000, 0)


@given(
    st.dictionaries(
        st.sampled_from(sorted(states.NEEDED_SIGNALS)),
        st.tuples(st.one_of(st.floats(0, 200), st.sampled_from(["charging", "complete", ""])), ages),
    ),
    st.one_of(st.none(), ages),
    st.one_of(st.none(), ages),
)
def test_every_vehicle_has_one_state_and_is_looked_at_in_time(
    readings: dict[str, Reading], last: float | None, moved: float | None
) -> None:
    shifted = {name: (value, NOW + age) for name, (value, age) in readings.items()}
    last_time = None if last is None else NOW + last
    verdict = judge(shifted, last_time, None if moved is None else NOW + moved, NOW, HALF_HOUR)
    assert verdict.state in states.STATES
    # Where nothing more arrives, the state stays until the moment at which it asked to be looked at again.
    until = (verdict.look_again or NOW + 200_000) - 2
    if until > NOW:
        assert judge(shifted, last_time, verdict.moved_at, until, HALF_HOUR).state == verdict.state

"""What a rule says, ready to be evaluated: signals and fences by id, values in stored units, times in microseconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from alerts.rules.schedules import Schedule


class Operator(StrEnum):
    """How a value is compared."""

    GREATER = ">"
    GREATER_EQUAL = ">="
    LESS = "<"
    LESS_EQUAL = "<="
    EQUAL = "=="
    DIFFERENT = "!="


class FenceEvent(StrEnum):
    """What a vehicle does at a fence; the last two hold from the crossing on, for as long as it stays so."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    ENTER = "enter"
    EXIT = "exit"


@dataclass(frozen=True)
class Compare:
    """A signal's value, or with ``rate`` its change over that time, compared with a threshold.

    ``attribute`` names the vehicle's own threshold; without it, or where the vehicle has none, ``value`` counts.
    A text is compared through `alerts.rules.texts.code_of`.
    """

    signal: int
    operator: Operator
    value: float
    attribute: str = ""
    rate: int = 0
    unit: tuple[float, float] = (1.0, 0.0)
    """What an attribute is in: a stored value is the first times it plus the second."""


@dataclass(frozen=True)
class NoData:
    """Nothing was told for ``lasting``: of a signal, or of any where ``signal`` is None."""

    lasting: int
    signal: int | None = None


@dataclass(frozen=True)
class AtFence:
    """Where the vehicle is, or how it came there."""

    fence: int
    event: FenceEvent


@dataclass(frozen=True)
class Stands:
    """Something stands that readings do not tell: a state, a trouble code, a broken source."""

    fact: str


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    """One part holds."""

    parts: tuple[Node, ...]


Leaf = Compare | NoData | AtFence | Stands
Node = Leaf | All | Any


@dataclass(frozen=True)
class Rule:
    """One rule; all times in microseconds. ``begins``: earlier readings do not count."""

    id: int
    revision: int
    condition: Node
    clear: Node | None = None
    lasting: int = 0
    clear_lasting: int = 0
    times: int = 1
    within: int = 0
    hold: int = 600_000_000
    begins: int = 0
    schedule: Schedule | None = None
    leaves: tuple[Leaf, ...] = field(init=False)

    def __post_init__(self) -> None:
        nodes = [self.condition] + ([self.clear] if self.clear is not None else [])
        object.__setattr__(self, "leaves", tuple(leaf for node in nodes for leaf in leaves_of(node)))

    @property
    def any_frame(self) -> bool:
        """Whether every frame matters, whatever signals it holds."""
        return any(isinstance(leaf, NoData) and leaf.signal is None for leaf in self.leaves)

    @property
    def lookback(self) -> int:
        """For how long a reading matters to it."""
        windows = [leaf.rate for leaf in self.leaves if isinstance(leaf, Compare)]
        silences = [leaf.lasting for leaf in self.leaves if isinstance(leaf, NoData)]
        return self.hold + max([0, *windows]) + max([0, *silences])

    @property
    def silent(self) -> bool:
        """Whether it is about data that does not come."""
        return any(isinstance(leaf, NoData) for leaf in self.leaves)

    @property
    def facts(self) -> set[str]:
        """The facts that it asks for."""
        return {leaf.fact for leaf in self.leaves if isinstance(leaf, Stands)}

    @property
    def fences(self) -> set[int]:
        """The fences that it asks for."""
        return {leaf.fence for leaf in self.leaves if isinstance(leaf, AtFence)}


def leaves_of(node: Node) -> Iterator[Leaf]:
    """The leaves of a condition."""
    if isinstance(node, (All, Any)):
        for part in node.parts:
            yield from leaves_of(part)
    else:
        yield node

"""What a driver is: it opens, reads and closes. Timing, retry and reconnect belong to the agent."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Dict, List, Optional, Union

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    from typing_extensions import Protocol  # type: ignore[assignment]

Value = Union[float, bool, str]


class CollectorError(Exception):
    """Something that a person has to mend; the message says what. ``permanent``: trying again is of no use."""

    def __init__(self, words: str, permanent: bool = False) -> None:
        super().__init__(words)
        self.permanent = permanent


@dataclass
class Frame:
    """Readings of one instant: epoch seconds, and values by signal name in the portal's units."""

    time: float
    values: Dict[str, Value]


class Driver(Protocol):
    """A source of frames."""

    source: str
    """The name under which the portal keeps this driver's readings, such as obd."""
    period: Optional[float]
    """Seconds between reads; None to be read again at once."""
    finished: bool
    """True once there is nothing more to read, ever."""

    def open(self) -> None:
        """Connect to whatever is read; raises `CollectorError`."""

    def read(self) -> List[Frame]:
        """The frames that are there now."""

    def close(self) -> None:
        """Let go of it."""


def needs(module: str, extra: str) -> Any:
    """An optional package.

    Raises:
         a permanent `CollectorError` that says how to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        words = f"the Python package {package} is missing: pip install 'motorpool-collector[{extra}]'"
        raise CollectorError(words, permanent=True) from None

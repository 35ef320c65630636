"""A request to stop that a signal handler can make: an `Event` may wait for its own lock there."""

from __future__ import annotations

import time


class Stop:
    """A request to stop, which a signal handler may make at any moment, again and again."""

    def __init__(self) -> None:
        self.requested = False

    def is_set(self) -> bool:
        """Whether it was made."""
        return self.requested

    def wait(self, seconds: float) -> bool:
        """Wait for it; whether it was made within the time."""
        deadline = time.monotonic() + seconds
        while not self.requested and time.monotonic() < deadline:
            time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))
        return self.requested

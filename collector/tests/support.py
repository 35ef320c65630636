"""What these tests share. They know nothing of the portal: the collector is tested by itself here."""

from __future__ import annotations

import time
from typing import Any, Callable


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true result of ``check``, asked again and again; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)

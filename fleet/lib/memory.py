"""glibc's allocator, told to give memory back. Elsewhere (musl, macOS) all of this does nothing."""

from __future__ import annotations

import contextlib
import ctypes

M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1
"""Of malloc.h; set, the thresholds no longer grow with what was once large."""


def settle() -> None:
    """At start: few arenas, and large pieces apart, or each thread that met a large body would keep what it needed."""
    with contextlib.suppress(AttributeError, OSError):
        for option, value in ((M_ARENA_MAX, 2), (M_MMAP_THRESHOLD, 1_048_576), (M_TRIM_THRESHOLD, 1_048_576)):
            ctypes.CDLL(None).mallopt(option, value)


def give_back() -> None:
    """After something large: the free pages of all arenas, also those below what is in use. Takes a millisecond."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)

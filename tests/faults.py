"""Which tests hold which fault of real-world input down: ``python -m tests.faults`` prints the table.

A test names the faults that it covers in its own name, as in ``test_g2_zero_zero_is_no_position``. Letters: O, the OBD
dialogue; N, numbers that JSON does not know; G, positions, clocks and geofences; C, tables; K, CAN; H, further files and
inputs; S, makers' clouds; A, vehicles and signals; P, the API; F, the portal's inside; X, attacks.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAULTS = {
    "O": [*range(1, 4), *range(5, 10), 11, 12, 15],
    "N": [1],
    "G": [1, 2, 4, 6, 8, 11, 12],
    "C": [*range(1, 7), 8, 10],
    "K": [1, 2, 4],
    "H": [2, 3, 4, *range(6, 16)],
    "S": [1],
    "A": [2, 4, 5],
    "P": [1],
    "F": range(1, 29),
    "X": range(1, 18),
}
_TEST = re.compile(r"^\s*(?:async )?def (test_((?:[a-z]\d+_)+)\w*)", re.MULTILINE)


def covered() -> dict[str, list[str]]:
    """Tests by fault, as ``file::name``."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in (ROOT / "tests", ROOT / "collector" / "tests"):
        for file in sorted(folder.rglob("test_*.py")):
            for match in _TEST.finditer(file.read_text()):
                for fault in match.group(2).rstrip("_").split("_"):
                    found[fault.upper()].append(f"{file.relative_to(ROOT)}::{match.group(1)}")
    return found


def main() -> int:
    """Print the table; 1 where a fault has no test."""
    tests = covered()
    without = []
    for letter, numbers in FAULTS.items():
        for number in numbers:
            fault = f"{letter}{number}"
            without += [] if tests[fault] else [fault]
            for place, test in enumerate(tests[fault] or ["no test"]):
                sys.stdout.write(f"{fault if place == 0 else '':5}{test}\n")
    sys.stdout.write(f"without a test: {', '.join(without) or 'none'}\n")
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())

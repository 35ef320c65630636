"""The API against its own description: generated calls, right and wrong ones, of every operation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Team
from tests.portal import Portal
from tests.vehicles.test_public_ids import fill

LEFT_OUT = (
    "positive_data_acceptance",  # much that JSON Schema cannot say is refused, such as a signal that does not exist
)


@pytest.mark.long
def test_schema_and_behaviour_agree(portal: Portal, team: Team, tmp_path: Path) -> None:
    with portal.client(team.tokens["admin"]) as client:
        fill(client)
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{portal.url}/api/v1/schema"]
    command += [
        "-H",
        f"Authorization: Bearer {team.tokens['admin']}",
        "--exclude-path-regex",
        "/(auth|members|tokens)/",
    ]
    command += ["--exclude-checks", ",".join(LEFT_OUT), "--generation-allow-x00", "false"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "50", "--continue-on-failure"]
    # In a folder of its own: it writes what it found beside itself.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1_500)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]

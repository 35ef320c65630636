"""Collectors drive while they, the portal and PostgreSQL are killed: what a spool held is in the portal, once."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos.agent import FRAMES_PER_BATCH, SIGNALS, STEP
from chaos.check import check
from chaos.processes import Part
from chaos.world import World, running_world
from fleet.embedded.identity import dies_with_parent
from fleet.embedded.supervisor import ROOT

AGENTS = 4
SECONDS_PER_KILL = 4.5


def run(seed: int, readings: int, kills: int, say: Callable[[str], None]) -> dict[str, Any]:
    """One run; ``readings`` over all agents, at least so many ``kills``."""
    dice = random.Random(seed)
    batches = readings // AGENTS // len(SIGNALS) // FRAMES_PER_BATCH
    with running_world() as world:
        team = world.team(f"collectors{seed}", AGENTS)
        vehicles: Any = team["vehicles"]
        base = float(int(time.time()) // 3_600 * 3_600) - batches * FRAMES_PER_BATCH * STEP - 3_600
        rate = batches / (kills * SECONDS_PER_KILL)
        agents = [
            Part(f"agent-{number}", _spawn(world, str(team["key"]), number, vehicle, batches, base, rate))
            for number, vehicle in enumerate(vehicles)
        ]
        begun = time.monotonic()
        targets = [world.web, world.web, world.postgres, *agents]
        try:
            while not _done(agents) or _kills(world, agents) < kills:
                _keep(world, agents, dice.uniform(1.0, 7.0))
                part = dice.choice(targets)
                if part.process.poll() is None:
                    say(f"kill -9 {part.name}")
                    part.kill()
                    time.sleep(dice.uniform(0.1, 3))
                    part.start()
                if time.monotonic() - begun > 900:
                    say("the collectors do not come to an end")
                    break
        finally:
            for agent in agents:
                if agent.process.poll() is None:
                    agent.kill()
        took = time.monotonic() - begun
        world.await_ready()
        settled = world.derived_work_within(90)
        verdict = check(world.folder, world.environment["DATABASE_URL"], vehicles, base)
        complete = verdict.acknowledged == batches * FRAMES_PER_BATCH * len(SIGNALS) * AGENTS
        killed = {part.name: part.kills for part in (*world.parts, *agents) if part.kills}
        return {
            "seed": seed, "seconds": round(took, 1), "kills": killed, "settle_seconds": round(settled, 1),
            "verdict": dataclasses.asdict(verdict), "complete": complete, "good": verdict.good and complete,
        }  # fmt: skip


def _spawn(
    world: World, key: str, number: int, vehicle: int, batches: int, base: float, rate: float
) -> Callable[[], subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "chaos.collector_agent", "--portal", world.url, "--key", key]
    command += ["--vehicle", str(vehicle), "--number", str(number), "--batches", str(batches)]
    command += ["--base", str(base), "--rate", str(rate), "--folder", str(world.folder)]
    environment = {**world.environment, "PYTHONPATH": f"{ROOT}:{Path(ROOT) / 'collector' / 'src'}"}

    def spawn() -> subprocess.Popen[bytes]:
        with (world.folder / "log" / f"agent-{number}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=dies_with_parent()
            )

    return spawn


def _done(agents: list[Part]) -> bool:
    return all(agent.process.poll() == 0 for agent in agents)


def _kills(world: World, agents: list[Part]) -> int:
    return sum(part.kills for part in (*world.parts, *agents))


def _keep(world: World, agents: list[Part], seconds: float) -> None:
    """Wait, starting again what ended but for agents that are done."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        world.ensure()
        for agent in agents:
            if agent.process.poll() not in (None, 0):
                agent.ensure()
        if _done(agents):
            return
        time.sleep(0.1)

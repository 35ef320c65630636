"""Agents send while parts are killed and frozen at random; afterwards everything acknowledged must be there, once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.agent import SIGNALS, STEP
from chaos.check import Verdict, check
from chaos.processes import Part
from chaos.world import World, running_world
from fleet.embedded.identity import dies_with_parent
from fleet.embedded.supervisor import ROOT

AGENTS = 4
LONGEST_PAUSE = 8.0
SETTLE_SECONDS = 90.0
MOST_ODD = 100


@dataclass
class Run:
    """How a run went."""

    seed: int
    variant: str
    seconds: float
    kills: dict[str, int]
    freezes: int
    died: dict[str, int]
    settle_seconds: float
    verdict: Verdict


def run(variant: str, seed: int, readings: int, kills: int, faults: list[str], say: Callable[[str], None]) -> Run:
    """One run.

    Args:
        readings: over all agents.
        kills: at least so many; the agents' pace follows from it.
        faults: parts that are killed, and ``freeze``.
    """
    dice = random.Random(seed)
    with running_world(variant) as world:
        team = world.team(f"chaos{seed}", AGENTS)
        base = float(int(time.time()) // 3_600 * 3_600) - readings / AGENTS / len(SIGNALS) * STEP - 3_600
        seconds = kills * 5.5
        agents = _start_agents(world, team, readings // AGENTS, base, seconds, seed)
        begun = time.monotonic()
        freezes = 0
        parts = {part.name: part for part in world.parts}
        while any(agent.poll() is None for agent in agents) or _kills(world) < kills:
            _await(world, dice.uniform(1.5, LONGEST_PAUSE))
            fault = dice.choice(faults)
            if fault == "freeze":
                freezes += 1
                _freeze(dice.choice([parts[name] for name in parts if name != "beat"]), dice.uniform(1, 6), say)
            else:
                _kill(world, parts[fault], dice, say)
            if time.monotonic() - begun > 4 * seconds + 120 or _oddities(world) > MOST_ODD:
                say("the agents get answers that they should not, or do not come to an end: they are stopped")
                break
        for agent in agents:
            agent.terminate()
            agent.wait()
        took = time.monotonic() - begun
        world.await_ready()
        settled = world.derived_work_within(SETTLE_SECONDS)
        vehicles = team["vehicles"]
        assert isinstance(vehicles, list)
        verdict = check(world.folder, world.environment["DATABASE_URL"], vehicles, base)
        killed = {part.name: part.kills for part in world.parts}
        died = {part.name: part.died for part in world.parts if part.died}
        return Run(seed, variant, took, killed, freezes, died, settled, verdict)


def _start_agents(
    world: World, team: dict[str, list[int] | str | int], readings: int, base: float, seconds: float, seed: int
) -> list[subprocess.Popen[bytes]]:
    rate = readings / 50 / seconds
    agents = []
    vehicles = team["vehicles"]
    assert isinstance(vehicles, list)
    for number, vehicle in enumerate(vehicles):
        command = [sys.executable, "-m", "chaos.agent", "--portal", world.url, "--key", str(team["key"])]
        command += ["--number", str(number), "--vehicle", str(vehicle), "--readings", str(readings)]
        command += ["--base", str(base), "--rate", str(rate), "--seed", str(seed), "--folder", str(world.folder)]
        agents.append(subprocess.Popen(command, cwd=ROOT, env=world.environment, preexec_fn=dies_with_parent()))
    return agents


def _oddities(world: World) -> int:
    return sum(len(path.read_text().splitlines()) for path in world.folder.glob("odd-*.log"))


def _kills(world: World) -> int:
    return sum(part.kills for part in world.parts)


def _kill(world: World, part: Part, dice: random.Random, say: Callable[[str], None]) -> None:
    if part.process.poll() is not None:
        return
    if part.name == "worker" and dice.random() < 0.4:
        say(f"kill -9 a child of {part.name}")
        part.kill_child()
        return
    pause = dice.uniform(0.1, 3)
    say(f"kill -9 {part.name}, back after {pause:.1f} s")
    part.kill()
    time.sleep(pause)
    part.start()


def _freeze(part: Part, seconds: float, say: Callable[[str], None]) -> None:
    say(f"freeze {part.name} for {seconds:.1f} s")
    part.freeze()
    time.sleep(seconds)
    part.thaw()


def _await(world: World, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        world.ensure()
        time.sleep(0.1)

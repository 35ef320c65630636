"""The cast, and the real servers that the tests talk to.

Alice is the admin of an organization, Oscar its operator, Vera its viewer; Charlie is the admin of another and
must see nothing. Every test has organizations of its own in one shared database, so nothing is cleaned up and
no order matters.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import blocking_manager_key

from tests.parallel import WORKER
from tests.portal import Portal, running_portal

BROWSER = "tests/browser"
CANARY = "canary-of-another-tenant"
_numbers = itertools.count(os.getpid() * 1000)
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Team:
    """An organization with its people, a vehicle, a device, and their secrets."""

    organization: Any
    users: dict[str, Any]
    tokens: dict[str, str]
    vehicle: Any
    device: Any
    key: str
    password: str = "correct horse battery"
    extra: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session", autouse=True)
def _database(django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One migrated database for the whole run: committed, so that other processes see it too."""
    with django_db_blocker.unblock():
        if WORKER:
            test = connection.settings_dict["TEST"]
            name = f"test_{connection.settings_dict['NAME']}"
            test["NAME"] = f"{name}_template"
            _make_once(tmp_path_factory.getbasetemp().parent / "template")
            test["TEMPLATE"], test["NAME"] = test["NAME"], f"{name}_{WORKER}"
        else:
            call_command("collectstatic", verbosity=0, interactive=False)
        made = setup_databases(verbosity=0, interactive=False)
        yield
        connection.close()
        teardown_databases(made, verbosity=0)


def _make_once(mark: Path) -> None:
    """Migrate the database that every worker copies, and collect static files: the first one does, the others wait."""
    with mark.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            name = connection.settings_dict["NAME"]
            call_command("collectstatic", verbosity=0, interactive=False)
            setup_databases(verbosity=0, interactive=False)
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
            settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
            mark.touch()


@pytest.fixture(autouse=True)
def _no_failures(request: pytest.FixtureRequest, _database: None) -> None:
    """All tests come from one address: what one of them fails at must not be counted to the next."""
    from fleet.accounts.models import SignInFailures

    if BROWSER not in request.path.as_posix():  # which have a portal and a database of their own
        SignInFailures.objects.all().delete()


@pytest.fixture(scope="session")
def portal(_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The web process of this test run."""
    with running_portal(
        tmp_path_factory.mktemp("portal"), KEY_CACHE_SECONDS="1", API_CALLS_PER_MINUTE="100000"
    ) as started:
        yield started


@functools.cache
def _hashed(password: str) -> str:
    """bcrypt is slow on purpose: once is enough."""
    return make_password(password)


def make_team(name: str = "Team") -> Team:
    """A new organization with its cast."""
    from fleet.accounts.models import Membership, Role, User
    from fleet.accounts.services import organization_create, token_create
    from vehicles.services import device_create, vehicle_create

    number = next(_numbers)
    people = {
        role: User.objects.create(email=f"{role}{number}@example.com", password=_hashed(Team.password))
        for role in ("admin", "operator", "viewer")
    }
    organization = organization_create(name=f"{name} {number}", owner=people["admin"])
    Membership.objects.create(organization=organization, user=people["operator"], role=Role.OPERATOR)
    Membership.objects.create(organization=organization, user=people["viewer"], role=Role.VIEWER)
    tokens = {
        role: token_create(organization=organization, user=person, name=role)[1] for role, person in people.items()
    }
    vehicle = vehicle_create(organization=organization, user=None, name=f"{name} car", aliases=[f"car-{number}"])
    device, key = device_create(organization=organization, user=None, name=f"{name} device")
    return Team(organization, people, tokens, vehicle, device, key)


@pytest.fixture
def team() -> Team:
    """Alice's organization."""
    return make_team()


@pytest.fixture
def strangers() -> Team:
    """Charlie's organization, whose every name is a canary."""
    return make_team(CANARY)


@pytest.fixture
def shared_data() -> Path:
    """Real recordings, where they are present."""
    if not SHARED_DATA.exists():
        pytest.skip("the folder of real recordings is not present")
    return SHARED_DATA


PROGRAMS = {
    "no Chromium": "chromium",
    "no gpsd": "gpsd gpsd-clients",
    "no mosquitto": "mosquitto",
    "no nginx": "nginx-light",
}
"""Why tests are skipped where a program is missing, and the Debian packages that have it."""


def _missing(reporter: Any) -> dict[str, int]:
    """How many tests were skipped for the want of a program, by the reason."""
    skipped = reporter.stats.get("skipped", ()) if reporter else ()
    counts = {reason: sum(reason in str(report.longrepr) for report in skipped) for reason in PROGRAMS}
    return {reason: count for reason, count in counts.items() if count}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was skipped for the want of a program, and how to install it."""
    for reason, count in _missing(terminalreporter).items():
        terminalreporter.write_line(f"{count} tests were skipped, {reason}: apt install {PROGRAMS[reason]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where every program is required (`MOTORPOOL_REQUIRE_PROGRAMS`), a missing one is a failure."""
    if session.config.pluginmanager.has_plugin("dsession"):
        with session.config.stash[blocking_manager_key].unblock(), connection.creation._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "test_{connection.settings_dict["NAME"]}_template"')
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("MOTORPOOL_REQUIRE_PROGRAMS") and _missing(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

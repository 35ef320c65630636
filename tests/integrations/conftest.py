"""A simulated maker's cloud, and a portal that knows it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
import redis
from django.conf import settings
from django.db import connection

from tests.conftest import Team, make_team
from tests.portal import Portal, eventually, running_portal
from tests.smartcar_stub import Stub
from tests.test_tenancy import sign_in

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "reference" / "smartcar-samples"


@pytest.fixture(scope="session")
def maker(_database: None) -> Iterator[Stub]:
    """The maker's cloud of this test run."""
    stub = Stub()
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture(autouse=True)
def _no_connections(_database: None) -> None:
    """Polls and mails are about all connections: those of other tests are none of this one's."""
    from integrations.sources.smartcar.models import Account, CloudVehicle

    CloudVehicle.objects.all().delete()
    Account.objects.all().delete()


@pytest.fixture(scope="session")
def cloud_portal(maker: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A web process with a Smartcar application; this process has the same settings, as a worker would."""
    from fleet import env
    from integrations.sources.smartcar.configuration import configuration
    from telemetry.ingest import local

    limits = {"API_CALLS_PER_MINUTE": "100000", "SMARTCAR_APPLICATION_REQUESTS": "1000000"}
    variables = {**maker.settings(), **limits}
    with running_portal(tmp_path_factory.mktemp("cloud"), **variables) as portal:
        with mock.patch.dict(os.environ, variables):
            values = env.smartcar(portal.url)
        before = settings.SMARTCAR
        settings.SMARTCAR = values
        configuration.cache_clear()
        yield portal
        assert written_down(maker, portal) == []
        local.close()
        settings.SMARTCAR = before
        configuration.cache_clear()


@pytest.fixture
def fleet(cloud_portal: Portal) -> Team:
    """An organization on that portal."""
    return make_team("Cloud")


@pytest.fixture
def endpoint(cloud_portal: Portal) -> Any:
    """The address for deliveries, not armed."""
    from integrations.sources.smartcar.models import WebhookEndpoint
    from integrations.sources.smartcar.services import endpoint_of_the_portal

    made = endpoint_of_the_portal()
    WebhookEndpoint.objects.filter(pk=made.pk).update(armed_until=None)
    made.refresh_from_db()
    return made


@pytest.fixture
def samples() -> Path:
    """Bodies as documented and as seen in traffic."""
    if not SAMPLES.exists():
        pytest.skip("the folder of sample bodies is not present")
    return SAMPLES


def page_of(portal: Portal, team: Team, role: str = "admin") -> httpx.Client:
    """A signed-in browser without scripts."""
    return sign_in(portal, team.users[role].email or "", team.password)


def post(browser: httpx.Client, path: str, **form: str) -> httpx.Response:
    """Send a form as a page does."""
    token = browser.cookies["motorpool-csrf"]
    return browser.post(path, data={**form, "csrfmiddlewaretoken": token}, headers={"Referer": str(browser.base_url)})


def leads_to(answer: httpx.Response) -> str:
    assert answer.status_code in (302, 303), answer.text[:500]
    return answer.headers["Location"]


def words(answer: httpx.Response) -> str:
    """A page's text."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def work_off() -> None:
    """What the worker does with waiting deliveries."""
    from integrations.sources.smartcar.processing import process_waiting

    eventually(lambda: process_waiting() == 0, 20)


def secrets_of(maker: Stub) -> set[str]:
    """Every token that was given out, and the application's own secrets."""
    state = maker.state
    own = {state.application.client_secret, state.application.management_token}
    return {*state.app_tokens, *state.access_tokens, *state.refresh_tokens, *own}


def written_down(maker: Stub, portal: Portal) -> list[str]:
    """Where a secret stands: tables (as text), Redis with the queues of tasks, the log."""
    texts: dict[str, str] = {"log": portal.log.read_text(errors="replace")}
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            if table.startswith("telemetry_frame"):  # numbers, and partitions that come and go
                continue
            cursor.execute(f'SELECT t::text FROM "{table}" AS t LIMIT 200000')
            texts[table] = "\n".join(row[0] or "" for row in cursor.fetchall())
    store = redis.Redis.from_url(settings.REDIS_URL)
    for key in store.scan_iter(count=1000):
        kind = store.type(key)
        read: Any = {b"string": store.get, b"list": lambda name: store.lrange(name, 0, -1), b"hash": store.hgetall}.get(
            kind
        )  # type: ignore[call-overload]
        texts[f"redis {key!r}"] = repr(read(key)) if read else ""
    return [name for name, text in texts.items() for secret in secrets_of(maker) if secret in text]

"""Whatever a body holds, no address of the API answers 5xx or hangs."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Team, make_team
from tests.portal import Portal, running_portal
from tests.test_tenancy import API, _fill

BODIES = [
    b"", b"{", b"[]", b"null", b"0", b'""', b"{}", b'{"a":' * 5_000, b"[" * 10_000, b'{"name": NaN}', b'{"name": 1e999}',
    b'{"name": "\\ud800"}', b'{"name": "\\u0000"}', b"\xff\xfe{}", b'{"name": "\xff"}', "{}".encode("utf-16"),
    b'{"name": ' + b"9" * 5_000 + b"}", b'{"name": "' + b"x" * 200_000 + b'"}', b'{"name": [1, [2, [3]]]}',
    b'{"name": {"a": {"b": 1}}}', b'{"name": true}', b'{"name": null}', b'{"name": "x", "name": "y"}',
    b'{"email": "x", "role": 7}', b'{"email": ["a@b.example"], "role": "admin"}', b'{"role": {}}', b'{"role": -1}',
    b'{"vehicles": ["x"]}', b'{"vehicles": 1e300}', b'{"vehicles": [[1]]}', b'{"aliases": [null, 1, {}]}',
    b'{"year": 99999999999999999999}', b'{"year": -1}', b'{"vin": "\xc4\xb1"}', b'{"powertrain": []}', b'{"tags": {"a": 1}}',
    b'{"frame_days": 99999999999}', b'{"frame_days": -5}', b'{"time_zone": "\\u202e"}', b'{"time_zone": "../../etc/passwd"}',
    b'{"expires_at": "9999-12-31T23:59:59-23:59"}', b'{"refresh": "a.b.c"}', b'{"refresh": {}}',
    b'{"email": "a", "password": []}', b'{"username": "\\u0000", "password": "x"}', gzip.compress(b"{}"),
]  # fmt: skip
WRITING = [row for row in API if row.method in ("POST", "PATCH")]


@pytest.fixture(scope="module")
def unthrottled(_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("malformed"), API_CALLS_PER_MINUTE="1000000") as started:
        yield started


def send(portal: Portal, team: Team, method: str, path: str, body: bytes) -> httpx.Response:
    secret = team.key if path.endswith("/telemetry") else team.tokens["admin"]
    begun = time.monotonic()
    with portal.client(secret) as client:
        answer = client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert time.monotonic() - begun < 2
    return answer


@pytest.mark.parametrize("row", WRITING, ids=lambda row: f"{row.method} {row.path}")
def test_no_body_is_a_server_error(unthrottled: Portal, row: object) -> None:
    team, other = make_team(), make_team()
    for body in BODIES:
        path = _fill([row.path], team, other)[0]  # type: ignore[attr-defined]
        answer = send(unthrottled, team, row.method, path, body)  # type: ignore[attr-defined]
        assert answer.status_code < 500, (body[:80], answer.text[:300])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "name", "vin", "year", "aliases", "tags", "groups", "powertrain", "archived", "vehicles", "email", "username", "password",
    "role", "refresh", "organization", "time_zone", "frame_days", "rollup_days", "buffer_seconds", "expires_at", "blocks",
    "rows", "boot", "seq", "time_unit",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_values_in_known_fields_are_no_server_error(unthrottled: Portal, data: st.DataObject) -> None:
    team = _team()
    row = data.draw(st.sampled_from(WRITING))
    import json

    chosen = data.draw(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6))
    path = _fill([row.path], team, team)[0]
    answer = send(unthrottled, team, row.method, path, json.dumps(chosen).encode())
    assert answer.status_code < 500, (row.path, chosen, answer.text[:300])


_teams: list[Team] = []


def _team() -> Team:
    if not _teams:
        _teams.append(make_team())
    return _teams[0]

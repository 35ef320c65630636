"""What `make demo` leaves on the disk."""

from __future__ import annotations

import stat

import pytest

from tests.browser.demo import Demo

pytestmark = pytest.mark.browser


def test_the_demo_file_is_private_and_whole(demo: Demo) -> None:
    path = demo.data / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    facts = demo.facts
    assert facts["url"] == demo.url
    assert set(facts["users"]) == {"viewer", "operator", "admin"}
    assert {"email", "password"} <= set(facts["staff"])
    assert len(facts["device_keys"]) == 4
    assert facts["api_token"].startswith("mpt_")
    for name in ("secrets.json", "servers.json"):
        assert stat.S_IMODE((demo.data / name).stat().st_mode) == 0o600
    secrets = [facts["api_token"], *facts["device_keys"].values(), *(u["password"] for u in facts["users"].values())]
    for log in (demo.data / "log").iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], log.name

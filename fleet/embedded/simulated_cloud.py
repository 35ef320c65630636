"""The demo's simulated maker's cloud: a stand-in for Smartcar on loopback, so that connecting a car needs no account.

It is the server that the tests talk to; an installation without the tests' folder has a demo without it.
"""

from __future__ import annotations

import json
import secrets
import socket
import uuid
from pathlib import Path
from typing import Any

from fleet.embedded.identity import write_private

MODULE = "tests.smartcar_stub"


def settings_of(data: Path, root: Path) -> dict[str, str]:
    """What the portal's environment says of the simulated cloud; empty where it is not there.

    Its secrets and ids are made once and kept in the data folder; its port too, unless somebody has taken it.
    """
    if not (root / "tests" / "smartcar_stub" / "__main__.py").exists():
        return {}
    path = data / "simulated-cloud.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {
        "application_id": str(uuid.uuid4()), "webhook_id": str(uuid.uuid4()), "port": 0,
        "client_secret": secrets.token_urlsafe(24), "management_token": secrets.token_urlsafe(24),
    }  # fmt: skip
    port = _free(known["port"])
    if port != known["port"]:
        known["port"] = port
        write_private(path, json.dumps(known))
    url = f"http://127.0.0.1:{port}"
    return {
        "SMARTCAR_APPLICATION_ID": known["application_id"],
        "SMARTCAR_API_CLIENT_ID": "client_simulated",
        "SMARTCAR_API_CLIENT_SECRET": known["client_secret"],
        "SMARTCAR_MANAGEMENT_TOKEN": known["management_token"],
        "SMARTCAR_WEBHOOK_ID": known["webhook_id"],
        "SMARTCAR_MODE": "simulated",
        "SMARTCAR_CONNECT_URL": url,
        "SMARTCAR_IAM_URL": f"{url}/iam",
        "SMARTCAR_VEHICLE_URL": f"{url}/vehicle/v3",
        "SMARTCAR_MANAGEMENT_URL": f"{url}/management/v3",
        "SMARTCAR_AUTH_URL": f"{url}/auth/oauth/token",
        "SMARTCAR_API_URL": f"{url}/api",
    }


def command_of(environment: dict[str, str], data: Path, webhook_url: str, portal: str) -> list[str]:
    """The arguments of its process; secrets travel by the environment."""
    return [
        "-m", MODULE, "--port", environment["SMARTCAR_CONNECT_URL"].rpartition(":")[2],
        "--application-id", environment["SMARTCAR_APPLICATION_ID"],
        "--client-id", environment["SMARTCAR_API_CLIENT_ID"],
        "--webhook-id", environment["SMARTCAR_WEBHOOK_ID"], "--webhook-url", webhook_url,
        "--redirect-uri", f"{portal}/connections/smartcar/return", "--state", str(data / "simulated-cloud-state.json"),
        "--tick", "20",
    ]  # fmt: skip


def _free(port: int) -> int:
    """The port where nobody has it, else another."""
    for candidate in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")

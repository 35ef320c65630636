"""The web process: ``python -m fleet.web``. uvicorn with the settings that Motorpool needs."""

from __future__ import annotations

import os
import sys
import tempfile

os.environ.setdefault("DATABASE_POOL_SIZE", "8")
os.environ.setdefault("STATEMENT_TIMEOUT_S", "20")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

import uvicorn

from fleet import env
from fleet.lib import memory


def main() -> None:
    """Serve until SIGTERM; requests in flight get a few seconds to end."""
    # Decoding a large body in a thread must not keep the event loop waiting for its turn at the interpreter.
    sys.setswitchinterval(0.0005)
    memory.settle()
    workers = env.number("WEB_CONCURRENCY", 1, 1, 64)
    if workers > 1:
        # Each process counts for itself; whichever is scraped answers for all of them.
        counted = tempfile.TemporaryDirectory(prefix="motorpool-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted.name
    proxies = env.number("TRUSTED_PROXY_COUNT", 0, 0, 10)
    uvicorn.run(
        "fleet.asgi:application",
        host=env.text("HOST", "127.0.0.1"),
        port=env.number("PORT", 8000, 1, 65535),
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        # Compressing each message for each socket costs more than it saves on a fleet's own line.
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=5,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=env.text("TRUSTED_PROXY_ADDRESSES", "*") if proxies else None,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
    )


if __name__ == "__main__":
    main()

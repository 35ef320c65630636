"""The peers, where they are installed: VictoriaMetrics and InfluxDB, taking the same readings as line protocol."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Connection, request


@dataclass
class Peer:
    """A running peer: where it listens, and the path that takes line protocol."""

    name: str
    port: int
    path: str
    folder: Path
    pid: int

    def disk(self) -> int:
        """Bytes below its data folder."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def victoria_metrics() -> Iterator[Peer | None]:
    """VictoriaMetrics (Debian package victoria-metrics)."""
    program = shutil.which("victoria-metrics")
    if not program:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [program, f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
        with _running(command, port) as pid:
            yield Peer("VictoriaMetrics", port, "/write?precision=ms", Path(folder), pid)


@contextmanager
def influxdb() -> Iterator[Peer | None]:
    """InfluxDB 1 (Debian package influxdb), with its write-ahead log synced at each write, as it comes."""
    program = shutil.which("influxd")
    if not program:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        port, rpc = free_port(), free_port()
        configuration = Path(folder) / "influxdb.conf"
        configuration.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
            f'[meta]\ndir = "{folder}/meta"\n'
            f'[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\nmax-series-per-database = 0\n'
            f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n'
        )
        with _running([program, "-config", str(configuration)], port) as pid:
            connection = Connection(port)
            connection.send(request("POST", "/query?q=CREATE+DATABASE+bench"))
            connection.close()
            yield Peer("InfluxDB", port, "/write?db=bench&precision=ms", Path(folder), pid)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        time.sleep(0.5)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def lines(vehicle: int, signals: list[str], frames: list[list[float]]) -> bytes:
    """Frames as line protocol: one line per instant, one field per signal."""
    keys = [signal.replace(".", "_") for signal in signals]
    return "\n".join(
        f"v,vehicle={vehicle} "
        + ",".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
        + f" {round(moment * 1000)}"
        for moment, *values in frames
    ).encode()

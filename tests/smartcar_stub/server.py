"""The HTTP server on loopback, and `Stub`: the whole simulated cloud in one object."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Imported for the addresses that they register.
from tests.smartcar_stub import api_v2, api_v3, connect, control, errors, management_v3, messages, pages, tokens
from tests.smartcar_stub.messages import Call, Reply, Trouble
from tests.smartcar_stub.records import Application, Fault, Request
from tests.smartcar_stub.state import State, append
from tests.smartcar_stub.webhooks import Webhooks

HANDLERS = (api_v2, api_v3, connect, control, management_v3, tokens)
API = ("/iam/", "/vehicle/", "/management/", "/auth/", "/api/")
LARGEST_BODY = 1_000_000
SLOW_SECONDS = 5.0
log = logging.getLogger(__name__)


class Stub:
    """A simulated maker's cloud on ``127.0.0.1``. Takes its port when it is made, and answers from `start` to `stop`.

    Attributes:
        state: what the cloud knows, and the knobs.
        webhooks: sends webhooks.
        url: where it listens.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        application_id: str = Application.application_id,
        client_id: str = Application.client_id,
        client_secret: str = Application.client_secret,
        management_token: str = Application.management_token,
        webhook_id: str = Application.webhook_id,
        webhook_url: str = "",
        redirect_uris: tuple[str, ...] = (),
    ) -> None:
        self.state = State.with_default_cars(
            Application(
                application_id, client_id, client_secret, management_token, webhook_id, webhook_url, redirect_uris
            )
        )
        self.webhooks = Webhooks(self.state)
        self._server: _Server | None = _Server(port, self.state)
        self._port = self._server.server_port
        self.url = self.state.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen and answer, in the background."""
        if self._server is None:  # it was stopped before
            self._server = _Server(self._port, self.state)
        self.state.stopping.clear()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="cloud", daemon=True).start()

    def stop(self) -> None:
        """Stop listening, hang up on everybody, and give up on webhooks that are being retried."""
        server, self._server = self._server, None
        self.state.stopping.set()
        if server is not None:
            server.end()

    def __enter__(self) -> Stub:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def settings(self) -> dict[str, str]:
        """The environment that points a portal to this cloud."""
        application = self.state.application
        return {
            "SMARTCAR_APPLICATION_ID": application.application_id,
            "SMARTCAR_API_CLIENT_ID": application.client_id,
            "SMARTCAR_API_CLIENT_SECRET": application.client_secret,
            "SMARTCAR_MANAGEMENT_TOKEN": application.management_token,
            "SMARTCAR_WEBHOOK_ID": application.webhook_id,
            "SMARTCAR_MODE": "simulated",
            "SMARTCAR_CONNECT_URL": self.url,
            "SMARTCAR_IAM_URL": f"{self.url}/iam",
            "SMARTCAR_VEHICLE_URL": f"{self.url}/vehicle/v3",
            "SMARTCAR_MANAGEMENT_URL": f"{self.url}/management/v3",
            "SMARTCAR_AUTH_URL": f"{self.url}/auth/oauth/token",
            "SMARTCAR_API_URL": f"{self.url}/api",
        }


class _Server(ThreadingHTTPServer):
    """Bound when made; listens once activated; knows its connections, so that `end` ends them too."""

    request_queue_size = 256
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, port: int, state: State) -> None:
        super().__init__(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self.state = state
        self._connections: set[socket.socket] = set()
        self._serving = False
        self._guard = threading.Lock()
        self.server_bind()

    def server_bind(self) -> None:
        """As usual, but without a look-up of the host's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.socket.getsockname()[1])

    def server_activate(self) -> None:
        super().server_activate()
        self._serving = True

    def end(self) -> None:
        if self._serving:
            self.shutdown()
        self.server_close()
        with self._guard:
            connections, self._connections = self._connections, set()
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("A request failed.")


class _Handler(BaseHTTPRequestHandler):
    """Reads a request whole, has it answered, writes the answer in one piece."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "Cloud"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120

    def do_GET(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return self._write(pages.page("413: Too much", "", 413))
        parts = urlsplit(self.path)
        path = parts.path.rstrip("/") or "/"
        body = self.rfile.read(int(length))
        return self._write(_answer(self.server.state, Call(self.command, path, parts.query, self.headers, body)))

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the request log is in the state."""

    def _write(self, reply: Reply | None) -> None:
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.late is not None:
            return self._write_late(reply.late, reply.close)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _write_late(self, make: Callable[[], bytes], close: bool) -> None:
        """Headers now, the body when it is made: in chunks, or ended by the end of the connection."""
        self.send_header(*(("Connection", "close") if close else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        self.wfile.flush()
        body = make()
        self.wfile.write(body if close else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


def _answer(state: State, call: Call) -> Reply | None:
    """The answer to a request; None hangs up."""
    with state.lock:
        append(state.requests, _request(call))
        state.counters["requests"] += 1
        fault = _next_fault(state, call)
    if fault is not None:
        time.sleep(fault.delay or (SLOW_SECONDS if fault.status == "slow" else 0))
        if fault.status == "drop":
            return None
        if fault.status != "slow":
            return _faulty(fault, call)
    try:
        with state.lock:
            reply = messages.dispatch(state, call)
            if reply is None and call.path.startswith(API):
                raise Trouble("RESOURCE_NOT_FOUND", "PATH")
        return reply or pages.page("404: No such page", "", 404)
    except Trouble as trouble:
        return errors.reply_of(call.path, trouble)


def _request(call: Call) -> Request:
    authorization, user = call.headers.get("Authorization", ""), call.headers.get("sc-user-id", "")
    return Request(call.method, call.path, authorization, user, time.time(), call.query_string, call.body)


def _next_fault(state: State, call: Call) -> Fault | None:
    """The first fault that fits; people's pages have none."""
    line = f"{call.method} {call.path}" + (f"?{call.query_string}" if call.query_string else "")
    if not call.path.startswith(API):
        return None
    for fault in state.faults:
        if fault.path_contains in line:
            fault.times -= 1
            if fault.times <= 0:
                state.faults.remove(fault)
            state.counters["faults"] += 1
            return fault
    return None


def _faulty(fault: Fault, call: Call) -> Reply:
    if fault.status == "malformed":
        headers = {"Content-Type": "application/json", **(fault.headers or {})}
        return Reply(200, b'{"data": [{"id": "broken' if fault.body is None else fault.body, headers)
    status = int(fault.status)
    reply = errors.fault_of(call.path, status)
    default = {"Retry-After": "30"} if status == 429 else {}
    reply.headers.update(default if fault.headers is None else fault.headers)
    if fault.body is not None:
        reply.body = fault.body
    return reply

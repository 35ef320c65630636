"""A request and an answer as the handlers see them, and the table of who handles which address."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from tests.smartcar_stub.state import State


@dataclass
class Call:
    """One HTTP request, read to its end."""

    method: str
    path: str
    """Without the query and without a last slash: the Python SDK sends one, others do not."""
    query_string: str
    headers: Message[str, str]
    """Whatever the case of their names."""
    body: bytes = b""

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last of several with one name."""
        return _last(parse_qs(self.query_string, keep_blank_values=True))

    @property
    def is_json(self) -> bool:
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower() == "application/json"

    def form(self) -> dict[str, list[str]]:
        """The body as a form; empty where it is none."""
        return parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)

    def object(self) -> dict[str, Any]:
        """The body as a JSON object; raises `Trouble` where it is none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise Trouble("VALIDATION", "INVALID_INPUT_FORMAT", "The body is not a JSON object.")
        return parsed

    def fields(self) -> dict[str, str]:
        """A form or a flat JSON object alike; JSON's true and false as ``on`` and ``off``."""
        if not self.is_json:
            return _last(self.form())
        words = {True: "on", False: "off"}
        return {
            name: words[value] if isinstance(value, bool) else str(value)
            for name, value in self.object().items()
            if value is not None
        }


def _last(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: several[-1] for name, several in values.items()}


@dataclass
class Reply:
    """An HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    late: Callable[[], bytes] | None = None
    """Makes the body after the headers are sent; the answer then has no Content-Length."""
    close: bool = False
    """The connection ends with the answer; without status, instead of it."""


class Trouble(Exception):
    """What an API refuses; each generation of the API words it in its own shape (see `errors`)."""

    def __init__(self, type: str, code: str | None = None, detail: str = "", status: int = 0) -> None:
        super().__init__(f"{type}:{code}")
        self.type, self.code, self.detail, self.status = type, code, detail, status


def json_reply(status: int, content: Any, **headers: str) -> Reply:
    """A compact JSON answer; ``sc_request_id="…"`` becomes the header ``sc-request-id``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, compact(content), {"Content-Type": "application/json", **named})


def compact(content: Any) -> bytes:
    """JSON as the cloud writes it, without blanks."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


Handler = Callable[..., Reply]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler ``(state, call, *parts)``; ``{}`` in the path is a part, ``{*}`` all that is left."""
    pattern = re.escape(path).replace(r"\{\}", "([^/]+)").replace(r"\{\*\}", "(.+)")

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern), handler))
        return handler

    return register


def dispatch(state: State, call: Call) -> Reply | None:
    """The answer of the first handler that fits; None where the address is unknown."""
    for method, pattern, handler in _ROUTES:
        match = pattern.fullmatch(call.path)
        if match and method == call.method:
            return handler(state, call, *match.groups())
    return None

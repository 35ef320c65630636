"""The one way out: HTTP to addresses that the operator named, without redirects, within a size and a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

LARGEST_ANSWER = 4_000_000
CONNECT_SECONDS = 5.0


class OutboundError(Exception):
    """No usable answer came: the words say why, and hold no secret."""


class Forbidden(OutboundError):
    """An address that nobody allowed."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; ``headers`` have lower-case names."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, ValueError):
            return None


@cache
def _client() -> httpx.Client:
    """One pool of connections per process; no proxies from the environment, no cookies kept, no redirects followed."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=40)
    nothing = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    return httpx.Client(trust_env=False, follow_redirects=False, limits=limits, cookies=nothing)


def call(
    method: str,
    url: str,
    *,
    allowed: tuple[str, ...],
    headers: dict[str, str],
    seconds: float,
    json: Any = None,
    form: dict[str, str] | None = None,
    parameters: dict[str, str] | None = None,
) -> Answer:
    """Call ``url`` and read its whole answer.

    Args:
        allowed: origins (``https://host:port``) that the operator's settings name.
        headers: all that identifies the caller; nothing is kept between calls.
        seconds: for the whole call.

    Raises:
        Forbidden: the address is none of the allowed.
        OutboundError: nobody answers, not in time, or with too much.
    """
    if origin(url) not in allowed:
        raise Forbidden(f"{origin(url)} is not an address that this portal may call.")
    deadline = time.monotonic() + seconds
    timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    try:
        with _client().stream(
            method, url, headers=headers, timeout=timeout, json=json, data=form, params=parameters
        ) as answer:
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise OutboundError(f"The answer has more than {LARGEST_ANSWER} bytes.")
                if time.monotonic() > deadline:
                    raise OutboundError(f"No whole answer within {seconds:.0f} s.")
    except httpx.TimeoutException:
        raise OutboundError(f"No answer within {seconds:.0f} s.") from None
    except httpx.HTTPError as error:
        raise OutboundError(f"No answer ({type(error).__name__}).") from None
    return Answer(answer.status_code, bytes(body), {name.lower(): value for name, value in answer.headers.items()})


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()

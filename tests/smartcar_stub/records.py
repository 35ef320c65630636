"""What the cloud keeps records of besides the cars: the application, owners, grants, tokens, requests, faults."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import uuid4


@dataclass
class Application:
    """The one application that is registered here, as its dashboard would show it."""

    application_id: str = "6f1d3a0e-2c7b-4b69-9d0a-5d5f1b7c2e10"
    client_id: str = "client_stub"
    client_secret: str = "stub-secret"
    management_token: str = "stub-management-token"
    webhook_id: str = "0d9a4c1e-6a7b-4f2e-9b51-2f5d7a1c3e44"
    webhook_url: str = ""
    redirect_uris: tuple[str, ...] = ()
    """Empty: any is accepted."""


@dataclass
class Account:
    """An owner's account with the maker."""

    email: str
    vehicle_ids: list[str] = field(default_factory=list)
    user_id: str = field(default_factory=lambda: str(uuid4()))


@dataclass
class Connection:
    """What an owner granted the application for one car."""

    user_id: str
    vehicle_id: str
    permissions: list[str]
    mode: str = "live"
    external_id: str | None = None
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass
class Subscription:
    """A car whose changes the webhook gets; shown once it is ``visible_at``."""

    webhook_id: str
    user_id: str
    vehicle_id: str
    visible_at: float
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass
class Code:
    """An authorization code of version 2; good for one exchange."""

    user_id: str
    redirect_uri: str
    expires_at: float


@dataclass
class UserToken:
    """An access or refresh token of version 2."""

    user_id: str
    expires_at: float
    used_at: float | None = None
    """When a refresh token was first used: it works a little longer."""


@dataclass(frozen=True)
class Request:
    """A request as it came, for tests to look at."""

    method: str
    path: str
    authorization: str
    sc_user_id: str
    time: float
    query: str
    body: bytes


@dataclass
class Fault:
    """The next ``times`` API requests whose ``"METHOD /path?query"`` contains ``path_contains`` fail.

    Attributes:
        status: an HTTP status, answered with an error body of the address's own shape; or ``slow`` (waits ``delay``,
            or 5 s, then answers as usual), ``malformed`` (200 with broken JSON), ``drop`` (hangs up unanswered).
        headers: of the answer; for 429, where none are given, ``Retry-After: 30``.
        body: instead of the error body.
        delay: seconds before anything happens.
    """

    path_contains: str = ""
    status: int | str = 429
    times: int = 1
    headers: dict[str, str] | None = None
    body: bytes | None = None
    delay: float = 0.0

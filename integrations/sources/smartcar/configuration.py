"""What the operator says of the Smartcar application: identifiers, secrets, addresses, allowances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings

from fleet.lib.outbound import origin


@dataclass(frozen=True)
class Configuration:
    """One Smartcar application. The addresses can name a stand-in."""

    application_id: str
    client_id: str
    client_secret: str
    management_tokens: tuple[str, ...]
    """Newest first; all of them verify webhooks while one replaces the other."""
    redirect_uri: str
    webhook_id: str
    mode: str
    connect_url: str
    iam_url: str
    vehicle_url: str
    management_url: str
    auth_url: str
    api_url: str
    vehicle_requests: int
    """Requests a month and vehicle, as Smartcar's plan allows."""
    application_requests: int
    """Requests that the application may make at once; the bucket refills with 2 a minute."""

    @property
    def ready(self) -> bool:
        """Whether cars can be connected."""
        return bool(self.application_id and self.client_id and self.client_secret)

    @property
    def origins(self) -> tuple[str, ...]:
        """Where calls may go."""
        urls = (self.iam_url, self.vehicle_url, self.management_url, self.auth_url, self.api_url)
        return tuple(dict.fromkeys(origin(url) for url in urls))


@cache
def configuration() -> Configuration:
    """The settings."""
    values: dict[str, Any] = settings.SMARTCAR
    return Configuration(**values)

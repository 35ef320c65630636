"""How the views become the OpenAPI document: components named after what they belong to, and the credentials."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class PortalSchema(AutoSchema):
    """Names nested serializers after their views (`TokensInput`), and operations after their paths."""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """The class's name with those of the classes around it."""
        return "".join(part.lstrip("_") for part in type(serializer).__qualname__.split("."))

    def get_operation_id(self, *arguments: Any) -> str:
        """Tell the list of all vehicles' latest readings from one vehicle's."""
        name = str(super().get_operation_id(*arguments))
        return "vehicles_latest_list" if self.path.endswith("/vehicles/latest") else name


class _Bearer(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "fleet.accounts.authentication.BearerAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A JWT or a personal token (mpt_…)."}


class _Session(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "fleet.accounts.authentication.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "session", "description": "The portal's own pages."}

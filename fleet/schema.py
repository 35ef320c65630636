"""How the views become the OpenAPI document: components named after what they belong to, and the credentials."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

ERRORS = {
    "400": "The request cannot be read, or a value has the wrong type or form; `errors` names the fields.",
    "401": "There is no credential, or it is unknown, expired or revoked.",
    "403": "The role or the kind of credential does not allow this.",
    "404": "There is no such object in the organization.",
    "409": "The request is in conflict with what is there.",
    "413": "The body is too large.",
    "415": "The body has another type than JSON.",
    "422": "A value is well-formed and cannot be used.",
    "429": "There were too many calls: `Retry-After` says when to try again.",
    "503": "The database does not answer: `Retry-After` says when to try again.",
}
"""What any operation may answer instead, by status."""
WITH_BODY = ("409", "413", "415", "422")


class PortalSchema(AutoSchema):
    """Names nested serializers after their views (`TokensInput`), and operations after their paths; adds the errors."""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """The class's name with those of the classes around it."""
        return "".join(part.lstrip("_") for part in type(serializer).__qualname__.split("."))

    def get_operation_id(self, *arguments: Any) -> str:
        """Tell the list of all vehicles' latest readings from one vehicle's."""
        name = str(super().get_operation_id(*arguments))
        return "vehicles_latest_list" if self.path.endswith("/vehicles/latest") else name

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        body = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for status, words in ERRORS.items():
            if status not in WITH_BODY or self.method != "GET":
                bodies.setdefault(status, {"description": words, "content": body})
        return bodies


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

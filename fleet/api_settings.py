"""Settings of the REST framework and of the API's description, which depend on nothing."""

from __future__ import annotations

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "fleet.accounts.authentication.BearerAuthentication",
        "fleet.accounts.authentication.BrowserAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["fleet.accounts.access.HasRole"],
    "DEFAULT_THROTTLE_CLASSES": ["fleet.lib.throttles.CallThrottle"],
    "DEFAULT_PARSER_CLASSES": ["fleet.lib.api.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["fleet.lib.api.FastJSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "fleet.lib.api.PageNumbers",
    "DEFAULT_SCHEMA_CLASS": "fleet.schema.PortalSchema",
    "EXCEPTION_HANDLER": "fleet.lib.api.error_response",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Motorpool",
    "DESCRIPTION": "Vehicles, their telemetry and the people who watch over them. "
    "Every address answers for the organization that the credential names.",
    "VERSION": "1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fleet.openapi.add_ingest",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RoleName": ["viewer", "operator", "admin"],
        "SignalKind": "telemetry.services.KINDS",
        "ChannelKind": "alerts.models.ChannelKind.choices",
        "Severity": "alerts.models.Severity.choices",
    },
}

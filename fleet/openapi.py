"""The ingest route in the OpenAPI document: it is no Django view, so its entry is written by hand."""

from __future__ import annotations

from typing import Any

_OPERATION = {
    "operationId": "telemetry_create",
    "summary": "Send telemetry",
    "description": "Blocks of frames, rows, or both. The answer means: committed to disk. A bad reading is refused "
    "by itself and listed; the rest is stored. Sending the same frames again changes nothing. Authorization: Bearer "
    "with a device key. Content-Encoding may be gzip or zstd. Limits: 1 MB on the wire (4 MB with Content-Length), "
    "16 MB inflated, 10,000 frames, 1,024 signals per block.",
    "tags": ["telemetry"],
    "security": [{"deviceKey": []}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Telemetry"},
                "example": {
                    "blocks": [
                        {
                            "vehicle": "1FADP3L97DL123456",
                            "source": "obd",
                            "signals": ["engine.rpm", "vehicle.speed"],
                            "frames": [[1767225600.1, 812, 0], [1767225600.2, 815, None]],
                        }
                    ]
                },
            }
        },
    },
    "responses": {
        "200": {
            "description": "Committed.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TelemetryAnswer"}}},
        },
        **{
            status: {"description": words}
            for status, words in {
                "400": "Not strict JSON.",
                "401": "The key is unknown or revoked.",
                "403": "The credential is not a device key.",
                "413": "Over a limit.",
                "415": "Not JSON, or an unknown encoding.",
                "422": "JSON, but not this format.",
                "503": "Not stored; send it again.",
            }.items()
        },
    },
}
_COMMON = {
    "vehicle": {"type": "string", "description": "Id, VIN or alias; optional where the key is bound to one vehicle."},
    "source": {"type": "string", "default": "api"},
    "session": {"type": "string"},
}
_SCHEMAS = {
    "Error": {
        "type": "object",
        "required": ["detail", "code"],
        "properties": {
            "detail": {"type": "string", "description": "What is wrong, and what to do about it."},
            "code": {"type": "string", "description": "The kind of error, for programs."},
            "errors": {
                "type": "object",
                "description": "What is wrong, by field.",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
    "Telemetry": {
        "type": "object",
        "properties": {
            "boot": {"type": "string", "minLength": 1, "maxLength": 64},
            "seq": {"type": "integer", "minimum": 0},
            "time_unit": {"type": "string", "enum": ["s", "ms", "us", "ns"], "default": "s"},
            "blocks": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["signals", "frames"],
                    "properties": {
                        **_COMMON,
                        "signals": {"type": "array", "items": {"type": "string"}},
                        "frames": {
                            "type": "array",
                            "items": {"type": "array", "items": {}},
                            "description": "Each a time and one value per signal; null is missing.",
                        },
                    },
                },
            },
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["time", "values"],
                    "properties": {**_COMMON, "time": {}, "values": {"type": "object", "additionalProperties": {}}},
                },
            },
        },
    },
    "TelemetryAnswer": {
        "type": "object",
        "properties": {
            "batch": {"type": "string", "format": "uuid"},
            "boot": {"type": "string", "nullable": True},
            "seq": {"type": "integer", "nullable": True},
            **{
                name: {"type": "integer"}
                for name in ("frames", "readings", "duplicates", "corrected", "rejected_count")
            },
            "rejected": {
                "type": "array",
                "maxItems": 100,
                "items": {
                    "type": "object",
                    "properties": {
                        **{name: {"type": "integer"} for name in ("block", "frame", "row")},
                        **{name: {"type": "string"} for name in ("signal", "code", "detail")},
                    },
                },
            },
        },
    },
}


def add_ingest(result: dict[str, Any], generator: Any, request: Any, public: Any) -> dict[str, Any]:
    """A drf-spectacular post-processing hook."""
    result["paths"]["/api/v1/telemetry"] = {"post": _OPERATION}
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(_SCHEMAS)
    components.setdefault("securitySchemes", {}).update(
        {"deviceKey": {"type": "http", "scheme": "bearer", "description": "A device key (mpd_…)."}}
    )
    return result

"""What an API refuses, in the shapes of its generations: flat (v2), JSON:API (v3) and OAuth (the token addresses)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.smartcar_stub.messages import Reply, Trouble, json_reply

STATUS = {
    "AUTHENTICATION": 401,
    "PERMISSION": 403,
    "VALIDATION": 400,
    "RESOURCE_NOT_FOUND": 404,
    "CONNECTED_SERVICES_ACCOUNT": 400,
    "VEHICLE_STATE": 409,
    "RATE_LIMIT": 429,
    "BILLING": 430,
    "COMPATIBILITY": 501,
    "SERVER": 500,
    "UPSTREAM": 502,
}
RESOLUTION = {
    "PERMISSION": "REAUTHENTICATE",
    "CONNECTED_SERVICES_ACCOUNT": "REAUTHENTICATE",
    "RATE_LIMIT": "RETRY_LATER",
    "VEHICLE_STATE": "RETRY_LATER",
    "SERVER": "RETRY_LATER",
    "UPSTREAM": "RETRY_LATER",
    "BILLING": "CONTACT_SUPPORT",
}
SENTENCES = {
    "AUTHENTICATION": "The access token is missing, unknown or has expired.",
    "AUTHENTICATION:ACCESS_DENIED": "This user has no connection to the vehicle.",
    "PERMISSION": "The owner did not grant the permission that this needs.",
    "VALIDATION": "The request is not valid.",
    "RESOURCE_NOT_FOUND": "There is no such resource.",
    "CONNECTED_SERVICES_ACCOUNT": "The owner's account with the maker needs attention.",
    "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED": "The maker no longer accepts the owner's sign-in.",
    "VEHICLE_STATE": "The vehicle cannot do this now.",
    "VEHICLE_STATE:ASLEEP": "The vehicle is asleep.",
    "VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED": "The vehicle is not plugged in.",
    "VEHICLE_STATE:FULLY_CHARGED": "The vehicle is charged up to its limit.",
    "VEHICLE_STATE:IN_MOTION": "The vehicle is moving.",
    "VEHICLE_STATE:NOT_CHARGING": "The vehicle is not charging.",
    "VEHICLE_STATE:UNREACHABLE": "The vehicle cannot be reached.",
    "RATE_LIMIT": "Too many requests.",
    "RATE_LIMIT:VEHICLE": "Too many requests for this vehicle; Retry-After tells when to ask again.",
    "BILLING": "The application's plan does not allow this.",
    "COMPATIBILITY": "The vehicle is not capable of this.",
    "SERVER": "Something went wrong in this cloud.",
    "UPSTREAM": "The maker's own cloud did not answer properly.",
    "UPSTREAM:NO_RESPONSE": "The vehicle did not answer.",
}
USER_SENTENCE = "Your car could not be asked just now. Please try again later."
FAULTS: dict[int, tuple[str, str | None]] = {
    400: ("VALIDATION", None),
    401: ("AUTHENTICATION", None),
    403: ("PERMISSION", None),
    404: ("RESOURCE_NOT_FOUND", None),
    409: ("VEHICLE_STATE", "UNREACHABLE"),
    429: ("RATE_LIMIT", "VEHICLE"),
    430: ("BILLING", "VEHICLE_REQUEST_LIMIT"),
    500: ("SERVER", "INTERNAL"),
    501: ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
    502: ("UPSTREAM", "NO_RESPONSE"),
    504: ("UPSTREAM", "NO_RESPONSE"),
}
OAUTH = {400: "invalid_request", 401: "invalid_client", 403: "unauthorized_client", 429: "temporarily_unavailable"}


def sentence(type: str, code: str | None) -> str:
    """What the error means."""
    return SENTENCES.get(f"{type}:{code}") or SENTENCES.get(type, "Unknown trouble.")


def about(type: str, code: str | None) -> str:
    """Where the documentation explains it."""
    page, anchor = type.lower().replace("_", "-"), str(code or "null").lower().replace("_", "-")
    return f"https://smartcar.com/docs/errors/api-errors/{page}-errors#{anchor}"


def title(code: str | None) -> str:
    return (code or "UNKNOWN").replace("_", " ").title()


def resolution(type: str, code: str | None) -> str | None:
    """What the documentation advises; None where nothing helps."""
    return "CONTACT_SUPPORT" if code == "SUBSCRIPTION" else RESOLUTION.get(type)


def flat(trouble: Trouble, status: int) -> dict[str, Any]:
    """A version 2 error."""
    type, code = trouble.type, trouble.code
    content: dict[str, Any] = {
        "type": type,
        "code": code,
        "description": trouble.detail or sentence(type, code),
        "docURL": about(type, code),
        "statusCode": status,
        "requestId": str(uuid4()),
        "resolution": {"type": resolution(type, code)},
    }
    if status in (409, 429, 502):
        content["suggestedUserMessage"] = USER_SENTENCE
    return content


def json_api(trouble: Trouble, status: int) -> dict[str, Any]:
    """A version 3 error; version 3 has codes where version 2 has null."""
    type = trouble.type
    code = trouble.code or {"AUTHENTICATION": "UNAUTHORIZED", "PERMISSION": "UNKNOWN"}.get(type, "UNKNOWN")
    error: dict[str, Any] = {
        "type": type,
        "code": code,
        "status": str(status),
        "title": title(code),
        "detail": trouble.detail or sentence(type, code),
        "links": {"about": about(type, code)},
    }
    if resolution(type, code):
        error["resolution"] = {"type": resolution(type, code)}
    if status in (409, 429, 502):
        error["suggestedUserMessage"] = USER_SENTENCE
    return {"errors": [error]}


def oauth(status: int, error: str, description: str) -> Reply:
    """An error of a token address."""
    return json_reply(status, {"error": error, "error_description": description})


def reply_of(path: str, trouble: Trouble) -> Reply:
    """The answer to a refused call, in the shape that the address speaks."""
    status = trouble.status or STATUS.get(trouble.type, 500)
    if path.startswith(("/iam/", "/auth/")):
        return oauth(status, OAUTH.get(status, "server_error"), trouble.detail or sentence(trouble.type, trouble.code))
    content = flat(trouble, status) if path.startswith("/api/") else json_api(trouble, status)
    return json_reply(status, content, sc_request_id=str(uuid4()))


def fault_of(path: str, status: int) -> Reply:
    """The answer of an injected fault."""
    return reply_of(path, Trouble(*FAULTS.get(status, ("SERVER", "INTERNAL")), status=status))

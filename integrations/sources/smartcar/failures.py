"""What Smartcar's refusals mean: one shape for three kinds of body, words for people, and whether to try again.

Bodies: version 2 is flat JSON, version 3 is JSON:API ``errors[]``, the token endpoints are OAuth; any may be no JSON.
Whether to try again is told by the type, not by the status alone (Smartcar documentation, API errors).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from fleet.lib.outbound import Answer


class Retry(Enum):
    """When the same call may be of use again."""

    NEVER = "never"
    OWNER = "after the owner acted"
    LATER = "later"
    TOKEN = "with a new token"  # noqa: S105


@dataclass(eq=False)
class Failure(Exception):
    """A call that Smartcar refused, or that it did not answer."""

    status: int
    type: str = ""
    code: str = ""
    detail: str = ""
    retry_after: float | None = None
    """Seconds that Smartcar asked for."""

    def __str__(self) -> str:
        return words_of(self.type, self.code, self.detail)

    @property
    def name(self) -> str:
        """Type and code, as Smartcar's documentation lists them."""
        return ":".join(part for part in (self.type, self.code) if part) or f"HTTP {self.status}"

    @property
    def retry(self) -> Retry:
        """When to try again."""
        if self.type == "AUTHENTICATION" and self.status != 401:  # a good token, but not for this car
            return Retry.OWNER
        if self.type in _RETRY:
            return _RETRY[self.type]
        return _BY_STATUS.get(self.status, Retry.LATER)


_RETRY = {
    "AUTHENTICATION": Retry.TOKEN,
    "PERMISSION": Retry.OWNER,
    "CONNECTED_SERVICES_ACCOUNT": Retry.OWNER,
    "COMPATIBILITY": Retry.NEVER,
    "VALIDATION": Retry.NEVER,
    "RESOURCE_NOT_FOUND": Retry.NEVER,
    "BILLING": Retry.OWNER,
    "RATE_LIMIT": Retry.LATER,
    "VEHICLE_STATE": Retry.LATER,
    "SERVER": Retry.LATER,
    "UPSTREAM": Retry.LATER,
}
_BY_STATUS = {
    401: Retry.TOKEN,
    403: Retry.OWNER,
    400: Retry.NEVER,
    404: Retry.NEVER,
    430: Retry.OWNER,
    501: Retry.NEVER,
}
_TYPES = {
    401: "AUTHENTICATION", 403: "PERMISSION", 404: "RESOURCE_NOT_FOUND", 409: "VEHICLE_STATE", 429: "RATE_LIMIT",
    430: "BILLING", 500: "SERVER", 501: "COMPATIBILITY", 502: "UPSTREAM", 504: "UPSTREAM",
}  # fmt: skip

_WORDS = {
    "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED": "The maker does not accept the owner's sign-in any more. "
    "Connect the account again.",
    "CONNECTED_SERVICES_ACCOUNT:ACCOUNT_ISSUE": "The owner has to look after something in the maker's own app.",
    "CONNECTED_SERVICES_ACCOUNT:NO_VEHICLES": "The account has no vehicles.",
    "CONNECTED_SERVICES_ACCOUNT:SUBSCRIPTION": "The maker's connected services have run out: the owner renews them.",
    "CONNECTED_SERVICES_ACCOUNT:VEHICLE_MISSING": "The vehicle is not in the owner's account any more.",
    "CONNECTED_SERVICES_ACCOUNT:PERMISSION": "The owner's account may not use this vehicle's services.",
    "CONNECTED_SERVICES_ACCOUNT:VIRTUAL_KEY_REQUIRED": "The owner has to add the virtual key in the maker's app.",
    "PERMISSION": "The owner did not consent to this. Connect the account again and allow it.",
    "VEHICLE_STATE:ASLEEP": "The vehicle sleeps. It answers when it is used again.",
    "VEHICLE_STATE:UNREACHABLE": "The vehicle cannot be reached just now.",
    "VEHICLE_STATE:IN_MOTION": "The vehicle is moving.",
    "VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED": "No charging cable is plugged in.",
    "VEHICLE_STATE:FULLY_CHARGED": "The battery is full.",
    "VEHICLE_STATE:NOT_CHARGING": "The vehicle is not charging.",
    "VEHICLE_STATE:CHARGING_IN_PROGRESS": "The vehicle is charging already.",
    "VEHICLE_STATE:REMOTE_ACCESS_DISABLED": "Remote access is switched off in the vehicle.",
    "VEHICLE_STATE:DOOR_OPEN": "A door is open.",
    "VEHICLE_STATE:TRUNK_OPEN": "The trunk is open.",
    "VEHICLE_STATE:HOOD_OPEN": "The hood is open.",
    "VEHICLE_STATE:IGNITION_ON": "The ignition is on.",
    "RATE_LIMIT:VEHICLE": "The maker asks to leave this vehicle alone for a while.",
    "RATE_LIMIT": "Smartcar asks for patience: too many calls at once.",
    "BILLING:VEHICLE_REQUEST_LIMIT": "The Smartcar plan's calls for this vehicle are used up this month.",
    "BILLING:VEHICLE_LIMIT": "The Smartcar plan's number of vehicles is reached.",
    "BILLING": "The Smartcar plan does not cover this. See its dashboard.",
    "COMPATIBILITY:MAKE_NOT_COMPATIBLE": "Smartcar does not support this for the make.",
    "COMPATIBILITY": "The vehicle cannot do this.",
    "AUTHENTICATION:ACCESS_DENIED": "Smartcar gives no access to this vehicle any more. Connect the account again.",
    "AUTHENTICATION": "Smartcar does not accept the application's credentials.",
    "UPSTREAM": "The maker's cloud did not answer properly.",
    "SERVER": "Smartcar has a fault of its own.",
}


def words_of(kind: str, code: str, otherwise: str = "") -> str:
    """A refusal in words that say what to do."""
    return _WORDS.get(f"{kind}:{code}") or _WORDS.get(kind) or otherwise or "Smartcar refused without saying why."


def failure_of(answer: Answer) -> Failure:
    """The refusal in an answer."""
    body = answer.json()
    after = _number(answer.headers.get("retry-after"))
    found: dict[str, Any] = {}
    if isinstance(body, dict):
        errors = body.get("errors")
        found = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else body
    status = int(_number(found.get("status") or found.get("statusCode")) or answer.status)
    if isinstance(found.get("error"), str):  # OAuth (RFC 6749, section 5.2)
        return Failure(answer.status, "OAUTH", found["error"], str(found.get("error_description") or "")[:300], after)
    kind = str(found.get("type") or _TYPES.get(answer.status, "")).upper()[:40]
    code = str(found.get("code") or "").upper()[:40]
    detail = str(found.get("detail") or found.get("description") or found.get("title") or "")[:300]
    return Failure(status if 400 <= status < 600 else answer.status, kind, code, detail, after)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None

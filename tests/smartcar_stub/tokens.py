"""The two token addresses: client credentials for version 3, codes and refresh tokens of owners for version 2."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from uuid import uuid4

from tests.smartcar_stub.errors import oauth
from tests.smartcar_stub.messages import Call, Reply, Trouble, json_reply, route
from tests.smartcar_stub.state import State

NO_STORE = "no-store"


@route("POST", "/iam/oauth2/token")
def application_token(state: State, call: Call) -> Reply:
    """An application token; form and JSON are both in use."""
    try:
        fields = call.fields()
    except Trouble:
        return oauth(400, "invalid_request", "The body is neither a form nor a JSON object.")
    if any(not fields.get(name) for name in ("grant_type", "client_id", "client_secret")):
        return oauth(400, "invalid_request", "grant_type, client_id and client_secret are required.")
    if fields["grant_type"] != "client_credentials":
        return oauth(400, "unsupported_grant_type", "Only client_credentials is supported.")
    application = state.application
    if not (_same(fields["client_id"], application.client_id) and _same_secret(state, fields["client_secret"])):
        return oauth(401, "invalid_client", "Invalid client_id or client_secret")
    token, now = f"app.{uuid4().hex}.{uuid4().hex}", time.time()
    state.app_tokens = {known: until for known, until in state.app_tokens.items() if until > now}
    state.app_tokens[token] = now + state.token_seconds
    state.count("app_tokens")
    content = {"access_token": token, "token_type": "Bearer", "expires_in": round(state.token_seconds)}
    return json_reply(200, content, Cache_Control=NO_STORE)


@route("POST", "/auth/oauth/token")
def user_token(state: State, call: Call) -> Reply:
    """A pair of tokens for an owner's account."""
    if not _is_application(state, call.headers.get("Authorization", "")):
        return oauth(401, "invalid_client", "Invalid client_id or client_secret")
    fields = {name: values[-1] for name, values in call.form().items()}
    if fields.get("grant_type") == "authorization_code":
        return _exchange_code(state, fields)
    if fields.get("grant_type") == "refresh_token":
        return _refresh(state, fields.get("refresh_token", ""))
    return oauth(400, "unsupported_grant_type", "Use authorization_code or refresh_token.")


def _exchange_code(state: State, fields: dict[str, str]) -> Reply:
    given = fields.get("code", "")
    code = state.codes.get(given)
    if code is None or code.expires_at <= time.time() or code.redirect_uri != fields.get("redirect_uri", ""):
        return oauth(400, "invalid_grant", f"Invalid code: {given}.")
    del state.codes[given]
    state.count("v2_codes")
    return _pair(state, code.user_id)


def _refresh(state: State, given: str) -> Reply:
    """A new pair each time. The old refresh token works ``refresh_grace`` seconds more, so that a lost answer is not
    the end of a connection; the old access token lives on until its own time."""
    token, now = state.refresh_tokens.get(given), time.time()
    used_up = token is not None and token.used_at is not None and now > token.used_at + state.refresh_grace
    if token is None or used_up or token.expires_at <= now:
        return oauth(400, "invalid_grant", f"Invalid refresh_token: {given}.")
    if token.used_at is None:
        token.used_at = now
    state.count("v2_refreshes")
    return _pair(state, token.user_id)


def _pair(state: State, user_id: str) -> Reply:
    return json_reply(200, state.issue_pair(user_id), Cache_Control=NO_STORE)


def bearer(call: Call) -> str:
    """The bearer token of a call; empty where there is none."""
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def require_application(state: State, call: Call) -> None:
    """Raises `Trouble` without a valid application token; version 3 takes no owner's token."""
    if state.app_tokens.get(bearer(call), 0.0) <= time.time():
        raise Trouble("AUTHENTICATION")


def require_owner(state: State, call: Call) -> str:
    """The user id behind a version 2 access token; raises `Trouble` without a valid one."""
    token = state.access_tokens.get(bearer(call))
    if token is None or token.expires_at <= time.time():
        raise Trouble("AUTHENTICATION")
    return token.user_id


def _is_application(state: State, authorization: str) -> bool:
    """Version 2 names the application by its own id; some by that of its API credentials."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    known = (state.application.application_id, state.application.client_id)
    return scheme.lower() == "basic" and name in known and _same_secret(state, secret)


def _same_secret(state: State, secret: str) -> bool:
    return _same(secret, state.application.client_secret)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())

"""Sessions whose cookie cannot be made from the database: rows hold only the SHA-256 of what the browser has.

For everybody else, a session's key is the digest: who reads the database or a backup can sign nobody in with it.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse


def digest_of(secret: str) -> str:
    """The key of the session that a cookie belongs to: 40 hexadecimal digits, as many as the column takes."""
    return hashlib.sha256(secret.encode()).hexdigest()[:40]


class SessionStore(DatabaseStore):
    """A session in the database under its digest; `secret` is what the cookie holds, where it is known."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.secret = ""

    def _get_new_session_key(self) -> str:
        while True:
            self.secret = secrets.token_urlsafe(32)
            key = digest_of(self.secret)
            if not self.exists(key):
                return key


class DigestSessionMiddleware(SessionMiddleware):
    """Django's, with the secret in the cookie and its digest in the store."""

    def process_request(self, request: HttpRequest) -> None:
        """Find the session that the cookie belongs to."""
        secret = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        session = SessionStore(digest_of(secret) if secret else None)
        session.secret = secret or ""
        request.session = session

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Set the cookie as Django does, with the secret in it."""
        answer = super().process_response(request, response)
        cookie: Any = answer.cookies.get(settings.SESSION_COOKIE_NAME)
        secret = getattr(request.session, "secret", "")
        if cookie is not None and cookie.value and cookie.value == request.session.session_key:
            cookie.set(cookie.key, secret, secret)
        return answer

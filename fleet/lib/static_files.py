"""Static files on the event loop: no number of slow readers keeps a page's thread."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware

from fleet.lib.asgi import Receive, Scope, Send, respond

CHUNK = 262_144


class StaticFiles:
    """What whitenoise knows of `STATIC_ROOT`, with its headers for caching and compression."""

    def __init__(self) -> None:
        self._whitenoise: Any = None

    @property
    def _known(self) -> Any:
        """Looked up once, with the first request: `prepare` may collect the files after the code is loaded."""
        if self._whitenoise is None:
            self._whitenoise = WhiteNoiseMiddleware(lambda request: None, settings)
        return self._whitenoise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a path below ``STATIC_URL``."""
        path, method = scope["path"], scope["method"]
        found = self._known.find_file(path) if self._known.autorefresh else self._known.files.get(path)
        if found is None or method not in ("GET", "HEAD"):
            detail = {"detail": "There is no such file.", "code": "not_found"}
            return await respond(send, 404 if found is None else 405, detail)
        environ = {
            f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in scope["headers"]
        }
        answer = found.get_response(method, environ)
        headers = [(name.encode("latin-1").lower(), str(value).encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
        if answer.file is not None:
            with answer.file as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

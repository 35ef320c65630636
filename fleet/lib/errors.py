"""The one application error: everything that an API client or a person should read derives from it."""

from __future__ import annotations

UNAVAILABLE_PAGE = """<!doctype html><html lang="en"><title>Motorpool</title><meta http-equiv="refresh" content="3">
<h1>Back in a moment</h1><p>The database does not answer just now. This page tries again by itself.</p></html>"""


class MotorpoolError(Exception):
    """A refusal with a machine-readable code and words that say what to mend."""

    status = 400
    code = "invalid"

    def __init__(self, detail: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.status = status or self.status

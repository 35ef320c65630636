"""What every page shows around its own content."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from fleet.accounts.models import Role

THEMES = ("light", "dark")


def portal(request: HttpRequest) -> dict[str, Any]:
    """The user's access, their organizations for the switcher, and the theme that the cookie names."""
    found = getattr(request, "access", None)
    theme = request.COOKIES.get("theme", "")
    return {
        "access": found,
        "organizations": found.user.organizations.order_by("name") if found else (),
        "theme": theme if theme in THEMES else "",
        "Role": Role,
    }

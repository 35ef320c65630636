"""Compile every template, so that a mistake in one shows before a visitor meets it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.template import TemplateSyntaxError
from django.template.loader import get_template


class Command(BaseCommand):
    """``manage.py check_templates``."""

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Raise CommandError with the first template that does not compile or carries inline style or script."""
        folder = settings.ROOT / "templates"
        count = 0
        for path in sorted(folder.rglob("*.html")):
            name = str(path.relative_to(folder))
            try:
                get_template(name)
            except TemplateSyntaxError as error:
                raise CommandError(f"{name}: {error}") from None
            # Mail programs know no style sheets: only pages have to do without.
            text = "" if name.startswith("messages/") else path.read_text()
            for inline in (" style=", " onclick=", " onchange=", "<script>"):
                if inline in text:
                    raise CommandError(f"{name}: {inline.strip()} is refused by the content security policy")
            count += 1
        self.stdout.write(f"{count} templates compile")

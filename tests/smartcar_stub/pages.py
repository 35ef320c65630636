"""HTML for people: plain forms that need no script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tests.smartcar_stub.messages import Reply

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
  background: #fff; }
fieldset, article { border: 1px solid #767676; border-radius: .4rem; margin: 1rem 0; padding: .5rem 1rem; }
label { display: inline-block; margin: .2rem .6rem .2rem 0; }
button { font: inherit; padding: .3rem .8rem; margin: .2rem .3rem .2rem 0; border: 1px solid #444;
  border-radius: .3rem; background: #f2f2f2; color: inherit; }
button.main { background: #0b5cad; border-color: #0b5cad; color: #fff; }
input[type=number] { font: inherit; width: 6rem; }
:focus-visible { outline: 3px solid #0b5cad; outline-offset: 2px; }
form { display: inline-block; margin-right: 1rem; }
form.wide { display: block; }
.note { color: #555; }
"""
OUTCOMES = {
    "access_denied": "Decline",
    "vehicle_incompatible": "The car is incompatible",
    "invalid_subscription": "The subscription with the maker has ended",
    "no_vehicles": "The account has no cars",
    "configuration_error": "Leave through an error page",
    "server_error": "Something else goes wrong",
}
HANG_UP = "hang_up"


def page(title: str, content: str, status: int = 200) -> Reply:
    """A whole page; ``content`` is HTML already."""
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
"""
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
    }
    return Reply(status, html.encode(), headers)


def redirect(url: str, status: int = 302) -> Reply:
    return Reply(status, b"", {"Location": url, "Cache-Control": "no-store"})


def bad_request(message: str) -> Reply:
    """What Connect shows instead of going back to an application that it does not trust."""
    return page(f"400: {message}", "<p>Nothing was connected, and nothing returns to the application.</p>", 400)


def choice(kind: str, name: str, value: str, identifier: str, label: str, *, checked: bool) -> str:
    """A radio button or check box with its label."""
    mark = " checked" if checked else ""
    return (
        f'<div><input type="{kind}" name="{name}" value="{escape(value)}" id="{identifier}"{mark}> '
        f'<label for="{identifier}">{escape(label)}</label></div>'
    )


def fieldset(legend: str, content: str) -> str:
    return f"<fieldset><legend>{escape(legend)}</legend>{content}</fieldset>"


def items(words: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(word)}</li>" for word in words) + "</ul>"


def outcomes() -> str:
    """The buttons that end a Connect form."""
    others = "".join(
        f'<button name="outcome" value="{name}" id="{name}">{escape(words)}</button>'
        for name, words in OUTCOMES.items()
    )
    hang_up = f'<button name="outcome" value="{HANG_UP}" id="{HANG_UP}">Hang up</button>'
    return '<p><button class="main" name="outcome" value="allow" id="allow">Allow</button></p>' + fieldset(
        "Or let it go wrong", others + hang_up
    )


def button(action: str, fields: dict[str, str], label: str) -> str:
    """A form of one button."""
    hidden = "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in fields.items())
    return f'<form method="post" action="{escape(action)}">{hidden}<button>{escape(label)}</button></form>'


def number(action: str, name: str, label: str, value: str, least: float, most: float, submit: str, about: str) -> str:
    """A form of one number; ``about`` makes its id unique."""
    identifier = f"{name}-{about}"
    return (
        f'<form method="post" action="{escape(action)}"><label for="{identifier}">{escape(label)}</label>'
        f'<input type="number" name="{name}" id="{identifier}" value="{escape(value)}" min="{least:g}" max="{most:g}"'
        f' step="any" required> <button>{escape(submit)}</button></form>'
    )

"""What links in e-mails lead to; whoever holds one may use it, signed in or not."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from integrations.channels.email import CONFIRM, CONFIRM_SECONDS, UNSUBSCRIBE, of_token


# Mail programs post here by themselves, without a cookie: the token is the permission (RFC 8058).
@method_decorator(csrf_exempt, name="dispatch")
class Unsubscribe(View):
    """No more messages of a channel to an address."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Ask: mail scanners open every link."""
        return _page(request, of_token(token, UNSUBSCRIBE), "unsubscribe")

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Do it; twice changes nothing."""
        recipient = of_token(token, UNSUBSCRIBE)
        if recipient is not None and recipient.unsubscribed_at is None:
            recipient.unsubscribed_at = timezone.now()
            recipient.save(update_fields=["unsubscribed_at"])
        return _page(request, recipient, "unsubscribed")


class Confirm(View):
    """An address wants the messages."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Ask."""
        return _page(request, of_token(token, CONFIRM, CONFIRM_SECONDS), "confirm")

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Do it."""
        recipient = of_token(token, CONFIRM, CONFIRM_SECONDS)
        if recipient is not None:
            recipient.confirmed_at = recipient.confirmed_at or timezone.now()
            recipient.unsubscribed_at = None
            recipient.save(update_fields=["confirmed_at", "unsubscribed_at"])
        return _page(request, recipient, "confirmed")


def _page(request: HttpRequest, recipient: Any, step: str) -> HttpResponse:
    if recipient is None:
        raise Http404
    return render(request, "alerts/address.html", {"recipient": recipient, "step": step})

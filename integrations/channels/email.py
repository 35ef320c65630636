"""Alerts by e-mail, through whatever Django sends with: SMTP, or a provider's interface (django-anymail)."""

from __future__ import annotations

import smtplib
from collections import defaultdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.utils import timezone

from alerts.channels import Message, Undelivered
from alerts.models import Channel, Recipient
from fleet.accounts.memberships import ensure_may_write_to
from fleet.accounts.models import User
from fleet.lib.errors import MotorpoolError

MOST_ADDRESSES, MOST_ASKED = 50, 60
UNSUBSCRIBE, CONFIRM = "alerts.unsubscribe", "alerts.confirm"
CONFIRM_SECONDS = 7 * 86_400


class EmailChannel:
    """Addresses; members' verified ones work at once, others once they confirmed."""

    def prepare(self, channel: Channel, config: dict[str, Any], user: User | None) -> None:
        """``{"to": [addresses]}``."""
        to = config.get("to")
        if not isinstance(to, list) or not to or len(to) > MOST_ADDRESSES or not all(isinstance(a, str) for a in to):
            raise MotorpoolError(f"config.to is a list of 1 to {MOST_ADDRESSES} e-mail addresses.", status=422)
        addresses = {address.strip().lower() for address in to}
        for address in addresses:
            try:
                validate_email(address)
            except Exception:
                raise MotorpoolError(f"{address[:100]!r} is no e-mail address.", status=422) from None
        channel.config = {"to": sorted(addresses)}
        channel.save()
        channel.recipients.exclude(address__in=addresses).delete()
        known = {recipient.address: recipient for recipient in channel.recipients.all()}
        members = set(
            EmailAddress.objects.filter(
                verified=True, email__in=addresses, user__memberships__organization=channel.organization
            ).values_list("email", flat=True)
        )
        now = timezone.now()
        strangers = addresses - known.keys() - members - set(settings.ALERT_EMAIL_TO)
        if strangers:
            self._may_ask(channel, len(strangers))
        for address in sorted(addresses - known.keys()):
            recipient = Recipient(channel=channel, address=address)
            recipient.member = address in members
            recipient.confirmed_at = now if address in members or address in settings.ALERT_EMAIL_TO else None
            recipient.asked_at = None if recipient.confirmed_at else now
            recipient.save()
            if recipient.confirmed_at is None:
                ask(recipient)

    def _may_ask(self, channel: Channel, count: int) -> None:
        """Raises `MotorpoolError` where too many strangers were asked today."""
        asked = Recipient.objects.filter(
            channel__organization=channel.organization, asked_at__gt=timezone.now() - timedelta(days=1)
        ).count()
        if asked + count > MOST_ASKED:
            raise MotorpoolError(f"At most {MOST_ASKED} addresses a day are asked to confirm.", status=429)

    def send(self, channel: Channel, message: Message) -> str:
        """One message to one address."""
        _still_a_member(channel, message.delivery.recipient)
        mail = compose(message)
        mail.connection = get_connection()
        try:
            mail.connection.open()
        except OSError as error:  # nothing was said yet
            raise Undelivered(f"The mail server does not answer: {type(error).__name__}.") from error
        try:
            count = mail.send()
            mail.connection.close()
        except (AnymailError, OSError) as error:
            raise _undelivered(error) from error
        if not count:
            raise Undelivered("The mail server took nothing.")
        return "Accepted by the mail server."


def _still_a_member(channel: Channel, address: str) -> None:
    """Whoever left the organization gets no more of its alerts."""
    if not channel.recipients.filter(address=address, member=True).exists():
        return
    theirs = EmailAddress.objects.filter(email=address, user__memberships__organization=channel.organization)
    if not theirs.exists():
        raise Undelivered("This was a member's address, who has left.", permanent=True)


def compose(message: Message) -> EmailMultiAlternatives:
    """The e-mail: text and HTML, with an unsubscribe link that works by one click (RFC 8058)."""
    recipient = message.delivery.recipient
    unsubscribe = unsubscribe_url(message.delivery.channel_id, recipient)
    by_rule: dict[tuple[str, str, bool], list[Any]] = defaultdict(list)
    for line in message.lines:
        by_rule[line.severity, line.rule, bool(line.ended)].append(line)
    context = {
        "message": message, "line": message.lines[0] if len(message.lines) == 1 else None,
        "groups": [(*group, lines) for group, lines in by_rule.items()],
        "unsubscribe": unsubscribe, "organization": message.delivery.channel.organization,
    }  # fmt: skip
    host = urlsplit(settings.BASE_URL).hostname
    mail = EmailMultiAlternatives(
        subject=" ".join(message.subject.split())[:200],
        body=render_to_string("messages/alert.txt", context),
        to=[recipient],
        headers={
            "Message-ID": f"<{message.delivery.pk}.{message.delivery.attempts}@{host}>",
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(render_to_string("messages/alert.html", context), "text/html")
    return mail


def unsubscribe_url(channel_id: int, address: str) -> str:
    """The address that ends the messages of a channel to a recipient."""
    return f"{settings.BASE_URL}/alerts/unsubscribe/{signing.dumps([channel_id, address], salt=UNSUBSCRIBE)}"


def ask(recipient: Recipient) -> None:
    """Ask an address that is no member's whether it wants these messages."""
    token = signing.dumps([recipient.channel_id, recipient.address], salt=CONFIRM)
    organization = recipient.channel.organization
    context = {"organization": organization, "url": f"{settings.BASE_URL}/alerts/confirm/{token}"}
    ensure_may_write_to(recipient.address, recipient.channel.organization_id)
    mail = EmailMultiAlternatives(
        subject=" ".join(f"Alerts of {organization.name}: please confirm".split())[:200],
        body=render_to_string("messages/confirm.txt", context), to=[recipient.address],
    )  # fmt: skip
    mail.send(fail_silently=True)


def of_token(token: str, salt: str, seconds: int | None = None) -> Recipient | None:
    """The recipient that a link in a message names; None where it is none of ours."""
    try:
        channel_id, address = signing.loads(token, salt=salt, max_age=seconds)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Recipient.objects.filter(channel_id=channel_id, address=address).select_related("channel").first()


def _undelivered(error: Exception) -> Undelivered:
    """What an error of the mail server means."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, words = next(iter(error.recipients.values()), (550, b""))
            return Undelivered(_words(code, words), permanent=500 <= code < 600)
        case smtplib.SMTPDataError():
            return Undelivered(_words(error.smtp_code, error.smtp_error))
        case smtplib.SMTPServerDisconnected():
            # The server may have taken it before the line broke.
            return Undelivered(f"The mail server hung up: {error}", sure=False)
        case smtplib.SMTPResponseException():
            return Undelivered(_words(error.smtp_code, error.smtp_error))
        case AnymailRecipientsRefused():
            return Undelivered(str(error), permanent=True)
        case AnymailAPIError():
            return Undelivered(str(error)[:500], sure=error.response is not None)
        case ConnectionRefusedError():
            return Undelivered("The mail server does not answer.")
        case TimeoutError():
            return Undelivered("The mail server did not answer in time.", sure=False)
    return Undelivered(f"{type(error).__name__}: {error}")


def _words(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}"

"""Mail for installations without a mail server: what would be sent is logged, without its body."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

log = structlog.get_logger(__name__)


class LoggedBackend(BaseEmailBackend):
    """Logs recipients and subject; links in bodies are secrets, which logs must not hold."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Log each message; returns how many there were."""
        for message in email_messages:
            log.info("mail.not_sent", to=message.recipients(), subject=message.subject, hint="Set EMAIL_URL.")
        return len(email_messages)

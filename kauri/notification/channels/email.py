"""Letters by e-mail."""

from __future__ import annotations

import smtplib

from django.core.mail import EmailMessage

from kauri.notification.channel import Result, Verdict
from kauri.notification.channels import letters
from kauri.notification.models import Delivery


def send(delivery: Delivery) -> Result:
    """Render the letter in its language and hand it to the mail server."""
    subject, body = letters.render(delivery.body)
    message = EmailMessage(
        subject=subject,
        body=body,
        to=[delivery.target],
        headers={"Message-ID": f"<{delivery.public_id}@kauri>"},
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused:
        return Result(Verdict.REFUSED, error="the recipient was refused")
    except (smtplib.SMTPException, OSError) as exc:
        return Result(Verdict.RETRY, error=type(exc).__name__)
    return Result(Verdict.DELIVERED)

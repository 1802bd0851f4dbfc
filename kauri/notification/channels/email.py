"""Letters. What they say may be a code, so the stored body is sealed and opened only to be sent."""

from __future__ import annotations

import json
import smtplib
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from kauri.common import crypto
from kauri.notification.channel import Result, Verdict
from kauri.notification.models import Delivery


def send(delivery: Delivery) -> Result:
    """Render the letter in its language and hand it to the mail server."""
    stored: dict[str, Any] = json.loads(crypto.decrypt(delivery.body))
    context = {**stored["params"], "public_url": settings.KAURI.public_url}
    with translation.override(stored["language"]):
        text = render_to_string(f"letters/{stored['letter']}.txt", context)
        phrase = stored["params"].get("phrase", "")
        proof = _("Your anti-phishing code: %(phrase)s") % {"phrase": phrase} if phrase else ""
    subject, _rest, body = text.strip().partition("\n")
    message = EmailMessage(
        subject=subject.strip(),
        body=f"{proof}\n\n{body.strip()}\n".lstrip(),
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

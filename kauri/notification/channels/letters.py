"""What a letter says. Its stored body may hold a code, so it is sealed, and opened only to be sent."""

from __future__ import annotations

import json
from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from kauri.common import crypto

#: Begins the body of a message that is a letter, in a channel that has other messages too.
MARK: Final = "letter:"


def render(sealed: str) -> tuple[str, str]:
    """Subject and text of a sealed letter, in its language, with the customer's own phrase."""
    stored: dict[str, Any] = json.loads(crypto.decrypt(sealed))
    context = {**stored["params"], "public_url": settings.KAURI.public_url}
    with translation.override(stored["language"]):
        text = render_to_string(f"letters/{stored['letter']}.txt", context)
        phrase = stored["params"].get("phrase", "")
        proof = _("Your anti-phishing code: %(phrase)s") % {"phrase": phrase} if phrase else ""
    subject, _rest, body = text.strip().partition("\n")
    return subject.strip(), f"{proof}\n\n{body.strip()}\n".lstrip()

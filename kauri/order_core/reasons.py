"""Why an order waits for people, and why it is not approved: one list for the page and for Telegram."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

REJECT_REASONS: Final[tuple[tuple[str, Any], ...]] = (
    ("suspicious_destination", _("Suspicious destination")),
    ("suspicious_activity", _("Suspicious activity on the account")),
    ("source_of_funds", _("Source of funds is not clear")),
    ("verification_needed", _("Verification is not sufficient")),
    ("customer_request", _("The customer asked for it")),
    ("other", _("Other")),
)

_RULES: Final[dict[str, Any]] = {
    "approval_above": _("The amount is above the approval limit"),
    "new_destination": _("The customer has never been paid at this destination"),
    "security_changed": _("The password or the second factor was changed lately"),
    "account_disabled": _("The account was disabled while the order waited"),
    "destination_risk": _("Analysis of the destination says: a person decides"),
    "destination_frozen": _("Analysis of the destination says: frozen"),
    "review_amount": _("The amount is above a review rule"),
    "review_sum": _("What the customer took out lately is above a review rule"),
    "review_count": _("The customer made many withdrawals lately"),
    "review_level": _("The verification level is below a review rule"),
    "review_country": _("The country of the address is one to look at"),
    "review_risk": _("The risk score of the destination is at or above a review rule"),
    "review_young": _("The account is younger than a review rule"),
}


def rule_text(rule: dict[str, Any]) -> Any:
    """The rule that sent an order to people, in the reader's language where the house knows it."""
    return _RULES.get(rule.get("rule", ""), rule.get("text", ""))


def reject_reason(code: str, words: str) -> str:
    """The reason in English, whoever writes it in whatever language: history is one."""
    with override("en"):
        title = str(dict(REJECT_REASONS)[code])
    return f"{title}: {words.strip()}" if words.strip() else title

"""One vocabulary of verification: states, moves, documents, and why somebody is refused."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class CaseState(models.TextChoices):
    """Where a customer's verification stands."""

    STARTED = "started", _("Started")
    WAITING_FOR_CUSTOMER = "waiting_for_customer", _("Waits for the customer")
    WAITING_FOR_PROVIDER = "waiting_for_provider", _("Waits for the provider")
    WAITING_FOR_OPERATOR = "waiting_for_operator", _("Waits for an operator")
    ASKED_AGAIN = "asked_again", _("Asked again")
    APPROVED = "approved", _("Verified")
    REJECTED = "rejected", _("Not verified")
    EXPIRED = "expired", _("Expired")


S = CaseState

FINAL: Final = frozenset({S.APPROVED, S.REJECTED, S.EXPIRED})
OPEN: Final = tuple(state for state in CaseState if state not in FINAL)
#: The next word is the customer's; a case that waits too long for it expires.
CUSTOMERS_TURN: Final = frozenset({S.STARTED, S.WAITING_FOR_CUSTOMER, S.ASKED_AGAIN})
#: Where an operator may decide: the customer has handed everything in.
OPERATOR_DECIDES: Final = frozenset({S.WAITING_FOR_PROVIDER, S.WAITING_FOR_OPERATOR})

#: from -> allowed next states. ``migrations/verification.sql`` holds the same list.
MOVES: Final[dict[CaseState, frozenset[CaseState]]] = {
    S.STARTED: frozenset({S.WAITING_FOR_CUSTOMER, S.WAITING_FOR_OPERATOR, S.EXPIRED}),
    S.WAITING_FOR_CUSTOMER: frozenset(
        {
            S.WAITING_FOR_PROVIDER,
            S.WAITING_FOR_OPERATOR,
            S.ASKED_AGAIN,
            S.APPROVED,
            S.REJECTED,
            S.EXPIRED,
        }
    ),
    S.WAITING_FOR_PROVIDER: frozenset({S.WAITING_FOR_OPERATOR, S.ASKED_AGAIN, S.APPROVED, S.REJECTED}),
    S.WAITING_FOR_OPERATOR: frozenset({S.ASKED_AGAIN, S.APPROVED, S.REJECTED}),
    S.ASKED_AGAIN: frozenset(
        {S.WAITING_FOR_PROVIDER, S.WAITING_FOR_OPERATOR, S.APPROVED, S.REJECTED, S.EXPIRED}
    ),
}


class DocumentKind(models.TextChoices):
    """What a customer hands in."""

    IDENTITY = "identity", _("Passport or identity card")
    SELFIE = "selfie", _("Photo of the customer with the document")
    ADDRESS = "address", _("Proof of address")
    FUNDS = "funds", _("Proof of where the money comes from")
    OTHER = "other", _("Another document")


class RejectReason(models.TextChoices):
    """Why somebody is not verified: a closed list, so that it can be counted."""

    UNREADABLE = "unreadable", _("The documents cannot be read")
    OUTDATED = "outdated", _("The document is out of date")
    INCOMPLETE = "incomplete", _("Documents are missing")
    MISMATCH = "mismatch", _("The data do not match the documents")
    UNDERAGE = "underage", _("The customer is too young")
    COUNTRY = "country", _("The country is not served")
    FORGED = "forged", _("The documents look forged")
    LISTED = "listed", _("The customer is on a sanctions list")
    DUPLICATE = "duplicate", _("The person has another account")
    OTHER = "other", _("Another reason")


#: The customer is told these; the others would warn whom they concern, and are told as "another reason".
TOLD: Final = frozenset(
    {
        RejectReason.UNREADABLE,
        RejectReason.OUTDATED,
        RejectReason.INCOMPLETE,
        RejectReason.MISMATCH,
        RejectReason.UNDERAGE,
        RejectReason.COUNTRY,
    }
)


def told_reason(code: str) -> str:
    """The code that the customer may see for ``code``; '' stays ''."""
    return code if not code or code in TOLD else RejectReason.OTHER.value

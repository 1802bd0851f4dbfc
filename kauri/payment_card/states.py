"""Whose a card is, and how it stands."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Scheme(models.TextChoices):
    """The payment system of a card, told from its number."""

    VISA = "visa", "Visa"
    MASTERCARD = "mastercard", "Mastercard"
    MAESTRO = "maestro", "Maestro"
    MIR = "mir", "MIR"
    PROSTIR = "prostir", "PROSTIR"
    UNIONPAY = "unionpay", "UnionPay"


class CardState(models.TextChoices):
    """How a card stands now; only an active one is paid to."""

    ACTIVE = "active", _("Active")
    DISABLED = "disabled", _("Switched off by the customer")
    STOPPED = "stopped", _("Stopped by an operator")
    EXPIRED = "expired", _("Expired")
    BANNED = "banned", _("Banned")
    REMOVED = "removed", _("Removed")

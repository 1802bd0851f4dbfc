"""What an internal movement adds to the common order."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.order_core.models import Order, Policy


class MovementDetail(models.Model):
    """Who gets the money, how the sender named them, and who pays the fee."""

    class AddressedBy(models.TextChoices):
        EMAIL = "email", _("E-mail")
        NUMBER = "number", _("Account number")
        TELEGRAM = "telegram", _("Telegram")

    order = models.OneToOneField(Order, models.PROTECT, related_name="movement", primary_key=True)
    recipient = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("recipient"))
    addressed_by = models.CharField(_("named by"), max_length=8, choices=AddressedBy.choices)
    addressed_to = models.CharField(_("named as"), max_length=254)
    message = models.CharField(_("message to the recipient"), max_length=500, blank=True, default="")
    fee_payer = models.CharField(_("fee paid by"), max_length=9, choices=Policy.FeePayer.choices)

    class Meta:
        verbose_name = _("internal movement")
        verbose_name_plural = _("internal movements")
        permissions = (
            ("approve_movementdetail", "Can approve internal movements"),
            ("reject_movementdetail", "Can reject internal movements"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(fee_payer__in=Policy.FeePayer.values), name="movement_fee_payer"
            ),
        )
        # Newest first, who got it beside: a limited operator's list looks at many that aren't theirs.
        indexes = (models.Index(fields=("order",), include=("recipient",), name="movement_to"),)

    def __str__(self) -> str:
        return str(self.order)

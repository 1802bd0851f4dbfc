"""What a deposit adds to the common order."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin


class DepositDetail(models.Model):
    """One deposit is one payin: the one-to-one relation is what makes the credit happen once."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="deposit", primary_key=True)
    payin = models.OneToOneField(Payin, models.PROTECT, related_name="deposit", verbose_name=_("payin"))
    confirmations_needed = models.PositiveIntegerField(_("confirmations needed"))

    class Meta:
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")

    def __str__(self) -> str:
        return str(self.order)

"""What a withdrawal adds to the common order."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.core.models import Network, Provider
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout


class WithdrawalDetail(models.Model):
    """Where the money goes, through whom, and the payout that takes it there."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="withdrawal", primary_key=True)
    destination = models.CharField(_("destination"), max_length=128, db_index=True)
    network = models.ForeignKey(
        Network, models.PROTECT, null=True, related_name="+", verbose_name=_("network")
    )
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    payout = models.OneToOneField(
        Payout, models.PROTECT, null=True, related_name="withdrawal", verbose_name=_("payout")
    )

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        permissions = (
            ("approve_withdrawaldetail", "Can approve withdrawals"),
            ("reject_withdrawaldetail", "Can reject withdrawals"),
        )

    def __str__(self) -> str:
        return str(self.order)

"""A withdrawal's own columns, and the parts that it is paid in."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Network, Provider
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout


class WithdrawalDetail(models.Model):
    """Where the money goes and through whom; its parts name the payouts that take it there."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="withdrawal", primary_key=True)
    destination = models.CharField(_("destination"), max_length=128, db_index=True)
    network = models.ForeignKey(
        Network, models.PROTECT, null=True, related_name="+", verbose_name=_("network")
    )
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        permissions = (
            ("approve_withdrawaldetail", "Can approve withdrawals"),
            ("reject_withdrawaldetail", "Can reject withdrawals"),
        )

    def __str__(self) -> str:
        return str(self.order)


class WithdrawalPart(models.Model):
    """A share of a withdrawal that one payout pays. A withdrawal within its channel's bounds has one.

    Amounts and fees of an order's parts add up to the order's. A part whose payout failed may go to the
    next channel: ``payout`` is the try that counts, ``tried`` the providers that failed before.
    """

    detail = models.ForeignKey(
        WithdrawalDetail, models.PROTECT, related_name="parts", verbose_name=_("withdrawal")
    )
    ordinal = models.PositiveSmallIntegerField(_("part"))
    amount = MoneyField(_("amount"))
    fee = MoneyField(_("fee"), default=Decimal(0))
    payout = models.OneToOneField(Payout, models.PROTECT, related_name="part", verbose_name=_("payout"))
    tried = models.JSONField(_("providers that failed"), default=list)

    class Meta:
        ordering = ("ordinal",)
        verbose_name = _("part of a withdrawal")
        verbose_name_plural = _("parts of withdrawals")
        constraints = (
            models.UniqueConstraint(fields=("detail", "ordinal"), name="withdrawal_part_once"),
            models.CheckConstraint(
                condition=models.Q(amount__gt=0, amount__lt=FINITE, fee__gte=0, fee__lt=FINITE),
                name="withdrawal_part_amounts",
            ),
        )

    def __str__(self) -> str:
        return f"{self.detail_id}/{self.ordinal}"

"""What providers say that we have there."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock
from kauri.common.models import MoneyField
from kauri.core.models import Currency, Provider


class ProviderBalanceSnapshot(models.Model):
    """What a provider said that we have there, at a moment."""

    provider = models.ForeignKey(
        Provider, models.PROTECT, related_name="balance_snapshots", verbose_name=_("provider")
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    amount = MoneyField(_("amount"), default=Decimal(0))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("provider balance")
        verbose_name_plural = _("provider balances")
        indexes = (models.Index(fields=("provider", "currency", "-at"), name="provider_balance_latest"),)

    def __str__(self) -> str:
        return f"{self.provider} {self.currency}"

"""What a currency is worth in US dollars, as people say until prices do. Rows are written once."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock
from kauri.common.models import FINITE, ActorStamp, MoneyField
from kauri.core.models import Currency


class UsdRate(ActorStamp):
    """US dollars for one unit of a currency, from a moment until it is stale. The newest row counts."""

    currency = models.ForeignKey(
        Currency, models.PROTECT, related_name="usd_rates", db_index=False, verbose_name=_("currency")
    )
    price = MoneyField(_("US dollars for one"))
    source = models.CharField(_("source"), max_length=120)
    quoted_at = models.DateTimeField(_("quoted"), default=clock.now)
    expires_at = models.DateTimeField(_("good until"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("US dollar rate")
        verbose_name_plural = _("US dollar rates")
        permissions = (("set_usdrate", "Can set US dollar rates"),)
        constraints = (
            models.CheckConstraint(condition=models.Q(price__gt=0, price__lt=FINITE), name="usd_rate_price"),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("quoted_at")), name="usd_rate_lasts"
            ),
        )
        indexes = (models.Index(fields=("currency", "-quoted_at", "-id"), name="usd_rate_newest"),)

    def __str__(self) -> str:
        return f"{self.currency} {self.quoted_at:%Y-%m-%d %H:%M}"

"""What operators write about orders."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock
from kauri.common.models import ActorStamp
from kauri.order_core.models.orders import Order


class OrderNote(ActorStamp):
    """What an operator wrote about an order, for the other operators."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="notes")
    text = models.TextField(_("note"))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("note")
        verbose_name_plural = _("notes")

    def __str__(self) -> str:
        return self.text[:60]

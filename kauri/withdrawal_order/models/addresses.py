"""A customer's address book, and the switch that lets money go nowhere else."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock, ids
from kauri.common.models import ActorStamp
from kauri.core.models import Currency, Network


class SavedDestination(models.Model):
    """A destination that a customer keeps: confirmed once, payable by the switch after its cooling-off."""

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    customer = models.ForeignKey(
        User, models.PROTECT, related_name="saved_destinations", verbose_name=_("customer")
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    network = models.ForeignKey(
        Network, models.PROTECT, null=True, related_name="+", verbose_name=_("network")
    )
    destination = models.CharField(_("destination"), max_length=128, db_index=True)
    label = models.CharField(_("label"), max_length=64, blank=True, default="")
    created_at = models.DateTimeField(_("asked for"), default=clock.now)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    usable_from = models.DateTimeField(_("payable from"), null=True)
    removed_at = models.DateTimeField(_("removed"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("saved destination")
        verbose_name_plural = _("saved destinations")
        constraints = (
            models.UniqueConstraint(
                fields=("customer", "currency", "network", "destination"),
                condition=models.Q(removed_at__isnull=True),
                name="saved_destination_once",
                nulls_distinct=False,
            ),
            # Payable is only what was confirmed, and never before that.
            models.CheckConstraint(
                condition=models.Q(confirmed_at__isnull=True, usable_from__isnull=True)
                | models.Q(
                    confirmed_at__isnull=False,
                    usable_from__isnull=False,
                    usable_from__gte=models.F("confirmed_at"),
                ),
                name="saved_destination_confirmed",
            ),
            models.CheckConstraint(condition=~models.Q(destination=""), name="saved_destination_said"),
        )

    def __str__(self) -> str:
        return f"{self.label} {self.destination}".strip()


class WhitelistChange(ActorStamp):
    """The switch "only to saved addresses" was turned. Append-only; the newest row of a customer counts.

    On holds from its moment; off begins at ``effective_from``, a cooling-off later.
    """

    customer = models.ForeignKey(
        User, models.PROTECT, related_name="whitelist_changes", verbose_name=_("customer")
    )
    is_on = models.BooleanField(_("only to saved addresses"))
    at = models.DateTimeField(_("when"), default=clock.now)
    effective_from = models.DateTimeField(_("in effect from"))

    class Meta:
        ordering = ("id",)
        verbose_name = _("change of the address whitelist")
        verbose_name_plural = _("changes of the address whitelist")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(is_on=True, effective_from=models.F("at"))
                | models.Q(is_on=False, effective_from__gte=models.F("at")),
                name="whitelist_change_on_at_once",
            ),
        )
        indexes = (models.Index(fields=("customer", "-id"), name="whitelist_change_last"),)

    def __str__(self) -> str:
        return f"{self.customer}: {self.is_on}"

"""A withdrawal's own columns, and the parts that it is paid in."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common.crypto import EncryptedTextField
from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Network, Provider
from kauri.order_core.models import Order, Screening
from kauri.payment_provider.models import Payout


class WithdrawalDetail(models.Model):
    """Where the money goes and through whom; its parts name the payouts that take it there."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="withdrawal", primary_key=True)
    destination = models.CharField(_("destination"), max_length=128, db_index=True)
    card_mask = models.CharField(
        _("card"),
        max_length=24,
        blank=True,
        default="",
        help_text=_("where the destination is a card's token"),
    )
    sealed_number = EncryptedTextField(blank=True, default="", editable=False)
    network = models.ForeignKey(
        Network, models.PROTECT, null=True, related_name="+", verbose_name=_("network")
    )
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    country = models.CharField(_("country of the address"), max_length=2, blank=True, default="")
    confirm_until = models.DateTimeField(
        _("waits for the customer's code until"), null=True, help_text=_("empty: it waits for none any more")
    )
    confirmed_at = models.DateTimeField(_("confirmed by the customer"), null=True)
    screen_due_at = models.DateTimeField(
        _("analysis is due"), null=True, help_text=_("empty: it waits for none any more")
    )
    screening = models.ForeignKey(
        Screening,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("analysis of the destination"),
    )

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        permissions = (
            ("approve_withdrawaldetail", "Can approve withdrawals"),
            ("reject_withdrawaldetail", "Can reject withdrawals"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(confirm_until__isnull=True) | models.Q(confirmed_at__isnull=True),
                name="withdrawal_waits_or_is_confirmed",
            ),
            models.CheckConstraint(
                condition=models.Q(screen_due_at__isnull=True) | models.Q(screening__isnull=True),
                name="withdrawal_waits_or_is_screened",
            ),
        )
        indexes = (
            models.Index(
                fields=("confirm_until",),
                name="withdrawal_unconfirmed",
                condition=models.Q(confirm_until__isnull=False),
            ),
            models.Index(
                fields=("screen_due_at",),
                name="withdrawal_unscreened",
                condition=models.Q(screen_due_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return str(self.order)

    @property
    def shown_destination(self) -> str:
        """For people: a card's mask, or the destination as it is."""
        return self.card_mask or self.destination

    @property
    def waits(self) -> bool:
        """Whether it waits for its customer's code or for analysis: nothing may be paid before."""
        return self.confirm_until is not None or self.screen_due_at is not None


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

"""Provider-side transactions that bring money in."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.common.models import MoneyField
from kauri.core.models import Currency, Provider


class Payin(models.Model):
    """One provider-side transaction that brings money in.

    ``(provider, transaction, ordinal)`` names it for ever; on a chain its block may change.
    """

    class State(models.TextChoices):
        SEEN = "seen", _("Seen, waits for confirmations")
        CREDITED = "credited", _("Credited")
        UNMATCHED = "unmatched", _("Nobody's: waits for a person")
        ORPHANED = "orphaned", _("Gone from the chain")
        ALARM = "alarm", _("Credited, then gone from the chain")
        HELD = "held", _("Held: a person decides")
        RETURNED = "returned", _("Sent back")
        KEPT = "kept", _("Kept as income")

    class Fault(models.TextChoices):
        """Why money that came was not credited by itself."""

        UNKNOWN_REFERENCE = "unknown_reference", _("No payment link of ours has this reference")
        OVERPAID = "overpaid", _("More than the link asked for")
        UNDERPAID = "underpaid", _("Less than the link asked for")
        WRONG_CURRENCY = "wrong_currency", _("Another currency than the link's")
        DUPLICATE = "duplicate", _("The link has been paid already")
        LATE = "late", _("It came after the link or the deposit had ended")
        BELOW_MINIMUM = "below_minimum", _("Less than the least deposit")
        REFUSED = "refused", _("The policy refuses it")
        NOT_GIVEN = "address_not_given", _("The address was not given to anybody")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="payins", verbose_name=_("provider"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    transaction = models.CharField(_("transaction"), max_length=128)
    ordinal = models.CharField(_("place in the transaction"), max_length=32, default="0")
    address = models.CharField(_("address"), max_length=128, blank=True, default="")
    sender = models.CharField(_("sender"), max_length=128, blank=True, default="")
    reference = models.CharField(_("our reference"), max_length=64, blank=True, default="")
    amount = MoneyField(_("amount"))
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.SEEN)
    block_height = models.BigIntegerField(_("block"), null=True)
    block_hash = models.CharField(_("block hash"), max_length=80, blank=True, default="")
    fault = models.CharField(
        _("why it was not credited"), max_length=20, choices=Fault.choices, blank=True, default=""
    )
    fault_detail = models.CharField(_("in detail"), max_length=300, blank=True, default="")
    cost = MoneyField(_("provider's cost"), default=Decimal(0))
    booked_at = models.DateTimeField(
        _("in the books as nobody's"),
        null=True,
        help_text=_("from here on it stands on the suspense account"),
    )
    state_before = models.CharField(max_length=12, blank=True, default="", editable=False)
    order_id = models.UUIDField(_("order"), null=True, db_index=True)
    seen_at = models.DateTimeField(_("seen"), default=clock.now)
    credited_at = models.DateTimeField(_("credited"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("payin")
        verbose_name_plural = _("payins")
        constraints = (
            models.UniqueConstraint(fields=("provider", "transaction", "ordinal"), name="payin_once"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payin_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(cost__gte=0, cost__lte=models.F("amount")), name="payin_cost"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="unmatched", fault=""), name="payin_unmatched_says_why"
            ),
            # What people decide on is in the books.
            models.CheckConstraint(
                condition=~models.Q(state__in=["held", "returned", "kept"])
                | models.Q(booked_at__isnull=False),
                name="payin_decided_is_booked",
            ),
        )
        indexes = (
            models.Index(fields=("provider", "block_height"), name="payin_by_block"),
            models.Index(fields=("state", "id"), name="payin_by_state"),
            models.Index(fields=("provider", "credited_at"), name="payin_by_credit"),
            models.Index(fields=("-id",), name="payin_without_home", condition=~models.Q(fault="")),
            # What the lists and the search ask for.
            models.Index(fields=("-seen_at",), name="payin_newest"),
            models.Index(fields=("transaction",), name="payin_transaction"),
            models.Index(fields=("address",), name="payin_address", condition=~models.Q(address="")),
            models.Index(fields=("sender",), name="payin_sender", condition=~models.Q(sender="")),
            models.Index(fields=("reference",), name="payin_reference", condition=~models.Q(reference="")),
        )

    def __str__(self) -> str:
        return f"{self.transaction[:14]}…"

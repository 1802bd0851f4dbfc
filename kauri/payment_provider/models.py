"""Provider-side transactions and what a chain scanner remembers."""

from __future__ import annotations

from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
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
        )
        indexes = (
            models.Index(fields=("provider", "block_height"), name="payin_by_block"),
            models.Index(fields=("state", "id"), name="payin_by_state"),
        )

    def __str__(self) -> str:
        return f"{self.transaction[:14]}…"


class Payout(models.Model):
    """One provider-side transaction that sends money out. The row is the truth; a task is a hint.

    NEW -> PREPARED (bytes stored) -> SENT -> CONFIRMED | FAILED; UNKNOWN when an answer was lost.
    """

    class State(models.TextChoices):
        NEW = "new", _("Waits for its turn")
        PREPARED = "prepared", _("Prepared, not sent")
        SENT = "sent", _("Sent, waits for confirmations")
        UNKNOWN = "unknown", _("Outcome unknown")
        CONFIRMED = "confirmed", _("Confirmed")
        FAILED = "failed", _("Failed")

    OPEN_STATES = (State.NEW, State.PREPARED, State.SENT, State.UNKNOWN)

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="payouts", verbose_name=_("provider"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    order_id = models.UUIDField(_("order"), db_index=True)
    amount = MoneyField(_("amount"))
    destination = models.CharField(_("destination"), max_length=128)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.NEW)
    provider_reference = models.CharField(_("provider's id"), max_length=128, blank=True, default="")
    payload = models.TextField(_("stored bytes"), blank=True, default="")
    nonce = models.BigIntegerField(_("nonce"), null=True)
    source_address = models.CharField(_("from address"), max_length=128, blank=True, default="")
    confirmations = models.PositiveIntegerField(_("confirmations"), default=0)
    cost = MoneyField(_("cost"), null=True)
    cost_currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, related_name="+", verbose_name=_("cost currency")
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=clock.now)
    lease_until = models.DateTimeField(_("taken until"), null=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, default="")
    answer = models.JSONField(_("provider's answer"), default=dict, encoder=DjangoJSONEncoder)
    unknown_since = models.DateTimeField(_("unknown since"), null=True)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    sent_at = models.DateTimeField(_("sent"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payout_amount_positive"),
            # One nonce carries one payout; a replacement reuses the row.
            models.UniqueConstraint(
                fields=("provider", "source_address", "nonce"),
                condition=models.Q(nonce__isnull=False),
                name="payout_nonce_once",
            ),
            # Nothing is on its way without the bytes that name it.
            models.CheckConstraint(
                condition=models.Q(state__in=["new", "failed"])
                | (~models.Q(payload="") & ~models.Q(provider_reference="")),
                name="payout_stored_before_sent",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                name="payout_due",
                condition=models.Q(state__in=["new", "prepared", "sent", "unknown"]),
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"


class NonceCounter(models.Model):
    """The next nonce of a chain address: locked while the signed bytes that use it are stored."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+")
    address = models.CharField(max_length=128)
    next_nonce = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("provider", "address"), name="nonce_counter_once"),)

    def __str__(self) -> str:
        return f"{self.address}: {self.next_nonce}"


class ChainBlock(models.Model):
    """A block the scanner has done, kept for the reorg depth. The highest one is the cursor."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="blocks")
    height = models.BigIntegerField()
    hash = models.CharField(max_length=80)
    parent_hash = models.CharField(max_length=80)

    class Meta:
        ordering = ("-height",)
        constraints = (models.UniqueConstraint(fields=("provider", "height"), name="chain_block_once"),)

    def __str__(self) -> str:
        return f"{self.height}"


class ProviderBalanceSnapshot(models.Model):
    """What a provider said that we have there, at a moment."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="balance_snapshots")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    amount = MoneyField(_("amount"), default=Decimal(0))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("provider balance")
        verbose_name_plural = _("provider balances")
        indexes = (models.Index(fields=("provider", "currency", "-at"), name="provider_balance_latest"),)

    def __str__(self) -> str:
        return f"{self.provider} {self.currency}"

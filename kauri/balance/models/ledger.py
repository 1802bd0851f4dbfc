"""The ledger's tables. Rows are written by the SQL functions of ``migrations/books.sql`` only."""

from __future__ import annotations

from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.balance.chart import CHART, FREQUENT, TRANSFER_TITLES, AccountKind, TransferKind
from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Currency, Provider

KIND_CHOICES = [(int(kind), spec.title) for kind, spec in CHART.items()]


class LedgerAccount(models.Model):
    """One owner's money in one currency, of one kind.

    That owner and kind fit each other is proven when the row is inserted (trigger
    ``ledger_account_opens``); here stand only the laws that a change of balance could break.
    """

    kind = models.SmallIntegerField(_("kind"), choices=KIND_CHOICES)
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    customer = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="ledger_accounts", verbose_name=_("customer")
    )
    provider = models.ForeignKey(
        Provider, models.PROTECT, null=True, related_name="ledger_accounts", verbose_name=_("provider")
    )
    may_be_negative = models.BooleanField(_("may be negative"), default=False)
    is_inline = models.BooleanField(default=True)
    is_closed = models.BooleanField(_("closed"), default=False)
    balance = MoneyField(_("balance"), default=Decimal(0))
    version = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(_("opened"), db_default=Now())

    class Meta:
        db_table = "ledger_account"
        verbose_name = _("ledger account")
        verbose_name_plural = _("ledger accounts")
        constraints = (
            # One constraint, since PostgreSQL reads each anew in every posting. NaN >= 0 is true in
            # PostgreSQL, and NaN < x never is: hence the upper bound.
            models.CheckConstraint(
                condition=models.Q(balance__lt=FINITE)
                & (models.Q(may_be_negative=True) | models.Q(balance__gte=0)),
                name="ledger_account_no_overdraft",
            ),
            models.UniqueConstraint(
                fields=("customer", "currency", "kind"),
                condition=models.Q(customer__isnull=False),
                name="ledger_account_of_customer",
            ),
            models.UniqueConstraint(
                fields=("provider", "currency", "kind"),
                condition=models.Q(provider__isnull=False),
                name="ledger_account_of_provider",
            ),
            models.UniqueConstraint(
                fields=("currency", "kind"),
                condition=models.Q(customer__isnull=True, provider__isnull=True),
                name="ledger_account_of_house",
            ),
        )

    def __str__(self) -> str:
        owner = self.customer or self.provider
        title = CHART[AccountKind(self.kind)].title
        return f"{title}, {self.currency}" + (f", {owner}" if owner else "")


class Transfer(models.Model):
    """One balanced, immutable ledger event of two or more entries."""

    key = models.UUIDField(_("key"), unique=True)
    request_hash = models.BinaryField(max_length=32)
    kind = models.SmallIntegerField(
        _("kind"), choices=[(int(kind), title) for kind, title in TRANSFER_TITLES.items()]
    )
    order_id = models.UUIDField(_("order"), null=True)
    reverses = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        related_name="reversed_by",
        db_index=False,
        verbose_name=_("reverses"),
    )
    actor = models.CharField(_("author"), max_length=254)
    reference = models.CharField(_("reference"), max_length=254, blank=True, default="")
    meta = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(_("when"))

    class Meta:
        db_table = "ledger_transfer"
        ordering = ("-id",)
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints = (
            # Partial: all but a few transfers reverse nothing, and would each pay for an index entry.
            models.UniqueConstraint(
                fields=("reverses",),
                condition=models.Q(reverses__isnull=False),
                name="ledger_transfer_reverses_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("order_id",), name="ledger_transfer_order", condition=models.Q(order_id__isnull=False)
            ),
            # The kinds that hardly ever happen; the others are met within a few rows.
            models.Index(
                fields=("kind", "-id"),
                name="ledger_transfer_rare_kind",
                condition=~models.Q(kind__in=[int(kind) for kind in FREQUENT]),
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk} {TRANSFER_TITLES[TransferKind(self.kind)]}"


class Entry(models.Model):
    """One signed amount on one ledger account, in one transfer.

    ``balance_after`` is null on queued (hot house) accounts. ``created_at`` is taken after the
    account's lock, so that on an inline account id order, time order and balance order agree.
    Only ``ledger_write`` inserts, from rows that it has just locked; so foreign keys and checks here
    would cost each posting a fifth and prove nothing more. The self-check proves them anyway.
    """

    transfer = models.ForeignKey(
        Transfer, models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    currency = models.ForeignKey(
        Currency, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    amount = MoneyField(_("amount"))
    balance_after = MoneyField(_("balance after"), null=True)
    created_at = models.DateTimeField(_("when"))

    class Meta:
        db_table = "ledger_entry"
        ordering = ("-id",)
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        constraints = (models.UniqueConstraint(fields=("transfer", "account"), name="ledger_entry_transfer"),)
        indexes = (models.Index(fields=("account", "created_at", "id"), name="ledger_entry_account"),)

    def __str__(self) -> str:
        return f"#{self.pk}"


class Hold(models.Model):
    """Money set aside for an order: what of it was captured and released, never more than it is."""

    order_id = models.UUIDField(_("order"), unique=True)
    customer = models.ForeignKey(User, models.PROTECT, related_name="holds", verbose_name=_("customer"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    amount = MoneyField(_("amount"))
    captured = MoneyField(_("captured"), default=Decimal(0))
    released = MoneyField(_("released"), default=Decimal(0))
    created_at = models.DateTimeField(_("when"))

    class Meta:
        db_table = "ledger_hold"
        ordering = ("-id",)
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(amount__gt=0, captured__gte=0, released__gte=0)
                & models.Q(amount__gte=models.F("captured") + models.F("released"), amount__lt=FINITE),
                name="ledger_hold_within",
            ),
        )
        indexes = (
            models.Index(
                fields=("customer", "currency"),
                name="ledger_hold_open",
                condition=models.Q(amount__gt=models.F("captured") + models.F("released")),
            ),
            models.Index(fields=("-created_at",), name="ledger_hold_newest"),
        )

    def __str__(self) -> str:
        return f"{self.order_id}"

    @property
    def open_amount(self) -> Decimal:
        return self.amount - self.captured - self.released


class HotDelta(models.Model):
    """A queued change of a hot house account's balance, rolled up every few seconds."""

    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    amount = MoneyField()

    class Meta:
        db_table = "ledger_hot_delta"

    def __str__(self) -> str:
        return f"{self.account_id}"

"""The ledger's tables. Rows are written by the SQL functions of ``migrations/ledger.sql`` only."""

from __future__ import annotations

from decimal import Decimal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.balance.chart import CHART, TRANSFER_TITLES, AccountKind, TransferKind
from kauri.common import clock, ids
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
    may_be_negative = models.BooleanField(default=False)
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

    key = models.UUIDField(unique=True)
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


class LedgerDay(models.Model):
    """One closed day (UTC): how much was written, and a digest of it chained to the day before.

    The digest is SHA-256 over the day before's digest and those of the day's hours; an hour's is
    over its entries in id order. A change of any old entry, by whomever, breaks every later day.
    """

    day = models.DateField(_("day"), primary_key=True)
    entries = models.BigIntegerField(_("entries"))
    transfers = models.BigIntegerField(_("transfers"))
    digest = models.BinaryField(max_length=32)
    closed_at = models.DateTimeField(_("closed"))

    class Meta:
        db_table = "ledger_day"
        ordering = ("-day",)
        verbose_name = _("ledger day")
        verbose_name_plural = _("ledger days")

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class CurrencyDay(models.Model):
    """What all accounts of a kind held in a currency when the day ended: the base of as-of totals."""

    day = models.ForeignKey(LedgerDay, models.PROTECT, related_name="totals")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", db_index=False)
    kind = models.SmallIntegerField(choices=KIND_CHOICES)
    balance = MoneyField()

    class Meta:
        db_table = "ledger_currency_day"
        constraints = (
            models.UniqueConstraint(fields=("day", "currency", "kind"), name="ledger_currency_day_once"),
        )

    def __str__(self) -> str:
        return f"{self.day_id} {self.currency_id} {self.kind}"


class BalanceDay(models.Model):
    """What a queued (hot) account held when the day ended: its entries carry no balance after."""

    day = models.ForeignKey(LedgerDay, models.PROTECT, related_name="balances")
    account = models.ForeignKey(LedgerAccount, models.PROTECT, related_name="+", db_index=False)
    balance = MoneyField()

    class Meta:
        db_table = "ledger_balance_day"
        constraints = (models.UniqueConstraint(fields=("account", "day"), name="ledger_balance_day_once"),)

    def __str__(self) -> str:
        return f"{self.account_id} {self.day_id}"


class Period(models.Model):
    """A closed month: no entry is ever dated before ``ends_at`` again."""

    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"), unique=True)
    closed_at = models.DateTimeField(_("closed"))
    actor = models.CharField(_("author"), max_length=254)

    class Meta:
        db_table = "ledger_period"
        ordering = ("-ends_at",)
        verbose_name = _("closed period")
        verbose_name_plural = _("closed periods")
        permissions = (("close_period", "Can close a month of the books"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(starts_at__lt=models.F("ends_at"), ends_at__lte=models.F("closed_at")),
                name="ledger_period_in_order",
            ),
        )

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m}"


class TrialBalancePack(models.Model):
    """The signed trial balance of a closed period: exact JSON, and an Ed25519 signature over it."""

    period = models.OneToOneField(Period, models.PROTECT, related_name="pack", verbose_name=_("period"))
    body = models.TextField(_("trial balance"))
    signature = models.BinaryField(max_length=64)
    public_key = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(_("signed"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("trial balance pack")
        verbose_name_plural = _("trial balance packs")

    def __str__(self) -> str:
        return f"{self.period}"


class Adjustment(models.Model):
    """Money moved by hand, or a transfer reversed: proposed by one person, posted by another's yes.

    An adjustment moves ``amount`` from one ledger account to another; a reversal names a transfer.
    ``corrects`` names the closed month (``2026-10``) that it puts right: it is dated now all the same.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for a second person")
        POSTED = "posted", _("Posted")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    reverses = models.ForeignKey(
        Transfer, models.PROTECT, null=True, related_name="+", verbose_name=_("reverses")
    )
    currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, related_name="+", verbose_name=_("currency")
    )
    amount = MoneyField(_("amount"), null=True)
    from_kind = models.SmallIntegerField(_("from"), choices=KIND_CHOICES, null=True)
    from_customer = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    from_provider = models.ForeignKey(Provider, models.PROTECT, null=True, related_name="+")
    to_kind = models.SmallIntegerField(_("to"), choices=KIND_CHOICES, null=True)
    to_customer = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    to_provider = models.ForeignKey(Provider, models.PROTECT, null=True, related_name="+")
    corrects = models.CharField(_("corrects the month"), max_length=7, blank=True, default="")
    reason = models.TextField(_("reason"))
    document_name = models.CharField(_("document"), max_length=120)
    document_sha256 = models.CharField(max_length=64)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PENDING)
    proposed_by_id = models.BigIntegerField(editable=False)
    proposed_by = models.CharField(_("proposed by"), max_length=254)
    proposed_at = models.DateTimeField(_("proposed"), default=clock.now)
    decided_by_id = models.BigIntegerField(null=True, editable=False)
    decided_by = models.CharField(_("decided by"), max_length=254, blank=True, default="")
    decided_at = models.DateTimeField(_("decided"), null=True)
    decision_reason = models.TextField(_("words of the decision"), blank=True, default="")
    transfer = models.OneToOneField(
        Transfer, models.PROTECT, null=True, related_name="adjustment", verbose_name=_("transfer")
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = _("adjustment")
        verbose_name_plural = _("adjustments")
        permissions = (
            ("propose_adjustment", "Can propose adjustments and reversals"),
            ("decide_adjustment", "Can decide on adjustments and reversals"),
        )
        constraints = (
            # Nobody posts what they proposed: held here whatever the code does.
            models.CheckConstraint(
                condition=models.Q(decided_by_id__isnull=True)
                | ~models.Q(decided_by_id=models.F("proposed_by_id")),
                name="adjustment_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(state="posted", transfer__isnull=False, decided_by_id__isnull=False)
                | models.Q(state="rejected", transfer__isnull=True, decided_by_id__isnull=False)
                | models.Q(
                    state__in=["pending", "withdrawn"], transfer__isnull=True, decided_by_id__isnull=True
                ),
                name="adjustment_posted_by_somebody",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    reverses__isnull=False, amount__isnull=True, from_kind__isnull=True, to_kind__isnull=True
                )
                | models.Q(
                    reverses__isnull=True,
                    currency__isnull=False,
                    amount__gt=0,
                    amount__lt=FINITE,
                    from_kind__isnull=False,
                    to_kind__isnull=False,
                ),
                name="adjustment_or_reversal",
            ),
            models.CheckConstraint(
                condition=~models.Q(reason="") & ~models.Q(document_sha256=""), name="adjustment_says_why"
            ),
        )
        indexes = (
            models.Index(fields=("id",), name="adjustment_waiting", condition=models.Q(state="pending")),
        )

    def __str__(self) -> str:
        return f"#{self.pk}"


class SelfCheck(models.Model):
    """One run of the ledger's self-check with what it found.

    A full run proves every entry ever written; an incremental one those dated from ``from_at`` on.
    Both prove up to ``until_at``, where the next incremental run begins if this one was clean.
    """

    is_full = models.BooleanField(_("full"), default=True)
    from_at = models.DateTimeField(_("from"), null=True)
    until_at = models.DateTimeField(_("until"), null=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"))
    is_clean = models.BooleanField(_("clean"))
    findings = models.JSONField(_("findings"), default=list, encoder=DjangoJSONEncoder)
    counts = models.JSONField(_("looked at"), default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("ledger self-check")
        verbose_name_plural = _("ledger self-checks")

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"

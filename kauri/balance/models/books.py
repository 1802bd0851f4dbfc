"""Closed days and months of the books, and the runs that proved them."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.balance.models.ledger import KIND_CHOICES, LedgerAccount
from kauri.common.models import MoneyField
from kauri.core.models import Currency


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

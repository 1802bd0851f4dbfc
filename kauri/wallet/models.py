"""Deposit addresses: derived from an extended public key, never shared, never reused."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock
from kauri.common.models import MoneyField
from kauri.core.models import Currency, Network, Provider
from kauri.payment_provider.models import Outgoing


class DepositAddress(models.Model):
    """An address made ahead (no owner yet) or given to one customer for ever."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    network = models.ForeignKey(Network, models.PROTECT, related_name="+", verbose_name=_("network"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    address = models.CharField(_("address"), max_length=128)
    index = models.PositiveBigIntegerField(_("derivation index"))
    user = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="deposit_addresses", verbose_name=_("customer")
    )
    callback_url = models.TextField(_("callback"), blank=True, default="")
    external_id = models.CharField(_("client's id"), max_length=128, blank=True, default="")
    convert_to = models.ForeignKey(
        Currency,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("convert to"),
        help_text=_("the customer's wish"),
    )
    comment = models.CharField(_("comment"), max_length=500, blank=True, default="")
    additional_info = models.JSONField(_("from the client"), default=dict, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(_("made"), default=clock.now)
    assigned_at = models.DateTimeField(_("given out"), null=True)
    quoted_at = models.DateTimeField(_("looked at for a sweep"), null=True)
    swept_at = models.DateTimeField(_("swept"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("deposit address")
        verbose_name_plural = _("deposit addresses")
        constraints = (
            models.UniqueConstraint(fields=("provider", "address"), name="deposit_address_once"),
            models.UniqueConstraint(fields=("provider", "index"), name="deposit_address_index_once"),
        )
        indexes = (
            models.Index(
                fields=("provider", "id"), name="deposit_address_spare", condition=models.Q(user__isnull=True)
            ),
            models.Index(fields=("address",), name="deposit_address_address"),
            models.Index(
                fields=("external_id",),
                name="deposit_address_external_id",
                condition=~models.Q(external_id=""),
            ),
        )

    def __str__(self) -> str:
        return self.address


class Sweep(Outgoing):
    """Money that moves between addresses of ours: nobody's order, only the network is paid."""

    class Purpose(models.TextChoices):
        SWEEP = "sweep", _("From a deposit address to the hot wallet")
        TOP_UP = "top_up", _("The fee of a sweep, to its deposit address")
        COLD = "cold", _("From the hot wallet to the cold one")

    purpose = models.CharField(_("purpose"), max_length=8, choices=Purpose.choices)
    address = models.ForeignKey(
        DepositAddress, models.PROTECT, null=True, related_name="sweeps", verbose_name=_("deposit address")
    )

    class Meta(Outgoing.Meta):
        verbose_name = _("sweep")
        verbose_name_plural = _("sweeps")
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="sweep_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(purpose="cold") | models.Q(address__isnull=False),
                name="sweep_of_an_address",
            ),
            models.UniqueConstraint(
                fields=("address",),
                condition=models.Q(state__in=["new", "prepared", "sent", "unknown"]),
                name="sweep_one_at_a_time",
            ),
            models.UniqueConstraint(
                fields=("provider",),
                condition=models.Q(purpose="cold", state__in=["new", "prepared", "sent", "unknown"]),
                name="sweep_one_cold_at_a_time",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                name="sweep_due",
                condition=models.Q(state__in=["new", "prepared", "sent", "unknown"]),
            ),
        )

    @property
    def signing_key(self) -> str:
        if self.address is None:
            return "hot"
        wallet = "gas" if self.purpose == self.Purpose.TOP_UP else "deposit"
        return f"{wallet}/{self.address.index}"


class Reconciliation(models.Model):
    """One comparison of a provider's chain with the books, in one currency, at one moment."""

    class State(models.TextChoices):
        EQUAL = "equal", _("Agrees")
        DIFFERENT = "different", _("Differs")
        MOVING = "moving", _("Money is on its way: not compared")

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    at = models.DateTimeField(_("when"), default=clock.now)
    on_chain = MoneyField(_("on the chain"))
    in_books = MoneyField(_("in the books"))
    on_its_way = MoneyField(_("seen on the chain, not booked yet"))
    difference = MoneyField(_("difference"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        indexes = (models.Index(fields=("provider", "currency", "-at"), name="reconciliation_latest"),)

    def __str__(self) -> str:
        return f"{self.provider} {self.currency}"


class ReconciliationBreak(models.Model):
    """Money that chain, rows and books do not agree about: an inbox row that a person explains.

    Seen once it is a suspicion (a block may have come between two questions); seen twice it is told.
    """

    class Kind(models.TextChoices):
        CHAIN_MORE = "chain_more", _("The chain has money that our rows don't know")
        CHAIN_LESS = "chain_less", _("Money has left an address without us")
        TOTAL = "total", _("The books' float is not what the chain holds")
        PAYIN_GONE = "payin_gone", _("A credited deposit is not on the chain")
        PAYOUT_GONE = "payout_gone", _("A confirmed payout is not on the chain")

    class State(models.TextChoices):
        SUSPECTED = "suspected", _("Seen once")
        OPEN = "open", _("Waits for a person")
        GONE = "gone", _("No longer there")
        EXPLAINED = "explained", _("Explained")

    OPEN_STATES = (State.SUSPECTED, State.OPEN)

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    kind = models.CharField(_("what"), max_length=12, choices=Kind.choices)
    subject = models.CharField(_("address or transaction"), max_length=128, blank=True, default="")
    amount = MoneyField(_("difference"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.SUSPECTED)
    first_seen_at = models.DateTimeField(_("first seen"), default=clock.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=clock.now)
    explained_by = models.CharField(_("explained by"), max_length=254, blank=True, default="")
    explanation = models.TextField(_("explanation"), blank=True, default="")
    closed_at = models.DateTimeField(_("closed"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("reconciliation break")
        verbose_name_plural = _("reconciliation breaks")
        permissions = (("explain_reconciliationbreak", "Can explain reconciliation breaks"),)
        constraints = (
            models.UniqueConstraint(
                fields=("provider", "currency", "kind", "subject"),
                condition=models.Q(state__in=["suspected", "open"]),
                name="break_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="explained")
                | (~models.Q(explanation="") & ~models.Q(explained_by="")),
                name="break_explained_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject[:14]}"


class ForeignToken(models.Model):
    """A token that is no currency of the house, sent to an address of ours: for people to see, never money.

    Nothing is posted for it and nobody's balance knows of it. ``amount`` is what its contract says.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Waits for a person")
        QUIET = "quiet", _("One of many of its contract")
        GONE = "gone", _("Gone from the chain")
        EXPLAINED = "explained", _("Explained")

    #: What a person may still say something about.
    OPEN_STATES = (State.OPEN, State.QUIET, State.GONE)

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    contract = models.CharField(_("contract"), max_length=64)
    address = models.CharField(_("address of ours"), max_length=128)
    sender = models.CharField(_("sender"), max_length=128)
    transaction = models.CharField(_("transaction"), max_length=128)
    ordinal = models.PositiveIntegerField(_("place in the transaction"))
    amount = models.CharField(_("amount in its own unit"), max_length=78)
    is_item = models.BooleanField(_("a single item, and its number"), default=False)
    block_height = models.BigIntegerField(_("block"))
    block_hash = models.CharField(_("block hash"), max_length=80)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    seen_at = models.DateTimeField(_("seen"), default=clock.now)
    explained_by = models.CharField(_("explained by"), max_length=254, blank=True, default="")
    explanation = models.TextField(_("explanation"), blank=True, default="")
    closed_at = models.DateTimeField(_("closed"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("foreign token")
        verbose_name_plural = _("foreign tokens")
        permissions = (("explain_foreigntoken", "Can explain foreign tokens"),)
        constraints = (
            models.UniqueConstraint(fields=("provider", "transaction", "ordinal"), name="foreign_token_once"),
            models.CheckConstraint(
                condition=models.Q(amount__regex="^[0-9]{1,78}$"), name="foreign_token_amount_in_digits"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="explained")
                | (
                    ~models.Q(explanation="") & ~models.Q(explained_by="") & models.Q(closed_at__isnull=False)
                ),
                name="foreign_token_explained_by_somebody",
            ),
        )
        indexes = (
            models.Index(
                fields=("provider", "contract"),
                name="foreign_token_open",
                condition=models.Q(state="open"),
            ),
            models.Index(fields=("provider", "block_height"), name="foreign_token_by_block"),
        )

    def __str__(self) -> str:
        return f"{self.contract[:14]}…"


class ForeignWatch(models.Model):
    """How far a provider's chain has been looked through for foreign tokens."""

    provider = models.OneToOneField(Provider, models.PROTECT, related_name="+", primary_key=True)
    height = models.BigIntegerField()
    block_hash = models.CharField(max_length=80)

    def __str__(self) -> str:
        return f"{self.height}"


class PaymentLink(models.Model):
    """A payment page at a gateway. ``public_id`` is the reference that its callback names."""

    public_id = models.UUIDField(unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="payment_links", verbose_name=_("customer"))
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    amount = MoneyField(_("amount"), null=True)
    fee = MoneyField(_("agreed fee"), null=True, help_text=_("on top of what the customer gets"))
    url = models.TextField(_("link"), blank=True, default="")
    provider_reference = models.CharField(_("provider's id"), max_length=128, blank=True, default="")
    callback_url = models.TextField(_("callback"), blank=True, default="")
    external_id = models.CharField(_("client's id"), max_length=128, blank=True, default="")
    convert_to = models.ForeignKey(
        Currency,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("convert to"),
        help_text=_("the customer's wish"),
    )
    comment = models.CharField(_("comment"), max_length=500, blank=True, default="")
    additional_info = models.JSONField(_("from the client"), default=dict, encoder=DjangoJSONEncoder)
    success_url = models.TextField(_("page after success"), blank=True, default="")
    fail_url = models.TextField(_("page after failure"), blank=True, default="")
    processing_url = models.TextField(_("page while it is processed"), blank=True, default="")
    created_at = models.DateTimeField(_("made"), default=clock.now)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("payment link")
        verbose_name_plural = _("payment links")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(fee__isnull=True) | models.Q(amount__isnull=False, fee__gte=0),
                name="payment_link_fee_of_an_amount",
            ),
        )
        indexes = (
            models.Index(
                fields=("user", "external_id"),
                name="payment_link_external_id",
                condition=~models.Q(external_id=""),
            ),
            models.Index(fields=("-created_at",), name="payment_link_newest"),
            models.Index(
                fields=("external_id",), name="payment_link_by_client", condition=~models.Q(external_id="")
            ),
            models.Index(
                fields=("provider_reference",),
                name="payment_link_reference",
                condition=~models.Q(provider_reference=""),
            ),
        )

    def __str__(self) -> str:
        return str(self.public_id)

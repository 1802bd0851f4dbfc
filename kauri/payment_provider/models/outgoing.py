"""Provider-side transactions that send money out."""

from __future__ import annotations

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.common.models import MoneyField
from kauri.core.models import Currency, Provider


class Outgoing(models.Model):
    """What every sending has. The row is the truth; a task is a hint.

    NEW -> PREPARED (bytes stored) -> SENT -> CONFIRMED | FAILED; UNKNOWN when an answer was lost.
    ``provider_reference`` and ``payload`` are those of the newest attempt; ``earlier`` holds the ones
    it replaced, of all of which only one can be mined.
    """

    #: What the provider is told where that may not be stored (a card's number), on a row in hand only.
    unstored_destination: str = ""

    class State(models.TextChoices):
        NEW = "new", _("Waits for its turn")
        PREPARED = "prepared", _("Prepared, not sent")
        SENT = "sent", _("Sent, waits for confirmations")
        UNKNOWN = "unknown", _("Outcome unknown")
        CONFIRMED = "confirmed", _("Confirmed")
        FAILED = "failed", _("Failed")

    OPEN_STATES = (State.NEW, State.PREPARED, State.SENT, State.UNKNOWN)

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    provider = models.ForeignKey(
        Provider, models.PROTECT, related_name="%(class)ss", verbose_name=_("provider")
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    amount = MoneyField(_("amount"))
    destination = models.CharField(_("destination"), max_length=128)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.NEW)
    provider_reference = models.CharField(_("provider's id"), max_length=128, blank=True, default="")
    payload = models.TextField(_("stored bytes"), blank=True, default="")
    cancels = models.BooleanField(_("the newest attempt pays nobody"), default=False)
    earlier = models.JSONField(_("replaced attempts"), default=list)
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
    signed_at = models.DateTimeField(_("newest bytes signed"), null=True)
    cancel_asked_at = models.DateTimeField(_("cancellation asked for"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        abstract = True
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"

    @property
    def told_destination(self) -> str:
        """Where the provider is told to send."""
        return self.unstored_destination or self.destination

    @property
    def signing_key(self) -> str:
        """Which of the signer's keys pays."""
        return "hot"


class Payout(Outgoing):
    """One sending of an order's money; without an order it is our own, from coins to the cold address."""

    order_id = models.UUIDField(_("order"), null=True, db_index=True)
    #: The payout whose transaction pays this one too; the first of a batch has none.
    lead = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="companions", verbose_name=_("paid together with")
    )
    admitted_at = models.DateTimeField(
        _("let through by its channel"),
        null=True,
        help_text=_("it counts for the channel's day from here on"),
    )

    class Meta(Outgoing.Meta):
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        permissions = (
            ("cancel_payout", "Can cancel payouts that are stuck on a chain"),
            ("ask_payout", "Can have a provider asked about a payout at once"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payout_amount_positive"),
            # Our own money goes cold one at a time, and alone.
            models.UniqueConstraint(
                fields=("provider",),
                condition=models.Q(order_id__isnull=True, state__in=["new", "prepared", "sent", "unknown"]),
                name="payout_one_cold_at_a_time",
            ),
            models.CheckConstraint(
                condition=models.Q(order_id__isnull=False) | models.Q(lead__isnull=True),
                name="payout_cold_goes_alone",
            ),
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
            models.CheckConstraint(
                condition=~models.Q(state="new") | models.Q(lead__isnull=True), name="payout_batch_is_stored"
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                name="payout_due",
                condition=models.Q(state__in=["new", "prepared", "sent", "unknown"]),
            ),
            # What a channel's pace and daily cap are reckoned from.
            models.Index(
                fields=("provider", "currency", "admitted_at"),
                name="payout_admitted",
                condition=models.Q(admitted_at__isnull=False),
            ),
            # What the lists and the search ask for.
            models.Index(fields=("-created_at",), name="payout_newest"),
            models.Index(fields=("destination",), name="payout_destination"),
            models.Index(
                fields=("provider_reference",),
                name="payout_reference",
                condition=~models.Q(provider_reference=""),
            ),
            models.Index(
                fields=("state", "-id"), name="payout_by_state", condition=~models.Q(state="confirmed")
            ),
        )

    @property
    def for_order(self) -> uuid.UUID:
        """The order that it pays. ``LookupError``: it is our own."""
        if self.order_id is None:
            raise LookupError(f"payout {self.public_id} has no order")
        return self.order_id


class NonceCounter(models.Model):
    """The next nonce of a chain address: locked while the signed bytes that use it are stored.

    Two providers on one chain (ether and a token) may pay from one address: they share its row.
    """

    chain = models.CharField(max_length=64)
    address = models.CharField(max_length=128)
    next_nonce = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("chain", "address"), name="nonce_counter_once"),)

    def __str__(self) -> str:
        return f"{self.address}: {self.next_nonce}"

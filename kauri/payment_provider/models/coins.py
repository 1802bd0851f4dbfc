"""What we hold on chains of coins: our addresses, and the outputs that pay them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock
from kauri.common.models import MoneyField
from kauri.core.models import Provider
from kauri.payment_provider.models.outgoing import Payout


class CoinAddress(models.Model):
    """An address of ours: of branch 0 it may be a customer's, of branch 1 it takes change only.

    A cold address is watched and never spent from: its key is not the signer's. Its ``index`` only counts.
    """

    class Branch(models.IntegerChoices):
        RECEIVE = 0, _("Deposits")
        CHANGE = 1, _("Change")
        COLD = 2, _("Cold: watched, never spent from here")

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    address = models.CharField(_("address"), max_length=128)
    branch = models.PositiveSmallIntegerField(_("branch"), choices=Branch.choices)
    index = models.PositiveBigIntegerField(_("derivation index"))
    created_at = models.DateTimeField(_("made"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("coin address")
        verbose_name_plural = _("coin addresses")
        constraints = (
            models.UniqueConstraint(fields=("provider", "address"), name="coin_address_once"),
            models.UniqueConstraint(fields=("provider", "branch", "index"), name="coin_address_path_once"),
            models.CheckConstraint(
                condition=models.Q(branch__in=[0, 1, 2]), name="coin_address_branch_known"
            ),
        )

    def __str__(self) -> str:
        return self.address

    @property
    def path(self) -> str:
        """Under the account's extended public key."""
        return f"{self.branch}/{self.index}"


class Coin(models.Model):
    """An output that is ours, as the scanner saw it: ``(provider, transaction, ordinal)`` names it for ever.

    Three facts that change each for themselves: the block it is in (none after a reorg), who holds it
    for a payout, and which transaction of the chain used it up.
    """

    class State(models.TextChoices):
        ORPHANED = "orphaned", _("Gone from the chain")
        SPENT = "spent", _("Spent")
        RESERVED = "reserved", _("Held for a payout")
        UNSPENT = "unspent", _("Unspent")

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="coins", verbose_name=_("provider"))
    place = models.ForeignKey(CoinAddress, models.PROTECT, related_name="coins", verbose_name=_("address"))
    transaction = models.CharField(_("transaction"), max_length=64)
    ordinal = models.PositiveIntegerField(_("place in the transaction"))
    amount = MoneyField(_("amount"))
    block_height = models.BigIntegerField(_("block"), null=True)
    block_hash = models.CharField(_("block hash"), max_length=80, blank=True, default="")
    final_after = models.PositiveIntegerField(_("confirmations the chain asks for"), default=0)
    reserved_by = models.ForeignKey(
        Payout, models.PROTECT, null=True, related_name="coins", verbose_name=_("held for the payout")
    )
    spent_by = models.CharField(_("spent by the transaction"), max_length=64, blank=True, default="")
    spent_height = models.BigIntegerField(_("spent in block"), null=True)
    spent_hash = models.CharField(
        _("hash of the block it was spent in"), max_length=80, blank=True, default=""
    )
    seen_at = models.DateTimeField(_("seen"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("coin")
        verbose_name_plural = _("coins")
        constraints = (
            models.UniqueConstraint(fields=("provider", "transaction", "ordinal"), name="coin_once"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="coin_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(block_height__isnull=True, block_hash="")
                | (models.Q(block_height__isnull=False) & ~models.Q(block_hash="")),
                name="coin_block_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(spent_height__isnull=True, spent_by="", spent_hash="")
                | (models.Q(spent_height__isnull=False) & ~models.Q(spent_by="") & ~models.Q(spent_hash="")),
                name="coin_spent_whole",
            ),
            # The chain can't hold a spend of what it does not hold.
            models.CheckConstraint(
                condition=models.Q(spent_height__isnull=True)
                | models.Q(block_height__isnull=False, block_height__lte=models.F("spent_height")),
                name="coin_spent_after_seen",
            ),
        )
        indexes = (
            models.Index(
                fields=("provider", "block_height"), name="coin_unspent", condition=models.Q(spent_by="")
            ),
            models.Index(fields=("provider", "spent_height"), name="coin_by_spend"),
        )

    def __str__(self) -> str:
        return f"{self.transaction[:14]}…:{self.ordinal}"

    @property
    def state(self) -> State:
        """The one word for people."""
        if self.block_height is None:
            return self.State.ORPHANED
        if self.spent_by:
            return self.State.SPENT
        return self.State.UNSPENT if self.reserved_by_id is None else self.State.RESERVED

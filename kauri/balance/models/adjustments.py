"""Money moved by hand, by two people."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.balance.models.ledger import KIND_CHOICES, Transfer
from kauri.common import clock, ids
from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Currency, Provider


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

"""Payments that hang, and what two people decide about them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout


class HangingPayout(Payout):
    """The same payouts, as a queue: those whose end the provider does not tell."""

    class Meta:
        proxy = True
        verbose_name = _("payment that hangs")
        verbose_name_plural = _("payments that hang")


class Closing(models.Model):
    """What became of a payout that the provider never gave an end to, by a paper: proposed by one
    person, done by another's yes. Without ``payout`` it is said of every open payout of the order."""

    class Outcome(models.TextChoices):
        PAID = "paid", _("It was paid")
        NOT_PAID = "not_paid", _("It was not paid")

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for a second person")
        DONE = "done", _("Done")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="closings", verbose_name=_("order"))
    payout = models.ForeignKey(
        Payout, models.PROTECT, null=True, related_name="closings", verbose_name=_("payout")
    )
    outcome = models.CharField(_("what happened"), max_length=8, choices=Outcome.choices)
    reference = models.CharField(_("provider's id"), max_length=128, blank=True, default="")
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

    class Meta:
        ordering = ("-id",)
        verbose_name = _("closing by hand")
        verbose_name_plural = _("closings by hand")
        permissions = (
            ("propose_closing", "Can propose how a payout ended"),
            ("decide_closing", "Can decide how a payout ended"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(decided_by_id__isnull=True)
                | ~models.Q(decided_by_id=models.F("proposed_by_id")),
                name="closing_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["done", "rejected"], decided_by_id__isnull=False)
                | models.Q(state__in=["pending", "withdrawn"], decided_by_id__isnull=True),
                name="closing_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(reason="") & ~models.Q(document_sha256=""), name="closing_says_why"
            ),
            # What was paid has a name at the provider; several payouts don't share one.
            models.CheckConstraint(
                condition=models.Q(outcome="not_paid", reference="")
                | (models.Q(outcome="paid", payout__isnull=False) & ~models.Q(reference=""))
                | models.Q(outcome="paid", payout__isnull=True, reference=""),
                name="closing_has_what_it_needs",
            ),
            models.UniqueConstraint(
                fields=("order",), condition=models.Q(state="pending"), name="closing_one_waits"
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk}"

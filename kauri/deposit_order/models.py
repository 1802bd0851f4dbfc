"""What a deposit adds to the common order, and what people do about money that is no deposit yet."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock, ids
from kauri.core.models import Currency
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin


class DepositDetail(models.Model):
    """One deposit is one payin: the one-to-one relation is what makes the credit happen once."""

    order = models.OneToOneField(Order, models.PROTECT, related_name="deposit", primary_key=True)
    payin = models.OneToOneField(Payin, models.PROTECT, related_name="deposit", verbose_name=_("payin"))
    confirmations_needed = models.PositiveIntegerField(_("confirmations needed"))
    convert_to = models.ForeignKey(
        Currency,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("convert to"),
        help_text=_("the customer's wish"),
    )

    class Meta:
        verbose_name = _("deposit")
        verbose_name_plural = _("deposits")
        permissions = (("decide_hold", "Can decide on deposits that analysis holds"),)

    def __str__(self) -> str:
        return str(self.order)


class UnmatchedMoney(Payin):
    """The same payins, as a queue: money that came and has no home of its own."""

    class Meta:
        proxy = True
        verbose_name = _("unmatched money")
        verbose_name_plural = _("unmatched money")


class UnmatchedAct(models.Model):
    """What shall become of unmatched money: proposed by one person, done by another's yes."""

    class Kind(models.TextChoices):
        CREDIT = "credit", _("Credit to a customer")
        SEND_BACK = "send_back", _("Send back")
        KEEP = "keep", _("Keep as income")

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for a second person")
        DONE = "done", _("Done")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    payin = models.ForeignKey(Payin, models.PROTECT, related_name="acts", verbose_name=_("payin"))
    kind = models.CharField(_("what"), max_length=9, choices=Kind.choices)
    customer = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("customer")
    )
    with_fee = models.BooleanField(_("with the deposit fee"), default=True)
    evidence = models.CharField(_("outgoing transaction"), max_length=128, blank=True, default="")
    reason = models.TextField(_("reason"))
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
        verbose_name = _("act on unmatched money")
        verbose_name_plural = _("acts on unmatched money")
        permissions = (
            ("propose_unmatchedact", "Can propose what becomes of unmatched money"),
            ("decide_unmatchedact", "Can decide on unmatched money"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(decided_by_id__isnull=True)
                | ~models.Q(decided_by_id=models.F("proposed_by_id")),
                name="unmatched_act_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["done", "rejected"], decided_by_id__isnull=False)
                | models.Q(state__in=["pending", "withdrawn"], decided_by_id__isnull=True),
                name="unmatched_act_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="credit", customer__isnull=False, evidence="")
                | (models.Q(kind="send_back", customer__isnull=True) & ~models.Q(evidence=""))
                | models.Q(kind="keep", customer__isnull=True, evidence=""),
                name="unmatched_act_has_what_it_needs",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="unmatched_act_says_why"),
            models.UniqueConstraint(
                fields=("payin",), condition=models.Q(state="pending"), name="unmatched_act_one_waits"
            ),
            # One outgoing transaction explains one return.
            models.UniqueConstraint(
                fields=("evidence",),
                condition=models.Q(state__in=["pending", "done"]) & ~models.Q(evidence=""),
                name="unmatched_act_evidence_once",
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk}"

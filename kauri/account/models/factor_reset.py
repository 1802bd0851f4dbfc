"""An operator's second factor that is taken off because their phone is lost: proposed by one, done by another."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from kauri.account.models.people import User
from kauri.common import clock, ids


class FactorReset(models.Model):
    """``device_id`` is the authenticator that was lost: one that came later is not what was decided about."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waits for a second person")
        DONE = "done", _("Done")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        EXPIRED = "expired", _("Nobody decided in time")

    DECIDED: Final = (State.DONE.value, State.REJECTED.value)

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    operator = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("operator"))
    device_id = models.BigIntegerField(editable=False)
    reason = models.CharField(_("reason"), max_length=300)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PENDING)
    proposed_by_id = models.BigIntegerField(editable=False)
    proposed_by = models.CharField(_("proposed by"), max_length=254)
    proposed_at = models.DateTimeField(_("proposed"), default=clock.now)
    expires_at = models.DateTimeField(_("to be decided until"))
    decided_by_id = models.BigIntegerField(null=True, editable=False)
    decided_by = models.CharField(_("decided by"), max_length=254, blank=True, default="")
    decided_at = models.DateTimeField(_("decided"), null=True)
    decision_reason = models.CharField(_("words of the decision"), max_length=300, blank=True, default="")

    class Meta:
        ordering = ("-id",)
        verbose_name = _("second factor reset")
        verbose_name_plural = _("second factor resets")
        # Who changes roles proposes and decides, who sees roles looks.
        default_permissions = ()
        constraints = (
            models.CheckConstraint(
                condition=~Q(proposed_by_id=F("operator_id"))
                & (
                    Q(decided_by_id__isnull=True)
                    | ~Q(decided_by_id=F("proposed_by_id")) & ~Q(decided_by_id=F("operator_id"))
                ),
                name="factor_reset_two_others",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=["done", "rejected"], decided_by_id__isnull=False, decided_at__isnull=False
                )
                | ~Q(state__in=["done", "rejected"]) & Q(decided_by_id__isnull=True, decided_at__isnull=True),
                name="factor_reset_decided_by_somebody",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="factor_reset_says_why"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("proposed_at"))
                & ~Q(state="done", decided_at__gte=F("expires_at")),
                name="factor_reset_in_time",
            ),
            models.UniqueConstraint(
                fields=("operator",), condition=Q(state="pending"), name="factor_reset_one_waits"
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk}"

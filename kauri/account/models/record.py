"""What is kept of sign-ins and of decisions about people."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models.people import User
from kauri.common import clock
from kauri.common.models import ActorStamp


class SignIn(models.Model):
    """Every sign-in and refusal, for the record and for the throttle."""

    class Door(models.TextChoices):
        API = "api", _("API")
        BACK_OFFICE = "backoffice", _("Back office")

    user = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="sign_ins", verbose_name=_("account")
    )
    email = models.CharField(_("e-mail given"), max_length=254)
    door = models.CharField(_("door"), max_length=12, choices=Door.choices)
    succeeded = models.BooleanField(_("succeeded"))
    ip = models.GenericIPAddressField(_("address"), null=True)
    user_agent = models.CharField(_("device"), max_length=300, blank=True, default="")
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        indexes = (
            models.Index(fields=("email", "-at"), name="sign_in_by_email"),
            models.Index(fields=("ip", "-at"), name="sign_in_by_ip"),
            models.Index(fields=("-at",), name="sign_in_newest"),
            # Operators' own, few among those of all clients.
            models.Index(fields=("-id",), name="sign_in_by_staff", condition=models.Q(door="backoffice")),
        )

    def __str__(self) -> str:
        return f"{self.email} {self.at:%Y-%m-%d %H:%M}"


class VerificationDecision(ActorStamp):
    """One change of a customer's verification level: who, when, why, from what to what."""

    user = models.ForeignKey(
        User, models.PROTECT, related_name="verification_decisions", verbose_name=_("customer")
    )
    from_level = models.PositiveSmallIntegerField(_("from level"))
    to_level = models.PositiveSmallIntegerField(_("to level"))
    reason = models.TextField(_("reason"))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("verification decision")
        verbose_name_plural = _("verification decisions")

    def __str__(self) -> str:
        return f"{self.user}: {self.from_level} → {self.to_level}"


class CustomerNote(ActorStamp):
    """What an operator wrote about a customer, for the other operators. Append-only in the database."""

    user = models.ForeignKey(User, models.PROTECT, related_name="notes", verbose_name=_("customer"))
    text = models.TextField(_("note"))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("note on a customer")
        verbose_name_plural = _("notes on customers")
        constraints = (models.CheckConstraint(condition=~models.Q(text=""), name="customer_note_says_it"),)

    def __str__(self) -> str:
        return self.text[:60]

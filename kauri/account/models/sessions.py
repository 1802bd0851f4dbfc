"""Sessions of customers: a family of refresh tokens, ended as one."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models.people import User
from kauri.account.models.security import TOTPDevice
from kauri.common import clock, ids


class Session(models.Model):
    """One sign-in and all that follows from it. Its public id is the family id of its tokens."""

    class End(models.TextChoices):
        SIGNED_OUT = "signed_out", _("signed out")
        PASSWORD = "password", _("new password")
        REUSED = "reused", _("a refresh token was used twice")
        EXPIRED = "expired", _("expired")
        OPERATOR = "operator", _("ended by an operator")
        DISABLED = "disabled", _("account disabled")
        FROZEN = "frozen", _("frozen by its owner")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="sessions", verbose_name=_("customer"))
    epoch = models.PositiveIntegerField()
    second_factor = models.ForeignKey(TOTPDevice, models.SET_NULL, null=True, related_name="+")
    ip = models.GenericIPAddressField(_("address"), null=True)
    user_agent = models.CharField(_("device"), max_length=300, blank=True, default="")
    started_at = models.DateTimeField(_("began"), default=clock.now)
    seen_at = models.DateTimeField(_("last refreshed"), default=clock.now)
    ended_at = models.DateTimeField(_("ended"), null=True)
    end_reason = models.CharField(_("why"), max_length=12, choices=End.choices, blank=True, default="")

    class Meta:
        ordering = ("-id",)
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, end_reason="")
                | (models.Q(ended_at__isnull=False) & ~models.Q(end_reason="")),
                name="session_ends_for_a_reason",
            ),
        )
        indexes = (models.Index(fields=("user", "ended_at"), name="session_open_of"),)

    def __str__(self) -> str:
        return f"{self.user} {self.started_at:%Y-%m-%d %H:%M}"


class RefreshToken(models.Model):
    """One link of a session's chain: used once, for the next. Only its hash is kept.

    ``jti`` names the access token issued with it: old clients refresh by that one.
    """

    session = models.ForeignKey(Session, models.PROTECT, related_name="refresh_tokens")
    token_hash = models.CharField(max_length=64, unique=True)
    jti = models.CharField(max_length=32, unique=True)
    created_at = models.DateTimeField(default=clock.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("session",), condition=models.Q(used_at__isnull=True), name="refresh_token_one_unused"
            ),
        )

    def __str__(self) -> str:
        return self.jti

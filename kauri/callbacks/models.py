"""What enters the house, kept raw before it is answered."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids


class InboundCallback(models.Model):
    """One call of a payment system, exactly as it came, and what became of it."""

    class State(models.TextChoices):
        STORED = "stored", _("Stored, waits")
        PROCESSED = "processed", _("Had its effect")
        DUPLICATE = "duplicate", _("Repeated: no effect")
        IGNORED = "ignored", _("No effect needed")
        INVALID = "invalid", _("Forged or malformed")
        FAILED = "failed", _("Failed: replay after mending")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    provider_code = models.CharField(_("provider"), max_length=32)
    method = models.CharField(_("method"), max_length=8)
    path = models.CharField(_("path"), max_length=300)
    query = models.TextField(_("query"), blank=True, default="")
    headers = models.JSONField(_("headers"), default=dict)
    body = models.BinaryField(_("body"))
    remote_addr = models.GenericIPAddressField(_("address"), null=True)
    received_at = models.DateTimeField(_("received"), default=clock.now)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.STORED)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=clock.now)
    lease_until = models.DateTimeField(_("taken until"), null=True)
    processed_at = models.DateTimeField(_("processed"), null=True)
    outcome = models.CharField(_("outcome"), max_length=300, blank=True, default="")
    order_id = models.UUIDField(_("order"), null=True)
    reply_status = models.PositiveSmallIntegerField(_("answered"), default=200)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("callback")
        verbose_name_plural = _("callbacks")
        permissions = (("replay_inboundcallback", "Can replay callbacks"),)
        indexes = (
            models.Index(fields=("provider_code", "-id"), name="callback_by_provider"),
            models.Index(
                fields=("next_attempt_at",), name="callback_due", condition=models.Q(state="stored")
            ),
            models.Index(fields=("-received_at",), name="callback_newest"),
            models.Index(
                fields=("order_id",), name="callback_order", condition=models.Q(order_id__isnull=False)
            ),
            models.Index(
                fields=("state", "-id"), name="callback_by_state", condition=~models.Q(state="processed")
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider_code} {self.received_at:%Y-%m-%d %H:%M:%S}"

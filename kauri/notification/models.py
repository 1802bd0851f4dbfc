"""What leaves the house: one durable row per message, each attempt kept."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock, ids
from kauri.core.models import OutboxEvent


class Delivery(models.Model):
    """One message to one target over one channel: the body is fixed when the row is made."""

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", _("Webhook")
        TELEGRAM = "telegram", _("Telegram")
        EMAIL = "email", _("E-mail")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        DELIVERED = "delivered", _("Delivered")
        GONE = "gone", _("Switched off by the receiver")
        DEAD = "dead", _("Given up")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    event = models.ForeignKey(OutboxEvent, models.PROTECT, null=True, related_name="deliveries")
    channel = models.CharField(_("channel"), max_length=8, choices=Channel.choices)
    target = models.TextField(_("to"))
    owner = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="deliveries", verbose_name=_("customer")
    )
    subject_type = models.CharField(_("about"), max_length=32, blank=True, default="")
    subject_id = models.UUIDField(_("about"), null=True)
    title = models.CharField(_("subject"), max_length=200, blank=True, default="")
    body = models.TextField(_("body"))
    #: Rows of a message's buttons, each (words, what a press sends).
    buttons = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    #: The message that this one's text takes the place of.
    replaces = models.ForeignKey("self", models.PROTECT, null=True, related_name="replaced_by")
    #: The receiver's own name for a delivered message.
    receipt = models.CharField(max_length=40, blank=True, default="", db_default="")
    dedupe_key = models.CharField(max_length=200, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=clock.now)
    lease_until = models.DateTimeField(_("taken until"), null=True)
    created_at = models.DateTimeField(_("created"), default=clock.now)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        permissions = (("redeliver_delivery", "Can send deliveries again"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(channel="telegram") | models.Q(replaces__isnull=True, buttons=[]),
                name="delivery_telegram_only",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",), name="delivery_due", condition=models.Q(state="waiting")
            ),
            models.Index(fields=("subject_type", "subject_id", "id"), name="delivery_by_subject"),
            models.Index(
                fields=("subject_id",), name="delivery_by_id", condition=models.Q(subject_id__isnull=False)
            ),
            models.Index(fields=("-created_at",), name="delivery_newest"),
            # Nearly all are webhooks: the rest is far between when a list asks for it alone.
            models.Index(
                fields=("channel", "-id"), name="delivery_by_channel", condition=~models.Q(channel="webhook")
            ),
            models.Index(
                fields=("state", "-id"), name="delivery_by_state", condition=~models.Q(state="delivered")
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.target}"


class DeliveryAttempt(models.Model):
    """One try: when, what came back, how long it took, the first bytes of the answer."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="tries")
    at = models.DateTimeField(_("when"), default=clock.now)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    latency_ms = models.PositiveIntegerField(_("took, ms"), default=0)
    answer = models.CharField(_("answer"), max_length=500, blank=True, default="")
    error = models.CharField(_("error"), max_length=300, blank=True, default="")

    class Meta:
        ordering = ("id",)
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"

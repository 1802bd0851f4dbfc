"""Orders that operators were asked about in Telegram, and where each one's dialogue stands."""

from __future__ import annotations

import secrets
from typing import Final

from django.db import models

from kauri.account.models import User
from kauri.common import clock
from kauri.order_core.models.orders import Approval, ApprovalVote


def new_token() -> str:
    """What a button carries: 24 characters that nobody guesses."""
    return secrets.token_urlsafe(18)


class DecisionAsk(models.Model):
    """A waiting order in one operator's chat. ``shown`` is what they saw (``approvals.as_shown``): when it
    has changed, the token is another one, and the buttons of before are nobody's."""

    class Step(models.TextChoices):
        SHOWN = "shown"
        REASON = "reason"
        CODE = "code"
        ENDED = "ended"

    #: The operator is expected to answer.
    OPEN: Final = (Step.REASON, Step.CODE)

    token = models.CharField(max_length=24, unique=True, default=new_token)
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="asks")
    operator = models.ForeignKey(User, models.PROTECT, related_name="+")
    shown = models.CharField(max_length=64)
    #: Which message it is: an order that was on hold, or another chat, is asked about in a new one.
    round = models.PositiveSmallIntegerField(default=1, db_default=1)
    step = models.CharField(max_length=6, choices=Step.choices, default=Step.SHOWN)
    decision = models.CharField(max_length=8, choices=ApprovalVote.Decision.choices, blank=True, default="")
    reason = models.CharField(max_length=32, blank=True, default="")
    words = models.CharField(max_length=300, blank=True, default="")
    answer_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("approval", "operator"), name="decision_ask_once"),
            models.UniqueConstraint(
                fields=("operator",),
                condition=models.Q(step__in=("reason", "code")),
                name="decision_ask_one_dialogue",
            ),
            models.CheckConstraint(
                condition=models.Q(step__in=("shown", "ended"), answer_until__isnull=True)
                | models.Q(step="reason", answer_until__isnull=False, decision="reject", reason="")
                | models.Q(step="code", answer_until__isnull=False, decision="approve", reason="")
                | models.Q(step="code", answer_until__isnull=False, decision="reject") & ~models.Q(reason=""),
                name="decision_ask_step",
            ),
        )

    def __str__(self) -> str:
        return f"{self.approval_id}/{self.operator_id}"

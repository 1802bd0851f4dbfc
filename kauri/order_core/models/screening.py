"""What transaction analysis was asked and said, and the rules that read its answers."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids
from kauri.common.models import FINITE, ActorStamp, MoneyField
from kauri.core.models import Currency, Provider, Versioned
from kauri.order_core.models.orders import Order
from kauri.payment_provider.models import Payin

#: A score is 0 (clean) to 1, whatever scale the provider has.
SCORE_DIGITS, SCORE_SCALE = 5, 4
_BOUNDS = (MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1)))
LONGEST_WAIT_MINUTES = 7 * 24 * 60


#: Those of the port (kauri/order_core/screener.py, Level).
_LEVELS = (
    ("low", _("low")),
    ("medium", _("medium")),
    ("high", _("high")),
    ("severe", _("severe")),
)


class Outcome(models.TextChoices):
    """What the house makes of an answer."""

    PASS = "pass", _("Clean enough")
    HOLD = "hold", _("Held: a person decides")
    FREEZE = "freeze", _("Frozen")


class ScreeningPolicy(Versioned):
    """How money in one currency is analysed before it is credited. Without a row it is not.

    While the provider does not answer nothing is credited; after ``wait_minutes`` a person decides.
    """

    currency = models.OneToOneField(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    provider = models.ForeignKey(
        Provider,
        models.PROTECT,
        related_name="+",
        verbose_name=_("analysis provider"),
        limit_choices_to={"kind": Provider.Kind.SCREENING},
    )
    is_enabled = models.BooleanField(_("switched on"), default=True)
    min_amount = MoneyField(_("least amount to analyse"), default=Decimal(0))
    hold_score = models.DecimalField(
        _("hold from this score"),
        default=Decimal("0.5"),
        validators=_BOUNDS,
        max_digits=SCORE_DIGITS,
        decimal_places=SCORE_SCALE,
    )
    freeze_score = models.DecimalField(
        _("freeze from this score"),
        default=Decimal("0.9"),
        validators=_BOUNDS,
        max_digits=SCORE_DIGITS,
        decimal_places=SCORE_SCALE,
    )
    freeze_signals = models.CharField(
        _("signals that freeze at once"),
        max_length=300,
        blank=True,
        default="",
        help_text=_("names as the provider says them, with commas between"),
    )
    wait_minutes = models.PositiveIntegerField(
        _("longest wait for an answer, minutes"),
        default=30,
        validators=(MinValueValidator(1), MaxValueValidator(LONGEST_WAIT_MINUTES)),
    )

    class Meta:
        ordering = ("currency__sort",)
        verbose_name = _("analysis rule")
        verbose_name_plural = _("analysis rules")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(
                    hold_score__gte=0, hold_score__lte=models.F("freeze_score"), freeze_score__lte=1
                ),
                name="screening_policy_scores",
            ),
            models.CheckConstraint(
                condition=models.Q(min_amount__gte=0, min_amount__lt=FINITE),
                name="screening_policy_min_amount",
            ),
            models.CheckConstraint(
                condition=models.Q(wait_minutes__gte=1, wait_minutes__lte=LONGEST_WAIT_MINUTES),
                name="screening_policy_wait",
            ),
        )

    def __str__(self) -> str:
        return f"{self.currency}"

    def clean(self) -> None:
        """Only a provider of analysis analyses, and only crypto money can be."""
        if self.provider_id is not None and self.provider.kind != Provider.Kind.SCREENING:
            raise ValidationError({"provider": _("This provider analyses nothing.")})
        if self.currency_id is not None and self.currency.kind != Currency.Kind.CRYPTO:
            raise ValidationError({"currency": _("Only money on a chain can be analysed.")})

    @property
    def freezing(self) -> frozenset[str]:
        """The names in ``freeze_signals``."""
        return frozenset(name.strip().lower() for name in self.freeze_signals.split(",") if name.strip())


class Screening(models.Model):
    """One question to a provider of analysis: of money that came (``payin``), or of a destination."""

    class State(models.TextChoices):
        WAITING = "waiting", _("To be asked")
        PENDING = "pending", _("Asked, no answer yet")
        READY = "ready", _("Answered")
        REFUSED = "refused", _("The provider refuses it")

    OPEN_STATES = ("waiting", "pending")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    order = models.ForeignKey(
        Order, models.PROTECT, null=True, related_name="screenings", verbose_name=_("order")
    )
    payin = models.OneToOneField(
        Payin, models.PROTECT, null=True, related_name="screening", verbose_name=_("payin")
    )
    destination = models.CharField(_("destination"), max_length=128, blank=True, default="")
    network = models.CharField(_("network"), max_length=24, blank=True, default="")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    amount = MoneyField(_("amount"))
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", verbose_name=_("provider"))
    reference = models.CharField(_("provider's id"), max_length=128, blank=True, default="")
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.WAITING)
    score = models.DecimalField(_("score"), null=True, max_digits=SCORE_DIGITS, decimal_places=SCORE_SCALE)
    level = models.CharField(_("level"), max_length=8, blank=True, default="", choices=_LEVELS)
    signals = models.JSONField(_("signals"), default=dict, encoder=DjangoJSONEncoder)
    answer = models.JSONField(_("provider's answer"), default=dict, encoder=DjangoJSONEncoder)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, default="")
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=clock.now)
    outcome = models.CharField(
        _("outcome"), max_length=6, choices=Outcome.choices, blank=True, default="", db_index=True
    )
    decided_by_people = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("made"), default=clock.now)
    asked_at = models.DateTimeField(_("asked"), null=True)
    answered_at = models.DateTimeField(_("answered"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("analysis")
        verbose_name_plural = _("analyses")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(payin__isnull=False, destination="")
                | (models.Q(payin__isnull=True) & ~models.Q(destination="")),
                name="screening_of_one_thing",
            ),
            # Whose money it is: what an operator sees of analyses goes by it.
            models.CheckConstraint(
                condition=models.Q(payin__isnull=True) | models.Q(order__isnull=False),
                name="screening_of_payin_has_order",
            ),
            models.CheckConstraint(
                condition=models.Q(score__isnull=True) | models.Q(score__gte=0, score__lte=1),
                name="screening_score",
            ),
            # Clean is only what was answered.
            models.CheckConstraint(
                condition=~models.Q(outcome="pass", state__in=["waiting", "pending", "refused"])
                | models.Q(decided_by_people=True),
                name="screening_passes_by_answer",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                name="screening_due",
                condition=models.Q(state__in=["waiting", "pending"]),
            ),
            models.Index(fields=("destination", "currency", "-id"), name="screening_destination"),
        )

    def __str__(self) -> str:
        return str(self.public_id)


class ScreeningDecision(ActorStamp):
    """One decision on one analysis, by the rules or by a person. Append-only."""

    screening = models.ForeignKey(Screening, models.PROTECT, related_name="decisions")
    outcome = models.CharField(_("outcome"), max_length=6, choices=Outcome.choices)
    reason = models.TextField(_("reason"))
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("id",)
        verbose_name = _("decision on an analysis")
        verbose_name_plural = _("decisions on analyses")
        constraints = (
            models.CheckConstraint(condition=~models.Q(reason=""), name="screening_decision_says_why"),
        )

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.outcome}"

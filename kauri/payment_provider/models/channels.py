"""How a provider may be used to pay out one currency."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Currency, Provider, Versioned

#: A withdrawal is never split into more payouts than this.
MOST_PARTS = 50
_DAY_SECONDS = 24 * 3600


class Channel(Versioned):
    """One provider's payouts in one currency: their order of choice, bounds, pace, daily cap and hours.

    A provider without a row pays what it can, in its own priority. An empty field sets no bound.
    """

    provider = models.ForeignKey(
        Provider,
        models.PROTECT,
        related_name="channels",
        verbose_name=_("provider"),
        limit_choices_to={"kind": Provider.Kind.PAYMENT},
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", verbose_name=_("currency"))
    is_enabled = models.BooleanField(_("switched on"), default=True)
    priority = models.PositiveSmallIntegerField(
        _("priority"),
        null=True,
        blank=True,
        help_text=_("the lowest number is used first; empty: the provider's own"),
    )
    min_amount = MoneyField(_("least amount of one payout"), null=True, blank=True)
    max_amount = MoneyField(
        _("greatest amount of one payout"),
        null=True,
        blank=True,
        help_text=_("a larger withdrawal is split into parts"),
    )
    max_parts = models.PositiveSmallIntegerField(
        _("parts at most"),
        default=10,
        validators=(MinValueValidator(1), MaxValueValidator(MOST_PARTS)),
    )
    pace_seconds = models.PositiveIntegerField(
        _("wait between payouts, seconds"), default=0, validators=(MaxValueValidator(_DAY_SECONDS),)
    )
    daily_cap = MoneyField(
        _("most in a day"), null=True, blank=True, help_text=_("a day begins at midnight UTC")
    )
    opens_at = models.TimeField(_("opens, UTC"), null=True, blank=True)
    closes_at = models.TimeField(_("closes, UTC"), null=True, blank=True)
    fails_over = models.BooleanField(
        _("a failed payout goes to the next channel"),
        default=True,
    )
    hand_over_minutes = models.PositiveIntegerField(
        _("hand over what waits longer than, minutes"),
        null=True,
        blank=True,
        validators=(MinValueValidator(1), MaxValueValidator(7 * 24 * 60)),
        help_text=_("only what was never sent; empty: it waits here"),
    )

    class Meta:
        ordering = ("currency__sort", "priority", "provider__code")
        verbose_name = _("payout channel")
        verbose_name_plural = _("payout channels")
        constraints = (
            models.UniqueConstraint(fields=("provider", "currency"), name="channel_once"),
            models.CheckConstraint(
                condition=(
                    models.Q(min_amount__isnull=True) | models.Q(min_amount__gt=0, min_amount__lt=FINITE)
                )
                & (models.Q(max_amount__isnull=True) | models.Q(max_amount__gt=0, max_amount__lt=FINITE))
                & (models.Q(daily_cap__isnull=True) | models.Q(daily_cap__gt=0, daily_cap__lt=FINITE)),
                name="channel_amounts",
            ),
            models.CheckConstraint(
                condition=models.Q(min_amount__isnull=True)
                | models.Q(max_amount__isnull=True)
                | models.Q(min_amount__lte=models.F("max_amount")),
                name="channel_bounds",
            ),
            models.CheckConstraint(
                condition=models.Q(max_parts__gte=1, max_parts__lte=MOST_PARTS), name="channel_parts"
            ),
            models.CheckConstraint(
                condition=models.Q(opens_at__isnull=True, closes_at__isnull=True)
                | (
                    models.Q(opens_at__isnull=False, closes_at__isnull=False)
                    & ~models.Q(opens_at=models.F("closes_at"))
                ),
                name="channel_hours",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider}, {self.currency}"

    def clean(self) -> None:
        """Say in words what the constraints hold."""
        if self.min_amount is not None and self.max_amount is not None and self.min_amount > self.max_amount:
            raise ValidationError({"max_amount": _("This is less than the least amount.")})
        if (self.opens_at is None) != (self.closes_at is None):
            raise ValidationError({"closes_at": _("Hours have a beginning and an end.")})
        if self.opens_at is not None and self.opens_at == self.closes_at:
            raise ValidationError({"closes_at": _("A channel that is always open has no hours.")})

    def pieces(self, amount: Decimal, scale: int) -> list[Decimal] | None:
        """``amount`` as payouts within the bounds, as few as can be; None when it can't be paid here.

        Each piece has ``scale`` digits, and they add up to ``amount`` exactly.
        """
        least, most = self.min_amount or Decimal(0), self.max_amount
        if most is None or amount <= most:
            found = [amount]
        else:
            count = int((amount / most).to_integral_value(ROUND_CEILING))
            if count > self.max_parts:
                return None
            found, rest = [], amount
            for left in reversed(range(count)):
                # As much as fits, but so that each of the others still reaches the least amount.
                piece = min(most, rest - least * left).quantize(Decimal(1).scaleb(-scale))
                found.append(piece)
                rest -= piece
        fits = all(piece >= least and (self.daily_cap is None or piece <= self.daily_cap) for piece in found)
        return found if fits else None

    def next_opening(self, at: datetime) -> datetime:
        """``at`` when it lies within the hours, else when they begin next. Hours may pass midnight."""
        if self.opens_at is None or self.closes_at is None:
            return at
        now = at.astimezone(UTC)
        if _within(now.time(), self.opens_at, self.closes_at):
            return at
        opening = datetime.combine(now.date(), self.opens_at, UTC)
        return opening if opening > now else opening + timedelta(days=1)


def _within(moment: time, opens: time, closes: time) -> bool:
    if opens < closes:
        return opens <= moment < closes
    return moment >= opens or moment < closes

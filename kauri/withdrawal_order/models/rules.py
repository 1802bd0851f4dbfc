"""The rules that send a withdrawal to people."""

from __future__ import annotations

import re
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import CustomerGroup
from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Currency, Versioned

MOST_APPROVALS: Final = 3
#: A year: nobody looks back further.
MOST_HOURS: Final = 24 * 366
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


class ReviewRule(Versioned):
    """One rule: what it looks at, from which threshold on, and how many people must approve then.

    A rule that can't be evaluated counts as hit. Without rules nothing but the policy sends a
    withdrawal to people.
    """

    class Kind(models.TextChoices):
        AMOUNT = "amount", _("amount above")
        SUM = "sum", _("sum of the last hours above")
        COUNT = "count", _("number of withdrawals of the last hours above")
        NEW_DESTINATION = "new_destination", _("a destination never paid before")
        LEVEL = "level", _("verification level below")
        COUNTRY_IN = "country_in", _("country of the address is listed")
        COUNTRY_NOT_IN = "country_not_in", _("country of the address is not listed")
        RISK = "risk", _("risk score of the destination from")
        YOUNG = "young", _("account younger than hours")

    class Unit(models.TextChoices):
        CURRENCY = "currency", _("the order's currency")
        USD = "usd", _("US dollars")

    #: Kinds that compare with ``threshold``, that look over ``hours``, that read ``countries``.
    WITH_THRESHOLD = ("amount", "sum", "count", "level", "risk")
    WITH_HOURS = ("sum", "count", "young")
    WITH_COUNTRIES = ("country_in", "country_not_in")
    WITH_UNIT = ("amount", "sum")

    kind = models.CharField(_("rule"), max_length=16, choices=Kind.choices)
    currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("currency")
    )
    group = models.ForeignKey(
        CustomerGroup, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("group")
    )
    threshold = MoneyField(_("threshold"), null=True, blank=True)
    unit = models.CharField(
        _("threshold is in"), max_length=8, choices=Unit.choices, default=Unit.CURRENCY, blank=True
    )
    hours = models.PositiveIntegerField(
        _("hours"), null=True, blank=True, validators=(MinValueValidator(1), MaxValueValidator(MOST_HOURS))
    )
    countries = models.CharField(
        _("countries"),
        max_length=800,
        blank=True,
        default="",
        help_text=_("two letters each, with commas between"),
    )
    approvals_needed = models.PositiveSmallIntegerField(
        _("approvals needed"),
        default=1,
        validators=(MinValueValidator(1), MaxValueValidator(MOST_APPROVALS)),
    )
    is_enabled = models.BooleanField(_("switched on"), default=True)

    class Meta:
        ordering = ("id",)
        verbose_name = _("review rule")
        verbose_name_plural = _("review rules")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(approvals_needed__gte=1, approvals_needed__lte=MOST_APPROVALS),
                name="review_rule_approvals",
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(
                        kind__in=["amount", "sum", "count", "level", "risk"],
                        threshold__isnull=False,
                        threshold__gte=0,
                        threshold__lt=FINITE,
                    )
                    | models.Q(
                        kind__in=["new_destination", "country_in", "country_not_in", "young"],
                        threshold__isnull=True,
                    )
                ),
                name="review_rule_threshold",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="risk") | models.Q(threshold__lte=1), name="review_rule_score"
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(
                        kind__in=["sum", "count", "young"],
                        hours__isnull=False,
                        hours__gte=1,
                        hours__lte=MOST_HOURS,
                    )
                    | (~models.Q(kind__in=["sum", "count", "young"]) & models.Q(hours__isnull=True))
                ),
                name="review_rule_hours",
            ),
            models.CheckConstraint(
                condition=(
                    (models.Q(kind__in=["country_in", "country_not_in"]) & ~models.Q(countries=""))
                    | (~models.Q(kind__in=["country_in", "country_not_in"]) & models.Q(countries=""))
                ),
                name="review_rule_countries",
            ),
            models.CheckConstraint(
                condition=models.Q(unit="currency") | models.Q(unit="usd", kind__in=["amount", "sum"]),
                name="review_rule_unit",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.currency or _('every currency')}, {self.group or _('everyone')}"

    def clean(self) -> None:
        """Each kind has its own fields, and no others."""
        faults: dict[str, object] = {}
        for name, kinds in (("threshold", self.WITH_THRESHOLD), ("hours", self.WITH_HOURS)):
            if (getattr(self, name) is None) is (self.kind in kinds):
                faults[name] = _("Needed here.") if self.kind in kinds else _("This rule has none.")
        listed = self.listed
        if bool(self.countries.strip()) is not (self.kind in self.WITH_COUNTRIES):
            faults["countries"] = (
                _("Needed here.") if self.kind in self.WITH_COUNTRIES else _("This rule has none.")
            )
        elif not all(_COUNTRY.fullmatch(country) for country in listed):
            faults["countries"] = _("Two letters each, with commas between.")
        if self.unit == self.Unit.USD and self.kind not in self.WITH_UNIT:
            faults["unit"] = _("Only amounts are in dollars.")
        if self.kind == self.Kind.RISK and self.threshold is not None and self.threshold > 1:
            faults["threshold"] = _("A score is from 0 to 1.")
        if faults:
            raise ValidationError(faults)

    @property
    def listed(self) -> frozenset[str]:
        """The countries in ``countries``."""
        return frozenset(part.strip().upper() for part in self.countries.split(",") if part.strip())

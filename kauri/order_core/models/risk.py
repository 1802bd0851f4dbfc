"""How much one operator may approve, and how often a second person looks at what they approved."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Final

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common.models import FINITE, MoneyField
from kauri.core.models import Versioned

#: An order's draw is one of these many numbers; a share of 12.34 % is hit by 1,234 of them.
DRAWS: Final = 10_000
_SHARE: Final = (MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100)))


def draw() -> int:
    """The number by which an order is picked for a second look: drawn when it comes, kept for good."""
    return secrets.randbelow(DRAWS)


class OperatorLimit(Versioned):
    """What an operator, or everyone of a role, may approve alone. An empty field says nothing.

    Each field is taken from the operator's own row; where that says nothing, the strictest of their
    roles' rows counts.
    """

    role = models.OneToOneField(
        Group, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("role")
    )
    operator = models.OneToOneField(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("operator"),
        limit_choices_to={"is_staff": True},
    )
    per_approval = MoneyField(_("most per approval, USD"), null=True, blank=True)
    per_day = MoneyField(
        _("most in 24 hours, USD"),
        null=True,
        blank=True,
        help_text=_("all that the operator has approved in the last 24 hours"),
    )
    code_above = MoneyField(
        _("one-time code above, USD"),
        null=True,
        blank=True,
        help_text=_("approving more than this asks for the operator's code again"),
    )
    second_look = models.DecimalField(
        _("second look at, %"),
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=_SHARE,
        help_text=_("share of the approvals that need one more person, picked at random"),
    )

    class Meta:
        ordering = ("id",)
        verbose_name = _("operator limit")
        verbose_name_plural = _("operator limits")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(role__isnull=False, operator__isnull=True)
                | models.Q(role__isnull=True, operator__isnull=False),
                name="operator_limit_of_one",
                violation_error_message=_("Name a role or an operator, not both."),
            ),
            models.CheckConstraint(
                condition=models.Q(per_approval__isnull=True)
                | models.Q(per_approval__gte=0, per_approval__lt=FINITE),
                name="operator_limit_per_approval",
            ),
            models.CheckConstraint(
                condition=models.Q(per_day__isnull=True) | models.Q(per_day__gte=0, per_day__lt=FINITE),
                name="operator_limit_per_day",
            ),
            models.CheckConstraint(
                condition=models.Q(code_above__isnull=True)
                | models.Q(code_above__gte=0, code_above__lt=FINITE),
                name="operator_limit_code_above",
            ),
            models.CheckConstraint(
                condition=models.Q(second_look__isnull=True)
                | models.Q(second_look__gte=0, second_look__lte=100),
                name="operator_limit_second_look",
            ),
        )

    def __str__(self) -> str:
        return str(self.operator or self.role)

    def clean(self) -> None:
        """Only operators approve."""
        if self.operator is not None and not self.operator.is_staff:
            raise ValidationError({"operator": _("This is not an operator.")})

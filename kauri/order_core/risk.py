"""The risk that an operator is: what they may approve alone, whose orders they may not, who looks again.

Asked under the locks of :func:`kauri.order_core.approvals.vote`; asked by the pages for their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext as _

from kauri.account.models import VerificationCase
from kauri.common import clock
from kauri.common.actor import ActorKind
from kauri.common.errors import KauriError
from kauri.common.money import ZERO, plain
from kauri.core.models import AuditEntry
from kauri.exchange_rate.selectors import usd_value
from kauri.order_core.models import DRAWS, Approval, ApprovalVote, OperatorLimit, Order, Policy
from kauri.payment_card.models import PaymentCard

#: Limits of a day look back so far; so long an operator stays away from an account that they edited.
DAY: Final = timedelta(hours=24)
_CENT: Final = Decimal("0.01")
#: Entries of the audit that tell of looking, not of changing.
_LOOKING: Final = Q(verb__endswith="_view") | Q(verb="cards_find")


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one operator, field by field; None where nobody says anything."""

    per_approval: Decimal | None
    per_day: Decimal | None
    second_look: Decimal | None
    code_above: Decimal | None = None

    @property
    def in_dollars(self) -> bool:
        return self.per_approval is not None or self.per_day is not None


def limits_of(operator_id: int) -> Limits:
    """The operator's own row, and where that is silent the strictest of their roles. One query."""
    rows = list(
        OperatorLimit.objects.filter(
            Q(operator=operator_id) | Q(role__user=operator_id, operator__isnull=True)
        ).distinct()
    )

    def strictest(name: str, *, least: bool) -> Decimal | None:
        own = [getattr(row, name) for row in rows if row.operator_id is not None]
        if own and own[0] is not None:
            return Decimal(own[0])
        said = [getattr(row, name) for row in rows if row.operator_id is None]
        known = [value for value in said if value is not None]
        if not known:
            return None
        return Decimal(min(known) if least else max(known))

    return Limits(
        strictest("per_approval", least=True),
        strictest("per_day", least=True),
        strictest("second_look", least=False),
        strictest("code_above", least=True),
    )


def check(order: Order, operator_id: int, limits: Limits) -> Decimal | None:
    """Raise unless this operator may approve this order now; what it is worth in US dollars, if known.

    The caller holds the operator's row lock: two approvals at once are weighed one after the other.
    Raises ``edited_today``, ``approval_limit_exceeded``, and ``rate_unavailable`` where a limit can't
    be compared.
    """
    if edited_lately(order, operator_id):
        raise KauriError("edited_today", "the operator changed this customer's account in the last 24 hours")
    usd = _worth(order, required=limits.in_dollars)
    if usd is None or not limits.in_dollars:
        return usd
    found = _excess(usd, operator_id, limits)
    if found is not None:
        used, bound = found
        said = f"{plain(usd)} USD is above {plain(bound)} USD per approval"
        if used is not None:
            said = f"{plain(used)} + {plain(usd)} USD is above {plain(bound)} USD in 24 hours"
        raise KauriError("approval_limit_exceeded", said)
    return usd


def asks_code(usd: Decimal | None, limits: Limits) -> bool:
    """Whether the operator must prove anew that it is them; so it is too where nobody knows the worth."""
    return limits.code_above is not None and (usd is None or usd > limits.code_above)


def needs_code(order: Order, operator_id: int) -> bool:
    """What the page asks for beside the button."""
    return asks_code(_worth(order, required=False), limits_of(operator_id))


def is_picked(approval: Approval, limits: Limits) -> bool:
    """Whether one more person must look at what this operator approves: by the order's draw alone."""
    return limits.second_look is not None and approval.draw < int(limits.second_look * DRAWS / 100)


def edited_lately(order: Order, operator_id: int) -> bool:
    """Whether the operator changed an account of this order (either side) in the last 24 hours.

    Its profile and security, its verification, its cards, and policies of its own.
    """
    people = [pk for pk in (order.owner_id, order.counterparty_id) if pk is not None]
    acts = AuditEntry.objects.filter(
        actor_kind=ActorKind.OPERATOR.value, actor_id=str(operator_id), at__gt=clock.now() - DAY
    ).exclude(_LOOKING)
    kinds = set(acts.order_by().values_list("object_type", flat=True).distinct())
    about = Q(object_type="user", object_id__in=[str(pk) for pk in people])
    if "verification_case" in kinds:
        cases = VerificationCase.objects.filter(user__in=people).values_list("pk", flat=True)
        about |= Q(object_type="verification_case", object_id__in=[str(pk) for pk in cases])
    if "payment_card" in kinds:
        cards = PaymentCard.objects.filter(customer__in=people).values_list("token", flat=True)
        about |= Q(object_type="payment_card", object_id__in=[str(token) for token in cards])
    if "policy" in kinds:
        rows = Policy.objects.filter(user__in=people).values_list("pk", flat=True)
        about |= Q(object_type="policy", object_id__in=[str(pk) for pk in rows])
        # A new row's proposal is on record under its own id, with what the row shall say.
        about |= Q(object_type="policy", after__user__in=[*people, *(str(pk) for pk in people)])
    return acts.filter(about).exists()


def approved_lately(operator_id: int) -> Decimal:
    """What the operator has approved in the last 24 hours, in US dollars of each vote's own moment.

    A vote that was cast while nobody knew the rate is worth what it is now. Raises ``rate_unavailable``.
    """
    votes = ApprovalVote.objects.filter(
        actor_kind=ActorKind.OPERATOR.value,
        actor_id=str(operator_id),
        decision=ApprovalVote.Decision.APPROVE,
        at__gt=clock.now() - DAY,
    ).select_related("approval__order__currency_out")
    total = ZERO
    for vote in votes:
        order = vote.approval.order
        total += vote.usd if vote.usd is not None else usd_value(order.currency_out, order.amount_out).exact
    return total


def obstacle(order: Order, operator_id: int) -> str:
    """Why this operator can't approve this order, in words for the page; empty when they can."""
    if edited_lately(order, operator_id):
        return _("You changed this customer's account in the last 24 hours: somebody else approves.")
    limits = limits_of(operator_id)
    if not limits.in_dollars:
        return ""
    try:
        usd = usd_value(order.currency_out, order.amount_out)
        found = _excess(usd.exact, operator_id, limits)
    except KauriError:
        return _("Your limit is in US dollars, and nobody knows the rate now: set the rate first.")
    if found is None:
        return ""
    used, bound = found
    figures = {"usd": usd.usd, "bound": plain(bound), "used": ZERO if used is None else used.quantize(_CENT)}
    if used is None:
        return _("It is worth %(usd)s USD; you may approve up to %(bound)s USD at once.") % figures
    return (
        _("It is worth %(usd)s USD; of your %(bound)s USD in 24 hours you have approved %(used)s USD.")
        % figures
    )


def _excess(usd: Decimal, operator_id: int, limits: Limits) -> tuple[Decimal | None, Decimal] | None:
    """(what was approved before, where the day is full; the limit that is exceeded), or None."""
    if limits.per_approval is not None and usd > limits.per_approval:
        return None, limits.per_approval
    if limits.per_day is not None:
        used = approved_lately(operator_id)
        if used + usd > limits.per_day:
            return used, limits.per_day
    return None


def _worth(order: Order, *, required: bool) -> Decimal | None:
    try:
        return usd_value(order.currency_out, order.amount_out).exact
    except KauriError:
        if required:
            raise
        return None

"""Reading withdrawals: the queue, and everything one decision needs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth.models import Permission
from django.db.models import Count, Max, Min, Prefetch, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from kauri.account.models import SignIn, User, VerificationDecision
from kauri.balance.selectors import CustomerBalance, customer_balances, order_transfers
from kauri.common import clock
from kauri.common.actor import ActorKind
from kauri.common.money import ZERO
from kauri.common.scopes import EVERYTHING, Scope, narrow
from kauri.notification.models import Delivery
from kauri.order_core.models import Approval, ApprovalVote, Order, OrderNote, Transition
from kauri.order_core.selectors import NOT_COUNTED
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.known import saved_destinations
from kauri.withdrawal_order.models import SavedDestination, WithdrawalDetail, WithdrawalPart

APPROVE: Final = "withdrawal_order.approve_withdrawaldetail"
OVERDUE_AFTER: Final = timedelta(minutes=30)
#: A payout that has been open for so long hangs; retries are never further apart than ``ON_PURPOSE``.
HANGS_AFTER: Final = timedelta(hours=1)
ON_PURPOSE: Final = timedelta(minutes=11)
#: For pages of orders: the parts of all of them, with their payouts, in one query.
WITHDRAWAL_PARTS: Final = Prefetch(
    "withdrawal__parts", queryset=WithdrawalPart.objects.select_related("payout")
)
#: Pages open no card's number.
NUMBER: Final = "sealed_number"
_LAST_ORDERS = 10
_OTHERS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class QueueState:
    """How long the queue is, since when its head waits, and how many wait too long."""

    count: int
    oldest: datetime | None
    overdue: int


@dataclass(frozen=True, slots=True)
class DestinationHistory:
    """What the house knows of an address: this customer's own use, and anybody else's."""

    own_count: int
    own_done: int
    first_used: datetime | None
    last_used: datetime | None
    others: list[tuple[User, int]]

    @property
    def is_new(self) -> bool:
        return self.own_count == 0


@dataclass(frozen=True, slots=True)
class Total:
    """What the customer took out in this currency in the last ``days``, this order included."""

    days: int
    amount: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Whether the order's address and device were seen in the customer's own sign-ins before."""

    ip_known: bool
    device_known: bool
    sign_ins: list[SignIn]


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything on the page of one withdrawal."""

    detail: WithdrawalDetail
    parts: list[WithdrawalPart]
    order: Order
    approval: Approval | None
    votes: list[ApprovalVote]
    destination: DestinationHistory
    saved: SavedDestination | None
    balance: CustomerBalance | None
    totals: list[Total]
    origin: Origin
    verifications: list[VerificationDecision]
    last_orders: list[Order]
    transfers: list[Any]
    deliveries: list[Delivery]
    notes: list[OrderNote]
    moves: list[Transition]

    def has_voted(self, user_id: int) -> bool:
        return any(vote.actor_kind == "operator" and vote.actor_id == str(user_id) for vote in self.votes)


def orders() -> QuerySet[Order]:
    """Withdrawals with all that their bodies and services read."""
    return Order.objects.filter(type=OrderType.WITHDRAWAL).select_related(
        "owner",
        "currency_in",
        "currency_out",
        "fee_currency",
        "withdrawal__provider",
        "withdrawal__network",
        "split_from",
    )


def without_numbers(found: QuerySet[Order]) -> QuerySet[Order]:
    """Orders for a page."""
    return found.defer(f"withdrawal__{NUMBER}")


def parts_of(detail: WithdrawalDetail, scope: Scope = EVERYTHING) -> list[WithdrawalPart]:
    """A withdrawal's parts as they stand now, each with its payout; those whose payouts ``scope`` holds."""
    parts = detail.parts.select_related("payout__provider", "payout__currency", "payout__cost_currency")
    if scope.is_limited:
        parts = parts.filter(payout__in=narrow(Payout.objects.all(), scope))
    return list(parts)


def hanging(now: datetime) -> Q:
    """Orders' payouts whose end is not known, or that have been open for long without waiting on purpose."""
    slow = Q(state__in=Payout.OPEN_STATES, created_at__lt=now - HANGS_AFTER)
    # What waits for its channel's hours or cap is asked again much later than any retry.
    waits = Q(state=Payout.State.UNKNOWN) | slow & Q(next_attempt_at__lt=now + ON_PURPOSE)
    return Q(order_id__isnull=False) & waits


def queue() -> QuerySet[Approval]:
    """Withdrawals that wait for a person, the oldest first; those on hold wait for something else."""
    return Approval.objects.filter(
        state=Approval.State.PENDING, held_at__isnull=True, order__type=OrderType.WITHDRAWAL
    ).order_by("created_at", "id")


def queue_state(scope: Scope = EVERYTHING) -> QueueState:
    """One query over the partial index of waiting approvals, those that an operator of ``scope`` sees."""
    found = narrow(queue(), scope).aggregate(
        count=Count("id"),
        oldest=Min("created_at"),
        overdue=Count("id", filter=Q(created_at__lt=clock.now() - OVERDUE_AFTER)),
    )
    return QueueState(count=found["count"], oldest=found["oldest"], overdue=found["overdue"])


def next_waiting(
    operator_id: int, after: uuid.UUID | None = None, scope: Scope = EVERYTHING
) -> uuid.UUID | None:
    """The next withdrawal that this operator can decide on: not theirs, not taken, not voted on.

    The oldest one; with ``after``, the one that came after that order, and the oldest when it was
    the last.
    """
    waiting = (
        narrow(queue(), scope)
        .filter(Q(taken_by__isnull=True) | Q(taken_by_id=operator_id))
        .exclude(order__owner_id=operator_id)
        .exclude(votes__actor_kind="operator", votes__actor_id=str(operator_id))
        .values_list("order__public_id", flat=True)
    )
    if after is not None:
        waiting = waiting.exclude(order__public_id=after)
    here = Approval.objects.filter(order__public_id=after).first() if after is not None else None
    if here is None:
        return waiting.first()
    later = Q(created_at__gt=here.created_at) | Q(created_at=here.created_at, id__gt=here.pk)
    return waiting.filter(later).first() or waiting.first()


def waiting_approval(order_id: uuid.UUID) -> Approval | None:
    """The order's approval with whoever took it or put it aside; how it stands now."""
    return (
        Approval.objects.select_related("taken_by", "held_by", "order")
        .filter(order__public_id=order_id)
        .first()
    )


def obstacle(order: Order, approval: Approval, operator_id: int, voted: bool) -> str:
    """Why this operator cannot decide on a waiting order; empty when they can. The service decides."""
    if order.owner_id == operator_id:
        return _("This is your own order: somebody else decides.")
    if voted:
        return _("You have approved it. Another person has to approve it as well.")
    if approval.held_by is not None:
        return _("On hold: nobody decides until it is back in the queue.")
    if approval.taken_by is not None and approval.taken_by.pk != operator_id:
        return _("%(who)s has taken it. Release it first if you must decide.") % {"who": approval.taken_by}
    return ""


def can_decide(operator: User, order: Order) -> bool:
    """Whether the order could be handed to ``operator``: may approve, sees it, no party to it, no vote yet."""
    return (
        operator.is_staff
        and operator.is_active
        and operator.has_perm(APPROVE)
        and operator.pk != order.owner_id
        and narrow(Order.objects.filter(pk=order.pk), operator.scope).exists()
        and not ApprovalVote.objects.filter(
            approval__order=order, actor_kind=ActorKind.OPERATOR.value, actor_id=str(operator.pk)
        ).exists()
    )


def deciders(operator_id: int) -> QuerySet[User]:
    """The operators whose roles allow them to approve withdrawals, but for ``operator_id``. One query."""
    app_label, _dot, codename = APPROVE.partition(".")
    allowed = Permission.objects.filter(content_type__app_label=app_label, codename=codename)
    return (
        User.objects.filter(
            Q(is_superuser=True) | Q(groups__permissions__in=allowed),
            is_staff=True,
            is_active=True,
        )
        .exclude(pk=operator_id)
        .order_by("email")
        .distinct()
    )


def details() -> QuerySet[WithdrawalDetail]:
    """Withdrawals with all that their page names."""
    return WithdrawalDetail.objects.select_related(
        "order__owner__group",
        "order__currency_in",
        "order__currency_out",
        "order__fee_currency",
        "order__approval__taken_by",
        "order__approval__held_by",
        "order__split_from",
        "network",
        "provider",
        "screening__currency",
        "screening__provider",
    ).defer(NUMBER)


def decision(detail: WithdrawalDetail, scope: Scope = EVERYTHING) -> Decision:
    """The whole of one withdrawal (a row of :func:`details`), as far as an operator of ``scope`` sees.

    A constant number of queries.
    """
    order = detail.order
    approval: Approval | None = getattr(order, "approval", None)
    balances = {found.currency.pk: found for found in customer_balances(order.owner_id)}
    return Decision(
        detail=detail,
        parts=parts_of(detail, scope),
        order=order,
        approval=approval,
        votes=list(approval.votes.all()) if approval is not None else [],
        destination=_destination(detail, scope),
        saved=saved_destinations(order.owner_id)
        .filter(
            currency=order.currency_out,
            network=detail.network,
            destination=detail.destination,
            confirmed_at__isnull=False,
        )
        .first(),
        balance=balances.get(order.currency_in_id),
        totals=_totals(order),
        origin=_origin(order),
        verifications=list(order.owner.verification_decisions.order_by("-id")[:_OTHERS_SHOWN]),
        last_orders=_last_orders(order, scope),
        transfers=order_transfers(order.public_id),
        deliveries=list(
            narrow(Delivery.objects.filter(subject_type="order", subject_id=order.public_id), scope).order_by(
                "-id"
            )[:_LAST_ORDERS]
        ),
        notes=list(order.notes.order_by("-id")),
        moves=list(order.transitions.order_by("id")),
    )


def _destination(detail: WithdrawalDetail, scope: Scope) -> DestinationHistory:
    same = WithdrawalDetail.objects.filter(destination=detail.destination)
    own = narrow(same, scope).filter(order__owner_id=detail.order.owner_id).exclude(pk=detail.pk)
    found = own.aggregate(
        count=Count("pk"),
        done=Count("pk", filter=Q(order__status=OrderStatus.CLOSED)),
        first=Min("order__created_at"),
        last=Max("order__created_at"),
    )
    others = list(
        narrow(User.objects.filter(orders__withdrawal__in=narrow(same, scope).values("pk")), scope)
        .exclude(pk=detail.order.owner_id)
        .annotate(times=Count("orders"))
        .order_by("-times", "pk")[:_OTHERS_SHOWN]
    )
    return DestinationHistory(
        own_count=found["count"],
        own_done=found["done"],
        first_used=found["first"],
        last_used=found["last"],
        others=[(user, user.times) for user in others],
    )


def _totals(order: Order) -> list[Total]:
    now = clock.now()
    day, month = now - timedelta(days=1), now - timedelta(days=30)
    counted = Order.objects.filter(
        owner_id=order.owner_id,
        type=OrderType.WITHDRAWAL,
        currency_out_id=order.currency_out_id,
        created_at__gt=month,
    ).exclude(status__in=NOT_COUNTED)
    found = counted.aggregate(
        day=Sum("amount_out", filter=Q(created_at__gt=day)),
        day_count=Count("id", filter=Q(created_at__gt=day)),
        month=Sum("amount_out"),
        month_count=Count("id"),
    )
    return [
        Total(days=1, amount=found["day"] or ZERO, count=found["day_count"]),
        Total(days=30, amount=found["month"] or ZERO, count=found["month_count"]),
    ]


def _origin(order: Order) -> Origin:
    seen = SignIn.objects.filter(user_id=order.owner_id, succeeded=True, at__lte=order.created_at)
    found = seen.aggregate(
        ip=Count("id", filter=Q(ip=order.ip)) if order.ip else Count("id", filter=Q(pk__lt=0)),
        device=Count("id", filter=Q(user_agent=order.user_agent)),
    )
    return Origin(
        ip_known=bool(found["ip"]),
        device_known=bool(order.user_agent and found["device"]),
        sign_ins=list(SignIn.objects.filter(user_id=order.owner_id).order_by("-id")[:_OTHERS_SHOWN]),
    )


def _last_orders(order: Order, scope: Scope) -> list[Order]:
    return list(
        narrow(Order.objects.filter(owner_id=order.owner_id), scope)
        .exclude(pk=order.pk)
        .select_related("currency_in", "currency_out")
        .order_by("-created_at", "-id")[:_LAST_ORDERS]
    )

"""Orders that wait, told to each linked operator who may decide on them: in private, with buttons, and to the end.

What is shown here and pressed there is decided by the very services of the pages (:mod:`kauri.order_core.dialog`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from kauri.account.models import User
from kauri.common.errors import LANGUAGES, KauriError
from kauri.common.locks import lock
from kauri.common.money import plain
from kauri.common.scopes import narrow
from kauri.core.models import OutboxEvent
from kauri.exchange_rate.selectors import usd_value
from kauri.notification.models import Delivery
from kauri.order_core import risk
from kauri.order_core.models import Approval, ApprovalVote, DecisionAsk, Order, new_token
from kauri.order_core.reasons import rule_text
from kauri.order_core.selectors import happened
from kauri.order_core.states import OrderType

Buttons = list[list[tuple[str, str]]]
#: What a press says first; the ask's token follows after a colon. Telegram allows 64 bytes.
APPROVE: Final = "a"
REJECT: Final = "r"
_ID_SHOWN: Final = 8
#: About so many orders an operator is asked at once when they are tied; so many are looked at to find them.
TIED_AT_MOST: Final = 20
_LOOKED_AT: Final = 60


@dataclass(frozen=True, slots=True)
class Room:
    """How orders of one type are shown and decided on. ``title`` and ``target``: where the money would go, in
    short; ``done``: what is said once it is approved; ``shown``: all that is decided on, as one text that the services compare under their lock."""

    type: OrderType
    orders: Callable[[], QuerySet[Order]]
    may_approve: str
    may_reject: str
    approve: Callable[..., Order]
    reject: Callable[..., Order]
    title: Any
    done: Any
    target: Callable[[Order], str]
    shown: Callable[[Order], str]


_ROOMS: Final[dict[str, Room]] = {}


def open_rooms(rooms: Iterable[Room]) -> None:
    """Say once, at the start, what operators are asked about."""
    _ROOMS.clear()
    _ROOMS.update({room.type: room for room in rooms})


def room_of(approval: Approval) -> tuple[Room, Order]:
    """The room that decides on the order, and the order with all that it reads. ``not_found`` for other types."""
    room = _ROOMS.get(approval.order.type)
    if room is None:
        raise KauriError("not_found")
    return room, room.orders().get(pk=approval.order_id)


def ask(event: OutboxEvent) -> list[dict[str, Any]]:
    """Messages to the operators who may decide on what has begun to wait, each with a token of its own."""
    approval = _waiting(event)
    return [] if approval is None else _to_all(approval)


def ask_anew(event: OutboxEvent) -> list[dict[str, Any]]:
    """The same of an order that was on hold: a message of its own, and the ones of before have no buttons."""
    approval = _waiting(event)
    if approval is None:
        return []
    _room, order = room_of(approval)
    asked = lock(DecisionAsk.objects.filter(approval=approval).exclude(step=DecisionAsk.Step.ENDED))
    return [*(_put_away(row, order, event) for row in asked), *_to_all(approval)]


def ask_tied(event: OutboxEvent) -> list[dict[str, Any]]:
    """Messages to an operator who has just been tied, about what waits already and is theirs to decide.

    The head of the queue, as the desk has it, up to :data:`TIED_AT_MOST`; what this chat was asked already is
    not asked again.
    """
    tied = User.objects.filter(public_id=event.subject_id, is_staff=True, is_active=True)
    operator = tied.filter(telegram_id__isnull=False).first()
    if operator is None or not settings.KAURI.telegram_token:
        return []
    types = [name for name, room in _ROOMS.items() if operator.has_perm(room.may_approve)]
    queue = Approval.objects.filter(
        state=Approval.State.PENDING, held_at__isnull=True, order__type__in=types
    ).order_by("created_at", "id")
    head = narrow(queue, operator.scope).values_list("pk", flat=True)[:_LOOKED_AT]
    messages: list[dict[str, Any]] = []
    count = 0
    found = lock(Approval.objects.filter(pk__in=list(head), state=Approval.State.PENDING))
    for approval in sorted(found, key=lambda row: (row.created_at, row.pk)):
        room, order = room_of(approval)
        row = DecisionAsk.objects.filter(approval=approval, operator=operator).first()
        if approval.held_at is not None or (row is not None and _knows(row, operator)):
            continue
        if outcome(room, order, approval, operator) or not may_decide(room, order, operator):
            continue
        if count == TIED_AT_MOST:
            messages.append(_more(operator, event))
            break
        if row is not None:
            messages.append(_put_away(row, order, event))
        messages.append(_asked(room, order, approval, operator))
        count += 1
    return messages


def tell(event: OutboxEvent) -> list[dict[str, Any]]:
    """What an earlier message shall read now that somebody has decided, or something has changed."""
    asked = list(lock(DecisionAsk.objects.filter(approval__order__public_id=event.subject_id)))
    if not asked:
        return []
    # Read behind the lock: of two decisions in a row the later one has the last word.
    approval = Approval.objects.get(pk=asked[0].approval_id)
    room, order = room_of(approval)
    sent = Delivery.objects.in_bulk([_name(row) for row in asked], field_name="dedupe_key")
    messages = []
    for row in asked:
        with speaking(row.operator):
            ended = outcome(room, order, approval, row.operator)
            now = room.shown(order)
            if ended:
                row.step, row.answer_until = DecisionAsk.Step.ENDED, None
            elif now != row.shown or paused(approval, row.operator):
                row.step, row.answer_until = DecisionAsk.Step.SHOWN, None
            if not ended and now != row.shown:
                row.token, row.shown = new_token(), now
            row.save(update_fields=["step", "answer_until", "token", "shown"])
            messages.append(
                {
                    "channel": Delivery.Channel.TELEGRAM,
                    "target": sent[_name(row)].target,
                    "replaces": sent[_name(row)],
                    **_reads(room, order, approval, row),
                    "dedupe_key": f"{_name(row)}:{event.pk}",
                }
            )
    return messages


def paused(approval: Approval, operator: User) -> str:
    """Why this operator does not decide on what waits, as long as it is so: on hold, or another has it."""
    is_free = approval.taken_by_id in (None, operator.pk)
    return "" if approval.held_at is None and is_free else happened(approval)


def may_decide(room: Room, order: Order, operator: User) -> bool:
    """Whether this operator may approve the order as things stand: right, view, limits, nobody's own money."""
    return (
        operator.pk not in (order.owner_id, order.counterparty_id)
        and operator.has_perm(room.may_approve)
        and sees(operator, order)
        and not risk.obstacle(order, operator.pk)
    )


def sees(operator: User, order: Order) -> bool:
    """Whether the order is inside what the operator is limited to."""
    scope = operator.scope
    return not scope.is_limited or narrow(Order.objects.filter(pk=order.pk), scope).exists()


def outcome(room: Room, order: Order, approval: Approval, operator: User) -> str:
    """What the operator reads when there is nothing to press for them any more; empty while there is."""
    if approval.state != Approval.State.PENDING:
        said = happened(approval)
    elif approval.votes.filter(actor_kind="operator", actor_id=str(operator.pk)).exists():
        said = _("You have approved it. Another person has to approve it as well.")
    else:
        return ""
    return f"{_head(order)}\n{_where(room, order)}\n{said}"


def facts(room: Room, order: Order, approval: Approval) -> str:
    """What is decided on, in the language that is spoken here; the page has the rest."""
    why = "; ".join(str(rule_text(rule)) for rule in approval.rules)
    lines = [
        f"⏳ {_head(order)}",
        f"{_('Order')}: …{str(order.public_id)[-_ID_SHOWN:]}",
        f"{_('Customer')}: {order.owner.number}",
        _where(room, order),
        f"{_('Why')}: {why}",
    ]
    yes = [vote for vote in approval.votes.all() if vote.decision == ApprovalVote.Decision.APPROVE]
    if approval.needed > 1:
        lines.append(_("Approvals: %(count)s of %(needed)s") % {"count": len(yes), "needed": approval.needed})
    lines += [
        _("%(who)s approved it at %(at)s UTC.") % {"who": vote.actor_label, "at": f"{vote.at:%H:%M:%S}"}
        for vote in yes
    ]
    return "\n".join([*lines, f"{settings.KAURI.public_url}/order_core/order/{order.public_id}/"])


def buttons(room: Room, row: DecisionAsk) -> Buttons:
    """Approve, and reject where the operator may."""
    shown = [(_("Approve"), f"{APPROVE}:{row.token}")]
    if row.operator.has_perm(room.may_reject):
        shown.append((_("Reject"), f"{REJECT}:{row.token}"))
    return [shown]


def named(room: Room, order: Order) -> str:
    """The order in a few words."""
    return f"{plain(order.amount_out)} {order.currency_out.code} → {room.target(order)}"


def speaking(operator: User) -> translation.override:
    """While this lasts, the operator's language is spoken."""
    return translation.override(operator.language if operator.language in LANGUAGES else "en")


def _waiting(event: OutboxEvent) -> Approval | None:
    """The event's order, if people are to be asked about it, under the lock of a vote: whoever decides at this
    moment is told of, or sees those who were asked."""
    if not settings.KAURI.telegram_token:
        return None
    waiting = Approval.objects.filter(order__public_id=event.subject_id, order__type__in=list(_ROOMS))
    approval = lock(waiting).first()
    if approval is None or approval.state != Approval.State.PENDING or approval.held_at is not None:
        return None
    return approval


def _to_all(approval: Approval) -> list[dict[str, Any]]:
    room, order = room_of(approval)
    return [
        _asked(room, order, approval, operator)
        for operator in User.objects.filter(is_staff=True, is_active=True, telegram_id__isnull=False)
        if may_decide(room, order, operator) and not outcome(room, order, approval, operator)
    ]


def _asked(room: Room, order: Order, approval: Approval, operator: User) -> dict[str, Any]:
    """A new message to one operator; where there was one, its buttons are nobody's from now on."""
    rows = DecisionAsk.objects
    row, made = rows.get_or_create(
        approval=approval, operator=operator, defaults={"shown": room.shown(order)}
    )
    if not made:
        row.round += 1
        row.token, row.shown = new_token(), room.shown(order)
        row.step, row.answer_until = DecisionAsk.Step.SHOWN, None
        row.save(update_fields=["round", "token", "shown", "step", "answer_until"])
    with speaking(operator):
        return {
            "channel": Delivery.Channel.TELEGRAM,
            "target": str(operator.telegram_id),
            "subject_type": "order",
            "subject_id": order.public_id,
            "owner_id": None,
            **_reads(room, order, approval, row),
            "dedupe_key": _name(row),
        }


def _put_away(row: DecisionAsk, order: Order, event: OutboxEvent) -> dict[str, Any]:
    """The newest message of a row without its buttons, because a later one asks, or nobody is to be asked."""
    sent = Delivery.objects.get(dedupe_key=_name(row))
    with speaking(row.operator):
        return {
            "channel": Delivery.Channel.TELEGRAM,
            "target": sent.target,
            "subject_type": "order",
            "subject_id": order.public_id,
            "owner_id": None,
            "replaces": sent,
            "body": f"{_head(order)}\n{_('It is back in the queue: a later message asks, if it is yours to decide.')}",
            "buttons": [],
            "dedupe_key": f"{_name(row)}:{event.pk}",
        }


def _more(operator: User, event: OutboxEvent) -> dict[str, Any]:
    with speaking(operator):
        said = _("More orders wait for you: the desk has them.")
    return {
        "channel": Delivery.Channel.TELEGRAM,
        "target": str(operator.telegram_id),
        "body": f"{said}\n{settings.KAURI.public_url}/",
        "dedupe_key": f"tied:{event.pk}",
    }


def _knows(row: DecisionAsk, operator: User) -> bool:
    """Whether the operator's chat of now has the newest message of the row."""
    return Delivery.objects.filter(dedupe_key=_name(row), target=str(operator.telegram_id)).exists()


def _reads(room: Room, order: Order, approval: Approval, row: DecisionAsk) -> dict[str, Any]:
    """The text and the buttons of one operator's message, as things stand."""
    if ended := outcome(room, order, approval, row.operator):
        return {"body": ended, "buttons": []}
    if why_not := paused(approval, row.operator):
        return {"body": f"{facts(room, order, approval)}\n{why_not}", "buttons": []}
    return {"body": facts(room, order, approval), "buttons": buttons(room, row)}


def _head(order: Order) -> str:
    try:
        worth = f"{usd_value(order.currency_out, order.amount_out).usd} USD"
    except KauriError:
        worth = _("nobody knows the rate")
    return f"{order.get_type_display()}: {plain(order.amount_out)} {order.currency_out.code} ({worth})"


def _where(room: Room, order: Order) -> str:
    return f"{room.title}: {room.target(order)}"


def _name(row: DecisionAsk) -> str:
    """The newest message's name: the first one is the row's own, the later ones are counted."""
    return f"ask:{row.pk}" if row.round == 1 else f"ask:{row.pk}.{row.round}"

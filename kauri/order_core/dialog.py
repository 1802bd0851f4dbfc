"""An operator's dialogue in Telegram: a button, a reason, the six digits, and the service of the page.

Where it stands is in the database, so that it survives a restart of the bot; it ends by itself after five
minutes. The bot (``backoffice/bot.py``) only carries what is said here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from kauri.account.models import User
from kauri.common import clock
from kauri.common.errors import KauriError, text_for
from kauri.common.locks import lock
from kauri.order_core import approvals, asking, risk
from kauri.order_core.asking import Buttons, Room
from kauri.order_core.models import Approval, ApprovalVote, DecisionAsk, Order
from kauri.order_core.reasons import REJECT_REASONS, reject_reason
from kauri.order_core.selectors import happened

#: An answer that comes later decides nothing.
LIFE: Final = timedelta(minutes=5)
VIA: Final = "telegram"
STOP: Final = "x"
_REASONS: Final = {f"q{at}": code for at, (code, _title) in enumerate(REJECT_REASONS)}
_LONGEST_CODE: Final = 12
_WORDS: Final = 300
Step = DecisionAsk.Step


@dataclass(frozen=True, slots=True)
class Said:
    """What the bot does: ``note`` answers a press, ``text`` is a new message, ``anew`` takes the place of the
    message whose button was pressed, ``forget`` takes the operator's own message away: it may hold a code."""

    text: str = ""
    buttons: Buttons = field(default_factory=list)
    note: str = ""
    anew: str = ""
    forget: bool = False


def press(operator: User, data: str) -> Said:
    """A button was pressed. One that is not this operator's, or of before a change, is not found."""
    verb, _colon, token = data.partition(":")
    try:
        with transaction.atomic():
            return _pressed(operator, verb, token)
    except KauriError as error:
        return Said(note=_refusal(error))


def word(operator: User, text: str) -> Said | None:
    """The operator wrote something; None where no dialogue is open and it is no code."""
    code = "".join(text.split())
    is_code = code.isascii() and code.isdecimal() and len(code) <= _LONGEST_CODE
    with transaction.atomic():
        ask = lock(DecisionAsk.objects.filter(operator=operator, step__in=DecisionAsk.OPEN)).first()
        if ask is None:
            return (
                Said(text=_("No decision waits for a code. Nothing was done."), forget=True)
                if is_code
                else None
            )
        if ask.answer_until is not None and ask.answer_until <= clock.now():
            _close(ask)
            return Said(text=_too_late(), forget=is_code)
        if ask.step == Step.REASON:
            return Said(text=_("Choose a reason by its button first."), forget=is_code)
        if not is_code:
            return _words(ask, text.strip())
    return _decide(operator, ask, code)


def _pressed(operator: User, verb: str, token: str) -> Said:
    mine = DecisionAsk.objects.filter(operator=operator)
    # All at once and in one order, as those who tell of decisions do.
    rows = list(lock(mine.filter(Q(token=token) | Q(step__in=DecisionAsk.OPEN))))
    ask = next((row for row in rows if row.token == token), None)
    if ask is None:
        raise KauriError("not_found")
    room, order = asking.room_of(ask.approval)
    if not (operator.has_perm(room.may_approve) and asking.sees(operator, order)):
        raise KauriError("not_found")
    if ended := asking.outcome(room, order, ask.approval, operator):
        return Said(note=happened(ask.approval) or _voted(), anew=ended)
    if why_not := asking.paused(ask.approval, operator):
        return Said(note=why_not)
    if room.shown(order) != ask.shown:
        _close(ask)
        approvals.tell_asked(order, ask.approval)
        return Said(note=text_for("changed_meanwhile", _spoken()))
    for other in rows:
        if other.pk != ask.pk:
            _close(other)
    return _step(operator, verb, ask, room, order)


def _step(operator: User, verb: str, ask: DecisionAsk, room: Room, order: Order) -> Said:
    what = {"what": asking.named(room, order)}
    if verb == asking.APPROVE:
        if against := risk.obstacle(order, operator.pk):
            return Said(note=against)
        _open(ask, Step.CODE, ApprovalVote.Decision.APPROVE)
        return Said(text=f"{_('Approve %(what)s?') % what}\n{_six_digits()}", buttons=[[_stop(ask)]])
    if verb == asking.REJECT and operator.has_perm(room.may_reject):
        _open(ask, Step.REASON, ApprovalVote.Decision.REJECT)
        reasons = [[(str(title), f"q{at}:{ask.token}")] for at, (_code, title) in enumerate(REJECT_REASONS)]
        return Said(text=_("Reject %(what)s? Choose a reason.") % what, buttons=[*reasons, [_stop(ask)]])
    if verb == STOP:
        _close(ask)
        return Said(text=_("Nothing was decided."))
    if verb in _REASONS and ask.decision == ApprovalVote.Decision.REJECT and ask.step in DecisionAsk.OPEN:
        if ask.answer_until is None or ask.answer_until <= clock.now():
            _close(ask)
            return Said(text=_too_late())
        _open(ask, Step.CODE, ApprovalVote.Decision.REJECT, reason=_REASONS[verb])
        what["reason"] = str(dict(REJECT_REASONS)[ask.reason])
        said = _("Reject %(what)s: %(reason)s?") % what
        return Said(text=f"{said}\n{_six_digits()}", buttons=[[_stop(ask)]])
    raise KauriError("not_found")


def _words(ask: DecisionAsk, text: str) -> Said:
    if len(text) > _WORDS:
        return Said(text=_("That is too long: %(most)s characters at most.") % {"most": _WORDS})
    ask.words = text
    ask.save(update_fields=["words"])
    return Said(text=f"{_('Your words are noted.')}\n{_six_digits()}")


def _decide(operator: User, ask: DecisionAsk, code: str) -> Said:
    """The decision itself, by the service of the page: it alone judges, under its own lock."""
    room, order = asking.room_of(ask.approval)
    is_yes = ask.decision == ApprovalVote.Decision.APPROVE
    try:
        (room.approve if is_yes else room.reject)(
            order_id=order.public_id,
            actor=replace(operator.as_actor(), via=VIA),
            reason=ask.words if is_yes else reject_reason(ask.reason, ask.words),
            code=code,
            seen=ask.shown,
        )
    except KauriError as error:
        return _refused(ask, order, error)
    with transaction.atomic():
        _close(ask, Step.ENDED)
    what = {"what": asking.named(room, order)}
    approval = Approval.objects.get(pk=ask.approval_id)
    if approval.state == Approval.State.REJECTED:
        said = _("Rejected: %(what)s. The money is back on the customer's balance.") % what
    elif approval.state == Approval.State.APPROVED:
        said = str(room.done) % what
    else:
        said = _("Your approval counts. Another person has to approve %(what)s as well.") % what
    return Said(text=said, forget=True)


def _refused(ask: DecisionAsk, order: Order, error: KauriError) -> Said:
    """A wrong code may be given again; anything else ends the dialogue, with nothing decided."""
    said = [_refusal(error)]
    approval = Approval.objects.get(pk=ask.approval_id)
    if error.code == "totp_invalid":
        return Said(text=f"{said[0]} {_('Nothing was decided.')}", buttons=[[_stop(ask)]], forget=True)
    is_waiting = approval.state == Approval.State.PENDING
    has_changed = error.code == "changed_meanwhile"
    with transaction.atomic():
        _close(ask)
        if has_changed and is_waiting:
            approvals.tell_asked(order, approval)
    # What changed may be that somebody has decided.
    if error.code == "wrong_state" or (has_changed and not is_waiting):
        said = [happened(approval) or said[0], _("Nothing was done twice.")]
    return Said(text=" ".join(said), forget=True)


def _open(ask: DecisionAsk, step: Step, decision: ApprovalVote.Decision, reason: str = "") -> None:
    ask.step, ask.decision, ask.reason, ask.words = step, decision, reason, ""
    ask.answer_until = clock.now() + LIFE
    ask.save(update_fields=["step", "decision", "reason", "words", "answer_until"])


def _close(ask: DecisionAsk, step: Step = Step.SHOWN) -> None:
    """End the dialogue about one order, unless it has ended already."""
    open_still = DecisionAsk.objects.filter(pk=ask.pk, step__in=DecisionAsk.OPEN)
    open_still.update(step=step, answer_until=None)


def _stop(ask: DecisionAsk) -> tuple[str, str]:
    return _("Cancel"), f"{STOP}:{ask.token}"


def _six_digits() -> str:
    return _(
        "Send the six digits of your authenticator within five minutes. "
        "Words for the history, if any, go before them in a message of their own."
    )


def _too_late() -> str:
    return _("Five minutes are over: nothing was decided. Press the button again.")


def _voted() -> str:
    return _("You have approved it. Another person has to approve it as well.")


def _refusal(error: KauriError) -> str:
    text = text_for(error.code, _spoken())
    return f"{text} ({error.detail})" if error.detail else text


def _spoken() -> str:
    return (get_language() or "en")[:2]

"""The buttons of the page of decision: what each asks, what it runs, what it says."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.admin import refusal, short
from kauri.common.code_forms import CodeAgainForm
from kauri.common.errors import KauriError
from kauri.common.money import plain
from kauri.order_core.models import Approval
from kauri.order_core.reasons import REJECT_REASONS, reject_reason
from kauri.order_core.selectors import happened
from kauri.order_core.services import note_add
from kauri.withdrawal_order import selectors, services, waiting
from kauri.withdrawal_order.models import WithdrawalDetail

REJECT: Final = "withdrawal_order.reject_withdrawaldetail"
NOTE: Final = "order_core.note_order"
_area = UnfoldAdminTextareaWidget


class ApproveForm(CodeAgainForm):
    reason = forms.CharField(
        label=_("Words for the history (optional)"),
        required=False,
        max_length=300,
        widget=_area(attrs={"rows": 2}),
    )


class RejectForm(forms.Form):
    code = forms.ChoiceField(
        label=_("Reason"),
        choices=(("", _("Choose a reason")), *REJECT_REASONS),
        widget=UnfoldAdminSelectWidget,
    )
    words = forms.CharField(
        label=_("In your words"), required=False, max_length=300, widget=_area(attrs={"rows": 3})
    )

    def reason(self) -> str:
        return reject_reason(self.cleaned_data["code"], self.cleaned_data["words"])


class NoteForm(forms.Form):
    text = forms.CharField(label=_("Note"), max_length=2000, widget=_area(attrs={"rows": 4}))


class HoldForm(forms.Form):
    reason = forms.CharField(
        label=_("What it waits for"), max_length=300, widget=_area(attrs={"rows": 3, "autofocus": True})
    )


class AskForm(forms.Form):
    question = forms.CharField(
        label=_("Your question"), max_length=1000, widget=_area(attrs={"rows": 5, "autofocus": True})
    )


class HandForm(forms.Form):
    to = forms.UUIDField(label=_("Operator"))
    words = forms.CharField(
        label=_("In your words"), required=False, max_length=300, widget=_area(attrs={"rows": 2})
    )

    def __init__(self, *args: Any, others: list[User] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("Choose an operator")), *((user.public_id, user.email) for user in others or [])]
        self.fields["to"].widget = UnfoldAdminSelectWidget(choices=choices)


def _approve(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    services.withdrawal_approve(order_id=order_id, actor=actor, **form.cleaned_data)
    approval = selectors.waiting_approval(order_id)
    if approval is not None and approval.state == Approval.State.PENDING:
        return _("Your approval counts. Another person has to approve %(what)s as well.") % _named(order_id)
    return _("Approved: %(what)s goes out.") % _named(order_id)


def _reject(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    services.withdrawal_reject(order_id=order_id, actor=actor, reason=form.reason())
    return _("Rejected: %(what)s. The money is back on the customer's balance.") % _named(order_id)


def _note(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    note_add(order_id=order_id, text=form.cleaned_data["text"], actor=actor)
    return _("The note is kept.")


def _take(actor: Actor, order_id: uuid.UUID, _form: Any) -> Any:
    waiting.withdrawal_take(order_id=order_id, actor=actor)
    return _("It is yours now: the others see your name.")


def _untake(actor: Actor, order_id: uuid.UUID, _form: Any) -> Any:
    waiting.withdrawal_untake(order_id=order_id, actor=actor)
    return _("It is back in the queue.")


def _hand(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    waiting.withdrawal_hand(order_id=order_id, actor=actor, **form.cleaned_data)
    return _("Handed on: it waits under their name.")


def _hold(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    waiting.withdrawal_hold(order_id=order_id, actor=actor, **form.cleaned_data)
    return _("It is on hold: nobody decides on it until it is back in the queue.")


def _unhold(actor: Actor, order_id: uuid.UUID, _form: Any) -> Any:
    waiting.withdrawal_unhold(order_id=order_id, actor=actor)
    return _("It is back in the queue.")


def _ask(actor: Actor, order_id: uuid.UUID, form: Any) -> Any:
    waiting.withdrawal_ask(order_id=order_id, actor=actor, **form.cleaned_data)
    return _("The letter is on its way; the order is on hold until it is back in the queue.")


#: verb -> (permission, what is asked, what runs)
ACTS: Final[dict[str, tuple[str, type[forms.Form], Callable[[Actor, uuid.UUID, Any], Any]]]] = {
    "approve": (selectors.APPROVE, ApproveForm, _approve),
    "reject": (REJECT, RejectForm, _reject),
    "note": (NOTE, NoteForm, _note),
    "take": (selectors.APPROVE, forms.Form, _take),
    "untake": (selectors.APPROVE, forms.Form, _untake),
    "hand": (selectors.APPROVE, HandForm, _hand),
    "hold": (selectors.APPROVE, HoldForm, _hold),
    "unhold": (selectors.APPROVE, forms.Form, _unhold),
    "ask": (selectors.APPROVE, AskForm, _ask),
}
#: verb -> the form of its dialog
_DIALOGS: Final = {
    verb: asked for verb, (_permission, asked, _run) in ACTS.items() if asked is not forms.Form
}
#: After these the operator's eye is on the next in the queue.
DONE_WITH: Final = frozenset({"approve", "reject", "hand", "hold", "ask"})


def dialogs(user: User) -> dict[str, forms.Form]:
    """The dialogs of the page that ``user`` looks at, empty."""
    others = list(selectors.deciders(user.pk)) if user.has_perm(selectors.APPROVE) else []
    given: dict[str, dict[str, Any]] = {"hand": {"others": others}}
    return {
        f"{verb}_form": form(auto_id=f"{verb}_%s", **given.get(verb, {})) for verb, form in _DIALOGS.items()
    }


def _named(order_id: uuid.UUID) -> dict[str, str]:
    detail = WithdrawalDetail.objects.select_related("order__currency_out").get(order__public_id=order_id)
    amount = plain(detail.order.amount_out)
    return {"what": f"{amount} {detail.order.currency_out} → {short(detail.shown_destination)}"}


def lost(error: KauriError, order_id: uuid.UUID) -> str:
    """A refusal, and in a race who was first: the loser is told what happened."""
    approval = selectors.waiting_approval(order_id) if error.code == "wrong_state" else None
    said = happened(approval) if approval is not None else ""
    return f"{said} {_('Nothing was done twice.')}" if said else refusal(error)

"""What pages of cards share: tables, and the field into which a whole number is typed."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from kauri.common.admin import ReasonForm, badge, page_link, table, when
from kauri.common.models import choice
from kauri.payment_card.models import PaymentCard
from kauri.payment_card.selectors import state_of, with_bans
from kauri.payment_card.states import CardState

STATE_TONES: Final[dict[str, str]] = {
    CardState.ACTIVE: "good",
    CardState.DISABLED: "warn",
    CardState.STOPPED: "bad",
    CardState.EXPIRED: "warn",
    CardState.BANNED: "bad",
    CardState.REMOVED: "",
}
_ROWS: Final = 20


def state_badge(card: PaymentCard) -> SafeString:
    """How the card stands; needs ``with_bans``."""
    state = state_of(card)
    return badge(state.label, STATE_TONES[state])


def cards_table(cards: QuerySet[PaymentCard], empty: object) -> SafeString:
    """Cards inside another page, masked."""
    return table(
        (_("Card"), _("Payment system"), _("Owner's name"), _("Customer"), _("State"), _("Added")),
        (
            (
                page_link(card),
                choice(card, "scheme"),
                card.owner_name,
                page_link(card.customer),
                state_badge(card),
                when(card.created_at),
            )
            for card in with_bans(cards).select_related("customer")
        ),
        empty,
    )


class NumberInput(UnfoldAdminTextInputWidget):
    """Takes a card number and never gives it back, not even beside a fault of the form."""

    def __init__(self) -> None:
        super().__init__(attrs={"inputmode": "numeric", "autocomplete": "off", "autofocus": True})

    def format_value(self, value: Any) -> None:
        del value


class FindForm(BaseDialogForm):
    number = forms.CharField(
        label=_("Card number"),
        max_length=40,
        widget=NumberInput,
        help_text=_("The whole number. It is looked up, and kept nowhere."),
    )


class BanForm(ReasonForm):
    number = forms.CharField(
        label=_("Card number, or its first 6 or 8 digits"),
        max_length=40,
        widget=NumberInput,
        help_text=_("The first digits alone ban all cards of their issuer. A whole number is not kept."),
    )
    field_order = ("number", "reason")

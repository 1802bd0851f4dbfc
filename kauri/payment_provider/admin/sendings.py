"""What every page of money on its way out shows: payouts, payments that hang, sweeps."""

from __future__ import annotations

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    copyable,
    label_column,
    money,
    money_column,
    raw_column,
    short,
    when_column,
)
from kauri.payment_provider.models import Outgoing

PAYOUT_TONES = {
    "new": "info",
    "prepared": "info",
    "sent": "info",
    "unknown": "bad",
    "confirmed": "good",
    "failed": "bad",
}


class SendingAdmin(ReadOnlyAdmin):
    """The columns of :class:`Outgoing`. ``payload`` is what was signed: it stays in the database."""

    amount_shown = money_column("amount", "currency", _("amount"))
    state_label = label_column("state", _("state"), PAYOUT_TONES)
    created = when_column("created_at", _("created"))
    sent = when_column("sent_at", _("sent"))
    next_try = when_column("next_attempt_at", _("next attempt"))
    finished = when_column("finished_at", _("finished"))
    answer_shown = raw_column("answer", _("provider's answer"))
    earlier_shown = raw_column("earlier", _("replaced attempts"))

    @display(description=_("destination"))
    def to(self, obj: Outgoing) -> SafeString:
        return copyable(obj.destination, short(obj.destination))

    @display(description=_("destination"))
    def destination_full(self, obj: Outgoing) -> SafeString:
        return copyable(obj.destination)

    @display(description=_("provider's id"))
    def reference_full(self, obj: Outgoing) -> SafeString:
        return copyable(obj.provider_reference)

    @display(description=_("cost"))
    def cost_shown(self, obj: Outgoing) -> SafeString:
        return EMPTY if obj.cost is None or obj.cost_currency is None else money(obj.cost, obj.cost_currency)

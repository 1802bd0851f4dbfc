"""What a callback means for our orders: one table."""

from __future__ import annotations

from kauri.common.effects import Effect, EffectKind
from kauri.core.models import Provider
from kauri.deposit_order import services as deposits
from kauri.payment_provider.gateway import CallbackMeaning, Event, EventKind, Hint, Invalid, Probe
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import services as withdrawals


def apply(meaning: CallbackMeaning, provider: Provider) -> Effect | Invalid:
    """Give a callback its effect. Every branch may be run again without a second one."""
    match meaning:
        case Invalid():
            return meaning
        case Probe():
            return Effect(EffectKind.NOTHING, "a probe has no effect")
        case Hint(reference=reference):
            payout = Payout.objects.filter(public_id=reference, provider=provider).first()
            if payout is None:
                return Effect(EffectKind.NOTHING, "a hint about nothing of ours")
            withdrawals.payout_advance(payout.pk)
            return Effect(EffectKind.DONE, "asked the provider")
        case Event(kind=EventKind.PAYIN):
            return deposits.deposit_event(meaning, provider)
        case Event():
            return withdrawals.payout_event(meaning, provider)

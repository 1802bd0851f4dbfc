"""What a callback means for our orders and customers: one table."""

from __future__ import annotations

from kauri.account import cases, verifier
from kauri.account.cases.provider import verifier_of
from kauri.common.effects import Effect, EffectKind
from kauri.core.models import Provider
from kauri.deposit_order import services as deposits
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import (
    CallbackMeaning,
    Event,
    EventKind,
    Hint,
    Invalid,
    Probe,
    RawCallback,
    Reply,
)
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying

#: The kinds of providers that call us.
KINDS = (Provider.Kind.PAYMENT, Provider.Kind.VERIFICATION)
#: What our own code raises when a call cannot be read or done now, told in a line and tried again.
EXPECTED = (verifier.VerifierError,)


def answer(provider: Provider, raw: RawCallback) -> tuple[Reply, str]:
    """The reply in the provider's own words, and why the call is invalid; '' when it is not."""
    if provider.kind == Provider.Kind.VERIFICATION:
        meaning = verifier_of(provider).parse_webhook(_webhook(raw))
        if isinstance(meaning, verifier.Invalid):
            return Reply(status=400, body='{"status":"error"}'), meaning.reason
        return Reply(status=200, body='{"status":"ok"}'), ""
    gateway = routing.gateway_for(provider)
    said = gateway.parse_callback(raw)
    return gateway.callback_reply(said), said.reason if isinstance(said, Invalid) else ""


def process(provider: Provider, raw: RawCallback) -> Effect | Invalid:
    """Read a stored call and give it its effect. May be run again without a second one."""
    if provider.kind != Provider.Kind.VERIFICATION:
        return apply(routing.gateway_for(provider).parse_callback(raw), provider)
    match verifier_of(provider).parse_webhook(_webhook(raw)):
        case verifier.Invalid(reason=reason):
            return Invalid(reason)
        case verifier.Ignored(reason=reason):
            return Effect(EffectKind.NOTHING, reason)
        case verifier.Hint(reference=reference):
            return cases.verifier_webhook(provider=provider, reference=reference)


def apply(meaning: CallbackMeaning, provider: Provider) -> Effect | Invalid:
    """Give a payment provider's callback its effect. Every branch may be run again without a second one."""
    match meaning:
        case Invalid():
            return meaning
        case Probe():
            return Effect(EffectKind.NOTHING, "a probe has no effect")
        case Hint(reference=reference):
            payout = Payout.objects.filter(public_id=reference, provider=provider).first()
            if payout is None:
                return Effect(EffectKind.NOTHING, "a hint about nothing of ours")
            paying.payout_advance(payout.pk)
            return Effect(EffectKind.DONE, "asked the provider")
        case Event(kind=EventKind.PAYIN):
            return deposits.deposit_event(meaning, provider)
        case Event():
            return paying.payout_event(meaning, provider)


def _webhook(raw: RawCallback) -> verifier.RawWebhook:
    return verifier.RawWebhook(
        method=raw.method,
        query=raw.query,
        headers=raw.headers,
        body=raw.body,
        received_at=raw.received_at,
    )

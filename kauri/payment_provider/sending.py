"""One step of a sending: prepare and store, send the stored bytes, look up, replace what is stuck.

Every step is committed before the next, so that a crash anywhere leaves a row that says what may have
happened. The rows are payouts and whatever else leaves an address of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.money import exact
from kauri.core.models import Currency
from kauri.payment_provider import coins, routing
from kauri.payment_provider.gateway import (
    Attempt,
    ConfigError,
    Gateway,
    GatewayError,
    InsufficientFloat,
    OutcomeUnknown,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Rejected,
    Retryable,
)
from kauri.payment_provider.models import NonceCounter, Outgoing, Payout
from kauri.payment_provider.selectors import confirmations_needed

State = Outgoing.State
LEASE: Final = timedelta(seconds=60)
FIRST_DELAY: Final = timedelta(seconds=2)
LONGEST_DELAY: Final = timedelta(minutes=10)
#: What a row keeps of its bytes.
BYTES: Final = ("state", "provider_reference", "payload", "nonce", "source_address", "cancels", "earlier")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step found out. ``final`` says whether the order can be settled by it.

    ``not_before``: when to look again, where that is known. ``unsent_only``: said of a row of which
    nothing was stored; it counts for nothing when the row has got further.
    """

    status: PayoutStatus
    state: PayoutState
    reason: str = ""
    not_before: datetime | None = None
    unsent_only: bool = False

    @property
    def final(self) -> bool:
        return self.status in {PayoutStatus.CONFIRMED, PayoutStatus.FAILED}


def claim_row[R: Outgoing](model: type[R], pk: int) -> R | None:
    """Take a due row for :data:`LEASE`; None when it is not due, final, or in other hands."""
    with transaction.atomic():
        now = clock.now()
        open_rows = model._default_manager.select_related("provider", "currency")
        due = open_rows.filter(pk=pk, state__in=Outgoing.OPEN_STATES, next_attempt_at__lte=now)
        rows = claim(due.exclude(lease_until__gt=now))
        if not rows:
            return None
        row = rows[0]
        row.attempts += 1
        row.lease_until = now + LEASE
        row.save(update_fields=["attempts", "lease_until"])
        return row


def due_ids(model: type[Outgoing], limit: int = 100, **where: object) -> list[int]:
    """Ids of open rows (of those ``where``) whose time has come and whom nobody holds."""
    now = clock.now()
    due = model._default_manager.filter(state__in=Outgoing.OPEN_STATES, next_attempt_at__lte=now, **where)
    waiting_longest = due.exclude(lease_until__gt=now).order_by("next_attempt_at")
    return list(waiting_longest.values_list("pk", flat=True)[:limit])


def step(row: Outgoing, beside: Sequence[Payout] = ()) -> Outcome:
    """Do the next thing for a claimed row; network here, and no transaction around it.

    ``beside``: new, claimed payouts that the row's transaction may pay too, where the chain has coins.
    """
    if row.state in {State.NEW, State.PREPARED} and not row.provider.is_enabled:
        return waiting("the provider is switched off")
    try:
        gateway = routing.gateway_for(row.provider)
        if row.state == State.NEW:
            _prepare(row, gateway, beside)
        if row.state == State.PREPARED:
            return _send(row, gateway)
        return _look_up(row, gateway)
    except Rejected as exc:
        # Only a refusal before anything was sent is final here: _send and _look_up sort their own.
        return Outcome(PayoutStatus.FAILED, PayoutState(PayoutStatus.FAILED), str(exc)[:300])
    except OutcomeUnknown as exc:
        return Outcome(PayoutStatus.UNKNOWN, PayoutState(PayoutStatus.UNKNOWN), str(exc)[:300])
    except (InsufficientFloat, ConfigError, GatewayError) as exc:
        return waiting(f"{type(exc).__name__}: {exc}")


def record(row: Outgoing, outcome: Outcome) -> bool:
    """Put an outcome into a locked, open row (not saved yet); True when it has just become unknown."""
    now = clock.now()
    became_unknown = False
    row.lease_until = None
    row.last_error = outcome.reason
    state = outcome.state
    row.confirmations = max(row.confirmations, state.confirmations)
    if state.answer:
        row.answer = _plain_answer(state.answer)
    if outcome.status in {PayoutStatus.CONFIRMED, PayoutStatus.FAILED}:
        row.state = State.CONFIRMED if outcome.status is PayoutStatus.CONFIRMED else State.FAILED
        row.finished_at = now
        if state.mined_reference:
            row.provider_reference = state.mined_reference
        _record_cost(row, state)
    elif outcome.status is PayoutStatus.UNKNOWN:
        if row.state != State.NEW:  # nothing stored: nothing was sent
            became_unknown = row.unknown_since is None
            row.state = State.UNKNOWN
            row.unknown_since = row.unknown_since or now
    elif row.state in {State.PREPARED, State.UNKNOWN} and not outcome.reason:
        row.state = State.SENT
        row.sent_at = row.sent_at or now
    row.next_attempt_at = outcome.not_before or now + _delay(row)
    return became_unknown


def ask(row: Outgoing, gateway: Gateway) -> PayoutState:
    """What the provider says of a row now; nothing is written."""
    return gateway.fetch_payout(_request(row, gateway), _prepared(row))


def waiting(reason: str, not_before: datetime | None = None) -> Outcome:
    """Nothing new is known; the row says why and is tried again."""
    return Outcome(PayoutStatus.PENDING, PayoutState(PayoutStatus.PENDING), reason[:300], not_before)


def _prepare(row: Outgoing, gateway: Gateway, beside: Sequence[Payout]) -> None:
    """Get the bytes that will be sent, and commit them with their nonce or coins before anything is sent.

    Nonce and coins are read first and used up only together with the stored bytes: bytes whose nonce or
    coin another sending took meanwhile are thrown away unsent, so none is skipped or shared.
    """
    address = (row.source_address or gateway.hot_address()) if gateway.uses_nonce else ""
    nonce = _peek_nonce(gateway, address) if gateway.uses_nonce else None
    request = _request(row, gateway, nonce=nonce, source_address=address, beside=beside, more=True)
    try:
        prepared = gateway.prepare_payout(request)
    except (Rejected, InsufficientFloat):
        if not request.beside:
            raise
        # One of the others may be at fault: this one alone.
        beside = ()
        request = _request(row, gateway, more=True)
        prepared = gateway.prepare_payout(request)
    with transaction.atomic():
        current, *others = _locked(row, *beside)
        if current.state != State.NEW:
            raise OutcomeUnknown("another worker has prepared this payout")
        if any(other.state != State.NEW for other in others):
            raise GatewayError("another worker has prepared a payout of this batch")
        if nonce is not None:
            counter = lock(NonceCounter.objects.filter(chain=gateway.chain, address=address)).get()
            if counter.next_nonce != nonce:
                raise GatewayError("another payout took this nonce first")
            counter.next_nonce = nonce + 1
            counter.save(update_fields=["next_nonce"])
        _take_coins(current, gateway, request, prepared)
        for one in (current, *others):
            one.state = State.PREPARED
            one.source_address = address
            _store(one, prepared)
        _follow_lead(current, others)
    _copy(current, row)


def _follow_lead(lead: Outgoing, others: Sequence[Outgoing]) -> None:
    """Payouts of a batch share bytes and fate, and are looked at and settled each by its own row."""
    Payout.objects.filter(pk__in=[other.pk for other in others]).update(
        lead=lead.pk, lease_until=None, next_attempt_at=clock.now()
    )


def _take_coins(row: Outgoing, gateway: Gateway, request: PayoutRequest, prepared: PreparedPayout) -> None:
    if gateway.uses_coins and isinstance(row, Payout):
        usual = _network_confirmations(row)
        coins.take(row.lead or row, prepared, gateway, usual, request.change_path)


def _store(row: Outgoing, prepared: PreparedPayout) -> None:
    row.provider_reference = prepared.provider_reference
    row.payload = prepared.payload
    row.nonce = prepared.nonce
    row.cancels = prepared.cancels
    row.signed_at = clock.now()
    row.save(update_fields=[*BYTES, "signed_at"])


def _copy(source: Outgoing, target: Outgoing) -> None:
    for name in (*BYTES, "signed_at"):
        setattr(target, name, getattr(source, name))


def _locked(row: Outgoing, *others: Outgoing) -> list[Outgoing]:
    """The rows as they stand now, locked, the first one first."""
    wanted = [row.pk, *(other.pk for other in others)]
    found = {one.pk: one for one in lock(type(row)._default_manager.filter(pk__in=wanted))}
    return [found[pk] for pk in wanted]


def _others(row: Outgoing, gateway: Gateway) -> list[Payout]:
    """The payouts that share the row's bytes."""
    if not gateway.uses_coins or not isinstance(row, Payout):
        return []
    return [one for one in coins.members(row.lead or row) if one.pk != row.pk]


def _send(row: Outgoing, gateway: Gateway) -> Outcome:
    if not gateway.resend_is_safe:
        # The row says "unknown" from before the call until the answer: a crash between them is
        # then looked up, never sent again. Whoever moves the row from "prepared" is the one who
        # sends: a worker that slept past its lease finds it moved.
        mine = type(row)._default_manager.filter(pk=row.pk, state=State.PREPARED)
        if not mine.update(state=State.UNKNOWN, last_error="sending"):
            return waiting("another worker has this payout")
    try:
        state = gateway.send_payout(_request(row, gateway), _prepared(row))
    except (InsufficientFloat, ConfigError) as exc:
        return _not_sent(row, f"{type(exc).__name__}: {exc}")
    except (Rejected, OutcomeUnknown):
        raise
    except GatewayError as exc:
        return _not_sent(row, f"{type(exc).__name__}: {exc}")
    if gateway.uses_coins and isinstance(row, Payout) and state.status is PayoutStatus.PENDING:
        coins.sent(row)
    return Outcome(state.status, state)


def _not_sent(row: Outgoing, reason: str) -> Outcome:
    """The provider surely has nothing: the stored bytes wait for another attempt."""
    unsent = type(row)._default_manager.filter(pk=row.pk, state=State.UNKNOWN, last_error="sending")
    unsent.update(state=State.PREPARED)
    return waiting(reason)


def _look_up(row: Outgoing, gateway: Gateway) -> Outcome:
    state = gateway.fetch_payout(_request(row, gateway), _prepared(row))
    if gateway.uses_coins and isinstance(row, Payout):
        state = coins.own_share(row, state)
    if state.status in {PayoutStatus.PENDING, PayoutStatus.NOT_FOUND} and not state.confirmations:
        replacement = _replacement(row, gateway)
        if replacement is not None:
            return replacement
    if state.status is PayoutStatus.NOT_FOUND:
        if gateway.resend_is_safe and not row.provider.is_enabled:
            return waiting("the provider is switched off")
        if gateway.resend_is_safe:
            return _send(row, gateway)
        return Outcome(
            PayoutStatus.UNKNOWN, state, "the provider does not know this payout: a person decides"
        )
    return Outcome(state.status, state)


def _replacement(row: Outgoing, gateway: Gateway) -> Outcome | None:
    """Sign and send anew what is stuck, or what a person asked to cancel; None when neither is due.

    The new bytes are stored before they are sent, and the old ones kept: whichever is mined counts.
    """
    if not gateway.replaces or row.signed_at is None or not row.provider.is_enabled:
        return None
    cancels = row.cancel_asked_at is not None
    fresh = clock.now() - row.signed_at < timedelta(seconds=gateway.replace_after)
    if fresh and (row.cancels or not cancels):
        return None
    stuck = _prepared(row)
    prepare = gateway.prepare_cancel if cancels else gateway.prepare_replacement
    request = _request(row, gateway, more=True)
    try:
        prepared = prepare(request, stuck)
    except (Retryable, ConfigError, InsufficientFloat):
        # The old bytes go on; a dearer fee is tried again at the next look.
        return None
    with transaction.atomic():
        current, *others = _locked(row, *_others(row, gateway))
        if current.state not in {State.SENT, State.UNKNOWN} or any(
            one.payload != row.payload or one.state not in Outgoing.OPEN_STATES for one in (current, *others)
        ):
            raise Retryable("another worker has this payout")
        _take_coins(current, gateway, request, prepared)
        for one in (current, *others):
            one.earlier = [
                *one.earlier,
                {"reference": row.provider_reference, "payload": row.payload, "cancels": row.cancels},
            ]
            _store(one, prepared)
    _copy(current, row)
    return _send(row, gateway)


def _record_cost(row: Outgoing, state: PayoutState) -> None:
    if state.cost is None or not state.cost_currency:
        return
    currency = Currency.objects.filter(code=state.cost_currency).first()
    try:
        row.cost = None if currency is None else exact(state.cost, currency.scale)
    except KauriError:
        row.cost = None
    if row.cost is None:
        # A cost that the books can't hold must not keep the payout from its end: people see it here.
        row.answer = {**row.answer, "cost_not_booked": f"{state.cost} {state.cost_currency}"}
        return
    row.cost_currency = currency


def _peek_nonce(gateway: Gateway, address: str) -> int:
    counter = NonceCounter.objects.filter(chain=gateway.chain, address=address).first()
    if counter is None:
        first = gateway.next_nonce(address)
        counter, _ = NonceCounter.objects.get_or_create(
            chain=gateway.chain, address=address, defaults={"next_nonce": first}
        )
    return counter.next_nonce


def _request(
    row: Outgoing,
    gateway: Gateway,
    *,
    nonce: int | None = None,
    source_address: str = "",
    beside: Sequence[Payout] = (),
    more: bool = False,
) -> PayoutRequest:
    """``more``: with coins that are free now, beside those that the row holds."""
    request = PayoutRequest(
        reference=str(row.public_id),
        currency=row.currency.code,
        amount=exact(row.amount, row.currency.scale),
        destination=row.told_destination,
        nonce=row.nonce if nonce is None else nonce,
        source_address=source_address or row.source_address,
        min_confirmations=confirmations_needed(row.provider, routing.network_of(row.provider), row.amount),
        key=row.signing_key,
    )
    if not gateway.uses_coins or not isinstance(row, Payout):
        return request
    return replace(request, **coins.parts(row, _network_confirmations(row), beside=beside, more=more))


def _network_confirmations(row: Outgoing) -> int:
    network = routing.network_of(row.provider)
    return network.confirmations if network else 1


def _prepared(row: Outgoing) -> PreparedPayout:
    return PreparedPayout(
        provider_reference=row.provider_reference,
        payload=row.payload,
        nonce=row.nonce,
        cancels=row.cancels,
        earlier=tuple(
            Attempt(one["reference"], one["payload"], cancels=one["cancels"]) for one in row.earlier
        ),
    )


def _delay(row: Outgoing) -> timedelta:
    """2 s, doubling, at most 10 minutes; a sent payout is looked at every few seconds at first."""
    exponent = min(max(row.attempts - (10 if row.state == State.SENT else 0), 0), 9)
    return min(FIRST_DELAY * (1 << exponent), LONGEST_DELAY)


def _plain_answer(answer: Any) -> dict[str, str]:
    """What of a provider's answer is kept for people: plain values, bounded."""
    return {str(key)[:64]: str(value)[:300] for key, value in list(dict(answer).items())[:30]}

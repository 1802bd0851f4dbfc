"""Chain, rows and books, three ways: what one of them knows and another does not becomes an inbox row.

* Each deposit address: what the chain holds there against what our payins and sweeps say.
* Each provider and currency: what all our addresses hold against the ledger's float, plus what was
  seen and is not booked yet.
* Each credited payin and recent confirmed payout: whether the chain still has it.

While money of ours is on its way the totals are not compared: the next quiet moment is.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import batched
from typing import Final

from django.db import transaction
from django.db.models import Q, Sum

from kauri.account.selectors import require_permission, require_scope
from kauri.balance.chart import AccountKind
from kauri.balance.models import LedgerAccount
from kauri.balance.selectors import account_balance
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import exact, plain
from kauri.core.audit import audit
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.payment_provider import coins, routing, sending
from kauri.payment_provider.gateway import Gateway, GatewayError, PayoutStatus
from kauri.payment_provider.models import Outgoing, Payin, Payout
from kauri.wallet.models import DepositAddress, Reconciliation, ReconciliationBreak, Sweep

Kind = ReconciliationBreak.Kind
#: Addresses asked about in one call.
CHUNK: Final = 200
#: Confirmed payouts that are asked for again each time, and how long.
RECENT_PAYOUTS: Final = 20
RECENT: Final = timedelta(days=7)
#: States of a payin whose money is on the chain.
ON_CHAIN: Final = (
    Payin.State.SEEN,
    Payin.State.CREDITED,
    Payin.State.UNMATCHED,
    Payin.State.HELD,
    Payin.State.KEPT,
    Payin.State.RETURNED,
)
IN_FLIGHT: Final = (Outgoing.State.PREPARED, Outgoing.State.SENT, Outgoing.State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Found:
    """A disagreement, as this look saw it."""

    kind: Kind
    currency: str
    amount: Decimal
    subject: str = ""


def reconcile(provider_id: int) -> list[Reconciliation]:
    """Compare a chain's provider with our rows and the books; returns what was written.

    Nothing where the provider is no chain's, is unhealthy, or its node does not answer.
    """
    provider = Provider.objects.filter(pk=provider_id, is_enabled=True).first()
    if provider is None or provider.health == Provider.HealthState.BAD:
        return []
    try:
        gateway = routing.gateway_for(provider)
        if not gateway.scans:
            return []
        family = _family(provider, gateway)
        before = _figures(provider, family)
        held, found = _by_address(provider, gateway, family)
        found += _gone(provider, gateway)
    except GatewayError:
        return []  # the health check speaks of it
    with transaction.atomic():
        lock(Provider.objects.filter(pk=provider.pk)).get()
        after = _figures(provider, family)
        rows = []
        for code, amount in sorted(held.items()):
            row = _compare(provider, code, amount, before, after)
            rows.append(row)
            if row.state == Reconciliation.State.DIFFERENT:
                found.append(Found(Kind.TOTAL, code, row.difference))
        quiet = {row.currency.code for row in rows if row.state != Reconciliation.State.MOVING}
        _write(provider, found, quiet)
    return rows


@transaction.atomic
def break_explain(*, break_id: int, actor: Actor, explanation: str) -> ReconciliationBreak:
    """A person says what it was. Nothing is booked by it: an adjustment is proposed for that.

    Raises ``forbidden``, ``not_found``, ``wrong_state`` (closed already), ``validation_error`` (no words).
    """
    require_permission(actor, "wallet.explain_reconciliationbreak")
    if not explanation.strip():
        raise KauriError("validation_error", fields={"explanation": "required"})
    row = lock(ReconciliationBreak.objects.filter(pk=break_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    if row.state not in ReconciliationBreak.OPEN_STATES:
        raise KauriError("wrong_state", "this break is closed already")
    before = row.state
    row.state = ReconciliationBreak.State.EXPLAINED
    row.explained_by, row.explanation, row.closed_at = actor.label, explanation.strip(), clock.now()
    row.save(update_fields=["state", "explained_by", "explanation", "closed_at"])
    audit(
        actor,
        "break_explain",
        object_type="reconciliation_break",
        object_id=str(row.pk),
        label=str(row),
        before={"state": before},
        after={"state": row.state},
        reason=row.explanation,
    )
    return row


@dataclass(frozen=True, slots=True)
class _Figures:
    """What our side says: float per currency, money seen and not booked, and whether anything moves."""

    books: dict[str, Decimal]
    waiting: dict[str, Decimal]
    moving: bool
    last_payin: int


def _family(provider: Provider, gateway: Gateway) -> list[Provider]:
    """Other providers that pay from the same address of the same chain (ether, and tokens beside it)."""
    if not gateway.uses_nonce:
        return []
    hot = gateway.hot_address()
    found = []
    for other in routing.scanning_providers():
        theirs = routing.gateway_for(other)
        if other.pk != provider.pk and theirs.uses_nonce and hot and theirs.chain == gateway.chain:
            found += [other] if theirs.hot_address() == hot else []
    return found


def _figures(provider: Provider, family: Sequence[Provider]) -> _Figures:
    """The shared address's money is its own currency's provider's; what the others booked of it counts there."""
    accounts = LedgerAccount.objects.filter(
        kind=AccountKind.PROVIDER_FLOAT, provider__in=[provider, *family]
    ).select_related("currency")
    books: dict[str, Decimal] = defaultdict(Decimal)
    for row in accounts:
        if row.provider_id == provider.pk or row.currency.code == provider.settings.get("currency"):
            books[row.currency.code] -= account_balance(row)
    unbooked = Payin.objects.filter(
        provider=provider, state__in=ON_CHAIN, credited_at__isnull=True, booked_at__isnull=True
    )
    waiting = {
        row["currency__code"]: row["sum"]
        for row in unbooked.values("currency__code").annotate(sum=Sum("amount"))
    }
    moving = any(
        model._default_manager.filter(provider__in=[provider, *family], state__in=IN_FLIGHT).exists()
        for model in (Payout, Sweep)
    )
    last = Payin.objects.filter(provider=provider).order_by("-pk").values_list("pk", flat=True).first()
    return _Figures(books, waiting, moving, last or 0)


def _compare(
    provider: Provider, code: str, on_chain: Decimal, before: _Figures, after: _Figures
) -> Reconciliation:
    currency = Currency.objects.get(code=code)
    in_books = exact(after.books.get(code, Decimal(0)), currency.scale)
    waiting = exact(after.waiting.get(code, Decimal(0)), currency.scale)
    difference = exact(on_chain, currency.scale) - in_books - waiting
    state = Reconciliation.State.EQUAL if difference == 0 else Reconciliation.State.DIFFERENT
    if before != after or after.moving:
        state = Reconciliation.State.MOVING
    return Reconciliation.objects.create(
        provider=provider,
        currency=currency,
        on_chain=exact(on_chain, currency.scale),
        in_books=in_books,
        on_its_way=waiting,
        difference=difference,
        state=state,
    )


def _by_address(
    provider: Provider, gateway: Gateway, family: Sequence[Provider]
) -> tuple[dict[str, Decimal], list[Found]]:
    """All that our addresses hold per currency, and the deposit addresses that hold another sum than ours."""
    if gateway.uses_coins:
        return _by_coin(provider, gateway)
    addresses = list(_used(provider))
    own = [*_own(provider), *(name for other in family for name in (*_own(other), *_places(other)))]
    names = list(dict.fromkeys([*own, *(one.address for one in addresses)]))
    held: dict[str, Decimal] = defaultdict(Decimal)
    on_chain: dict[tuple[str, str], Decimal] = {}
    for some in batched(names, CHUNK):
        for name, balances in zip(some, gateway.fetch_holdings(some), strict=True):
            for balance in balances:
                held[balance.currency] += balance.amount
                on_chain[name, balance.currency] = balance.amount
    for other in family:
        # Of a shared address each currency is compared once: with its own provider.
        held.pop(str(other.settings.get("currency")), None)
    said = _said(provider, addresses)
    moving = set(
        Sweep.objects.filter(provider=provider, state__in=IN_FLIGHT).values_list(
            "address__address", flat=True
        )
    )
    found = []
    for (name, code), amount in on_chain.items():
        if name in own or name in moving:
            continue
        difference = amount - said.get((name, code), Decimal(0))
        if difference:
            kind = Kind.CHAIN_MORE if difference > 0 else Kind.CHAIN_LESS
            found.append(Found(kind, code, difference, name))
    return held, found


def _own(provider: Provider) -> list[str]:
    names = (provider.settings.get(name) for name in ("hot_address", "gas_address", "cold_address"))
    return [str(name) for name in names if name]


def _places(provider: Provider) -> list[str]:
    return [one.address for one in _used(provider)]


def _used(provider: Provider) -> Sequence[DepositAddress]:
    """Deposit addresses that money was ever seen at, or that were given out lately enough to be watched."""
    seen = Payin.objects.filter(provider=provider).values("address")
    given = Q(address__in=seen) | Q(assigned_at__gt=clock.now() - timedelta(days=90))
    return list(DepositAddress.objects.filter(given, provider=provider, user__isnull=False).order_by("pk"))


def _said(provider: Provider, addresses: Sequence[DepositAddress]) -> dict[tuple[str, str], Decimal]:
    """What our rows say that each address holds, per currency."""
    said: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    names = [one.address for one in addresses]
    payins = Payin.objects.filter(provider=provider, address__in=names, state__in=ON_CHAIN)
    for row in payins.values("address", "currency__code").annotate(sum=Sum("amount")):
        said[row["address"], row["currency__code"]] += row["sum"]
    ended = Sweep.objects.filter(provider=provider, address__address__in=names).exclude(state__in=IN_FLIGHT)
    for sweep in ended.select_related("currency", "cost_currency", "address"):
        place = sweep.address.address if sweep.address else ""
        done = sweep.state == Sweep.State.CONFIRMED
        if sweep.purpose == Sweep.Purpose.TOP_UP:
            # Its fee was the gas wallet's.
            said[place, sweep.currency.code] += sweep.amount if done else Decimal(0)
            continue
        said[place, sweep.currency.code] -= sweep.amount if done else Decimal(0)
        if sweep.cost and sweep.cost_currency:
            said[place, sweep.cost_currency.code] -= sweep.cost
    return said


def _by_coin(provider: Provider, gateway: Gateway) -> tuple[dict[str, Decimal], list[Found]]:
    """Coins are rows of ours: the node says of each whether it is unspent."""
    code = gateway.capabilities()[0].currency
    proven = coins.proven(provider, gateway, code).amount
    ours = coins.unspent_total(provider)
    found = [Found(Kind.CHAIN_LESS, code, proven - ours)] if proven < ours else []
    return {code: proven}, found


def _gone(provider: Provider, gateway: Gateway) -> list[Found]:
    """What we count on and the chain no longer has."""
    lost = Payin.objects.select_related("currency").filter(provider=provider, state=Payin.State.ALARM)
    found = [Found(Kind.PAYIN_GONE, one.currency.code, -one.amount, one.transaction) for one in lost]
    paid = Payout.objects.select_related("provider", "currency").filter(
        provider=provider, state=Payout.State.CONFIRMED, finished_at__gt=clock.now() - RECENT
    )
    for payout in paid.order_by("-pk")[:RECENT_PAYOUTS]:
        if sending.ask(payout, gateway).status in {PayoutStatus.NOT_FOUND, PayoutStatus.FAILED}:
            reference = payout.provider_reference
            found += [Found(Kind.PAYOUT_GONE, payout.currency.code, payout.amount, reference)]
    return found


def _write(provider: Provider, found: Sequence[Found], quiet: set[str]) -> None:
    """Suspicions become breaks when they are seen again; what is not seen any more is closed."""
    known = {
        (row.kind, row.currency.code, row.subject): row
        for row in ReconciliationBreak.objects.select_related("currency").filter(
            provider=provider, state__in=ReconciliationBreak.OPEN_STATES
        )
    }
    now = clock.now()
    for one in found:
        row = known.pop((one.kind.value, one.currency, one.subject), None)
        if row is None:
            currency = Currency.objects.get(code=one.currency)
            ReconciliationBreak.objects.create(
                provider=provider,
                currency=currency,
                kind=one.kind,
                subject=one.subject,
                amount=exact(one.amount, currency.scale),
            )
            continue
        again = row.state == ReconciliationBreak.State.SUSPECTED and row.amount == one.amount
        row.amount, row.last_seen_at = exact(one.amount, row.currency.scale), now
        if again:
            row.state = ReconciliationBreak.State.OPEN
            _tell(provider, row)
        row.save(update_fields=["amount", "last_seen_at", "state"])
    for row in known.values():
        if row.kind == Kind.TOTAL and row.currency.code not in quiet:
            continue  # not compared this time
        row.state, row.closed_at = ReconciliationBreak.State.GONE, now
        row.save(update_fields=["state", "closed_at"])


def _tell(provider: Provider, row: ReconciliationBreak) -> None:
    emit(
        "reconciliation.break",
        subject_type="provider",
        subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}"),
        payload={
            "provider": provider.title,
            "kind": row.kind,
            "amount": plain(row.amount),
            "currency": row.currency.code,
            "subject": row.subject,
            "break_id": str(row.pk),
        },
    )

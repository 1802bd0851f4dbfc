"""Emptying deposit addresses into the hot wallet, and the hot wallet's surplus into the cold one.

Settings of a provider, all amounts as text: ``sweep_minimum`` (nothing is swept without it),
``gas_address`` (pays the fee of tokens' sweeps), ``hot_ceiling`` and ``hot_target`` with
``cold_address`` (above the ceiling, what is above the target goes to the cold address), and
``hot_floor`` (below it operators are told).
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from kauri.common import clock
from kauri.common.locks import lock, try_advisory
from kauri.common.money import exact, plain
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.payment_provider import coins, routing, sending
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateway import ConfigError, Gateway, GatewayError, SweepQuote
from kauri.payment_provider.models import Payin, Payout, ProviderBalanceSnapshot
from kauri.wallet import postings
from kauri.wallet.models import DepositAddress, Sweep

#: Addresses that one run asks the node about.
BATCH: Final = 20
#: An address that is not worth sweeping, or whose sweep failed, is looked at again after this.
AGAIN: Final = timedelta(hours=1)
#: Money credited longer ago was looked at often enough.
RECENT: Final = timedelta(days=30)


def sweeps_plan(provider_id: int) -> int:
    """Write down which addresses are to be emptied next; returns how many rows were made."""
    provider = Provider.objects.filter(pk=provider_id, is_enabled=True).first()
    if provider is None or provider.health == Provider.HealthState.BAD:
        return 0
    try:
        gateway = routing.gateway_for(provider)
        if gateway.uses_coins:
            return _cold_coins_plan(provider, gateway)
        if not gateway.sweeps:
            return 0
        made = _cold_plan(provider, gateway)
        minimum = _amount(provider, "sweep_minimum")
        if minimum is None:
            return made
        for address in _due(provider):
            made += _plan(provider, gateway, address, minimum)
        return made
    except GatewayError:
        return 0  # the health check speaks of nodes and settings


def sweep_advance(sweep_id: int) -> None:
    """One step of a sweep; killed anywhere, the next run goes on from what the row says."""
    row = sending.claim_row(Sweep, sweep_id)
    if row is None:
        return
    outcome = sending.step(row)
    with transaction.atomic():
        current = lock(
            Sweep.objects.select_related("provider", "currency", "address").filter(pk=row.pk)
        ).get()
        if current.state not in Sweep.OPEN_STATES:
            return
        if sending.record(current, outcome):
            _tell_unknown(current, outcome.reason)
        current.save()
        if current.state in {Sweep.State.CONFIRMED, Sweep.State.FAILED}:
            postings.network_cost(current, actor=routing.provider_actor(current.provider))
        if current.state == Sweep.State.CONFIRMED and current.address is not None:
            _arrived(current, current.address)


def cold_advance(payout_id: int) -> None:
    """One step of coins' way to the cold address, which is a payout of our own: only its fee is booked."""
    payout = payouts.payout_claim(payout_id)
    if payout is None:
        return
    outcome = payouts.payout_step(payout)
    with transaction.atomic():
        row = payouts.payout_record(payout, outcome)
        if row.state in {Payout.State.CONFIRMED, Payout.State.FAILED}:
            postings.network_cost(row, actor=routing.provider_actor(row.provider))


def _arrived(sweep: Sweep, address: DepositAddress) -> None:
    if sweep.purpose == Sweep.Purpose.SWEEP:
        address.swept_at = sweep.created_at
    else:
        # The fee is there: the address is looked at again at once.
        address.quoted_at = None
    address.save(update_fields=["swept_at", "quoted_at"])


def hot_watch(provider_id: int) -> bool:
    """Tell operators when the hot wallet fell below its floor: once, when it happens."""
    provider = Provider.objects.get(pk=provider_id)
    try:
        floor = _amount(provider, "hot_floor")
    except ConfigError:
        floor = None  # a setting with a mistake in it watches nothing; the others' wallets go on
    if floor is None:
        return False
    code = str(provider.settings.get("currency", ""))
    said = ProviderBalanceSnapshot.objects.filter(provider=provider, currency__code=code).order_by(
        "-at", "-pk"
    )
    newest = list(said.values_list("amount", flat=True)[:2])
    if not newest or newest[0] >= floor or (len(newest) > 1 and newest[1] < floor):
        return False
    with transaction.atomic():
        emit(
            "wallet.hot_low",
            subject_type="provider",
            subject_id=_subject(provider),
            payload={
                "provider": provider.title,
                "amount": plain(newest[0]),
                "floor": plain(floor),
                "currency": code,
            },
        )
    return True


def _due(provider: Provider) -> QuerySet[DepositAddress]:
    """Given-out addresses with money credited since their last sweep, the longest unseen first."""
    now = clock.now()
    paid = Payin.objects.filter(provider=provider, state=Payin.State.CREDITED)
    recent = paid.filter(credited_at__gt=now - RECENT)
    last = recent.filter(address=OuterRef("address")).order_by("-credited_at").values("credited_at")[:1]
    failed = Sweep.objects.filter(state=Sweep.State.FAILED, finished_at__gt=now - AGAIN)
    return (
        DepositAddress.objects.filter(provider=provider, user__isnull=False)
        .filter(address__in=recent.values("address"))
        .annotate(paid_at=Subquery(last))
        .filter(Q(swept_at__isnull=True) | Q(swept_at__lt=F("paid_at")))
        .filter(Q(quoted_at__isnull=True) | Q(quoted_at__lt=now - AGAIN))
        .exclude(sweeps__state__in=Sweep.OPEN_STATES)
        .exclude(pk__in=failed.values("address"))
        .order_by(F("quoted_at").asc(nulls_first=True), "pk")[:BATCH]
    )


def _plan(provider: Provider, gateway: Gateway, address: DepositAddress, minimum: Decimal) -> int:
    quote = gateway.quote_sweep(address.address)
    with transaction.atomic():
        # One planner at a time: two would top up the same address twice.
        if not try_advisory("sweeps", provider.pk):
            return 0
        row = lock(DepositAddress.objects.filter(pk=address.pk)).get()
        row.quoted_at = clock.now()
        row.save(update_fields=["quoted_at"])
        if quote.amount < minimum or row.sweeps.filter(state__in=Sweep.OPEN_STATES).exists():
            return 0
        if quote.missing > 0:
            return _top_up(provider, address, quote)
        Sweep.objects.create(
            purpose=Sweep.Purpose.SWEEP,
            provider=provider,
            currency_id=address.currency_id,
            address=address,
            amount=quote.amount,
            destination=gateway.hot_address(),
            source_address=address.address,
        )
    return 1


def _top_up(provider: Provider, address: DepositAddress, quote: SweepQuote) -> int:
    gas = str(provider.settings.get("gas_address", ""))
    if not gas:
        raise ConfigError("gas_address is missing: nobody pays the fee of sweeps")
    currency = Currency.objects.get(code=quote.fee_currency)
    Sweep.objects.create(
        purpose=Sweep.Purpose.TOP_UP,
        provider=provider,
        currency=currency,
        address=address,
        amount=exact(quote.missing, currency.scale),
        destination=address.address,
        source_address=gas,
    )
    return 1


def _cold_plan(provider: Provider, gateway: Gateway) -> int:
    currency = Currency.objects.get(code=str(provider.settings["currency"]))
    if not _is_watched(provider):
        return 0
    held = {balance.currency: balance.amount for balance in gateway.fetch_balances()}[currency.code]
    surplus = _surplus(provider, held, currency)
    if surplus is None:
        return 0
    amount, cold = surplus
    with transaction.atomic():
        lock(Provider.objects.filter(pk=provider.pk)).get()
        under_way = Sweep.objects.filter(provider=provider, purpose=Sweep.Purpose.COLD)
        if under_way.filter(state__in=Sweep.OPEN_STATES).exists():
            return 0
        Sweep.objects.create(
            purpose=Sweep.Purpose.COLD,
            provider=provider,
            currency=currency,
            amount=amount,
            destination=gateway.validate_destination(currency.code, cold),
            source_address=gateway.hot_address(),
        )
    return 1


def _cold_coins_plan(provider: Provider, gateway: Gateway) -> int:
    """Where money is coins, the hot wallet is every coin that the signer can spend and no payout holds."""
    currency = Currency.objects.get(code=gateway.capabilities()[0].currency)
    if not _is_watched(provider):
        return 0
    with transaction.atomic():
        lock(Provider.objects.filter(pk=provider.pk)).get()
        surplus = _surplus(provider, coins.hot_total(provider), currency)
        if surplus is None:
            return 0
        amount, cold = surplus
        own = Payout.objects.filter(provider=provider, order_id__isnull=True)
        if own.filter(state__in=Payout.OPEN_STATES).exists():
            return 0
        destination = gateway.validate_destination(currency.code, cold)
        coins.remember_cold(provider, destination)
        payouts.payout_create(
            order_id=None, provider=provider, currency=currency, amount=amount, destination=destination
        )
    return 1


def _is_watched(provider: Provider) -> bool:
    return bool(_amount(provider, "hot_ceiling") is not None and provider.settings.get("cold_address"))


def _surplus(provider: Provider, held: Decimal, currency: Currency) -> tuple[Decimal, str] | None:
    """How much of ``held`` goes to which cold address; None while it is below the ceiling."""
    ceiling, target = _amount(provider, "hot_ceiling"), _amount(provider, "hot_target")
    if ceiling is None:
        return None
    keep = ceiling / 2 if target is None else target
    if held <= ceiling or keep >= held:
        return None
    return exact(held - keep, currency.scale), str(provider.settings["cold_address"])


def _amount(provider: Provider, name: str) -> Decimal | None:
    text = provider.settings.get(name)
    if text in {None, ""}:
        return None
    try:
        found = Decimal(text) if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise ConfigError(f"{name} must be an amount, written as text")
    return found


def _tell_unknown(row: Sweep, reason: str) -> None:
    emit(
        "sweep.unknown",
        subject_type="sweep",
        subject_id=row.public_id,
        payload={
            "purpose": row.purpose,
            "provider": row.provider.title,
            "amount": plain(row.amount),
            "currency": row.currency.code,
            "reason": reason,
        },
    )


def _subject(provider: Provider) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}")

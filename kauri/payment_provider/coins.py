"""Our coins on chains that have them: which there are, which may be spent, which payout holds which.

The scanner writes them with its cursor in one transaction, a reorg takes them back in the same way; a
payout takes them in the transaction that stores its bytes. A coin that a payout held is free again when
that payout is final and the scanner has seen what became of it: one of its coins is used up, by the
payout's own transaction or by another one that made it impossible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import batched
from typing import Any, Final

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from kauri.common import clock, money
from kauri.common.locks import lock
from kauri.core.models import Provider
from kauri.payment_provider.gateway import (
    Block,
    ConfigError,
    Gateway,
    GatewayError,
    IncomingTransfer,
    Output,
    PayoutState,
    PreparedPayout,
    ProviderBalance,
    ScanResult,
    Spend,
)
from kauri.payment_provider.gateway import Coin as WireCoin
from kauri.payment_provider.models import ChainBlock, Coin, CoinAddress, Payout

#: Names in one query: a block has some ten thousand outputs.
CHUNK: Final = 5_000
#: The largest free coins that a payout is offered.
OFFERED: Final = 1_000
RECEIVE, CHANGE, COLD = CoinAddress.Branch.RECEIVE, CoinAddress.Branch.CHANGE, CoinAddress.Branch.COLD


# -- addresses --------------------------------------------------------------------------------------


def remember(provider: Provider, addresses: Iterable[tuple[int, str]]) -> None:
    """From now on what comes to these deposit addresses (index, address) is ours to spend."""
    CoinAddress.objects.bulk_create(
        CoinAddress(provider=provider, branch=RECEIVE, index=index, address=address)
        for index, address in addresses
    )


def remember_cold(provider: Provider, address: str) -> None:
    """From now on what comes to this cold address is counted as ours, and never spent from here.

    ``ConfigError`` when it is one of the addresses that we pay from.
    """
    known = CoinAddress.objects.filter(provider=provider, address=address).first()
    if known is None:
        count = CoinAddress.objects.filter(provider=provider, branch=COLD).count()
        CoinAddress.objects.create(provider=provider, branch=COLD, index=count, address=address)
    elif known.branch != COLD:
        raise ConfigError("cold_address is one of the addresses that we pay from")


# -- the chain --------------------------------------------------------------------------------------


def follow(
    provider: Provider, orphaned_above: int | None, result: ScanResult
) -> tuple[IncomingTransfer, ...]:
    """Write what a stretch of the chain did to our coins; returns the transfers that concern us.

    In the caller's transaction, under the lock of the cursor.
    """
    if orphaned_above is not None:
        _take_back(provider, orphaned_above)
    places = {
        place.address: place
        for names in batched(sorted({transfer.address for transfer in result.transfers}), CHUNK)
        for place in CoinAddress.objects.filter(provider=provider, address__in=names)
    }
    ours = tuple(transfer for transfer in result.transfers if transfer.address in places)
    _write_new(provider, ours, places)
    _write_spends(provider, result.spends)
    return ours


def _take_back(provider: Provider, above: int) -> None:
    rows = Coin.objects.filter(provider=provider)
    rows.filter(spent_height__gt=above).update(spent_by="", spent_height=None, spent_hash="")
    rows.filter(block_height__gt=above).update(block_height=None, block_hash="")


def _write_new(
    provider: Provider, transfers: Sequence[IncomingTransfer], places: dict[str, CoinAddress]
) -> None:
    known = {
        (coin.transaction, coin.ordinal): coin
        for coin in _named(provider, {transfer.transaction for transfer in transfers})
    }
    fresh = []
    for transfer in transfers:
        coin = known.get((transfer.transaction, int(transfer.ordinal)))
        if coin is None:
            fresh.append(
                Coin(
                    provider=provider,
                    place=places[transfer.address],
                    transaction=transfer.transaction,
                    ordinal=int(transfer.ordinal),
                    amount=transfer.amount,
                    block_height=transfer.block.height,
                    block_hash=transfer.block.hash,
                    final_after=transfer.final_after,
                )
            )
        else:
            coin.block_height, coin.block_hash = transfer.block.height, transfer.block.hash
            coin.save(update_fields=["block_height", "block_hash"])
    Coin.objects.bulk_create(fresh)


def _write_spends(provider: Provider, spends: Sequence[Spend]) -> None:
    by_name = {(spend.transaction, spend.ordinal): spend for spend in spends}
    for coin in _named(provider, {spend.transaction for spend in spends}):
        spend = by_name.get((coin.transaction, coin.ordinal))
        if spend is not None:
            coin.spent_by, coin.spent_height, coin.spent_hash = spend.by, spend.block.height, spend.block.hash
            coin.save(update_fields=["spent_by", "spent_height", "spent_hash"])


def _named(provider: Provider, transactions: set[str]) -> Iterator[Coin]:
    for names in batched(sorted(transactions), CHUNK):
        yield from Coin.objects.filter(provider=provider, transaction__in=names)


# -- payouts ----------------------------------------------------------------------------------------


def free(provider: Provider, confirmations: int) -> QuerySet[Coin]:
    """Coins that a new payout may use: deep enough (our own change: in a block), unspent, held by nobody.

    ``confirmations``: what a deposit needs. Change that is in no block yet is never used: its
    transaction may still be replaced, and everything built on it would fall.
    """
    cursor = ChainBlock.objects.filter(provider=provider).first()
    if cursor is None:
        return Coin.objects.none()
    used = Coin.objects.filter(reserved_by=OuterRef("reserved_by")).exclude(spent_by="")
    released = Q(reserved_by__state__in=[Payout.State.CONFIRMED, Payout.State.FAILED]) & Exists(used)
    deep = Q(place__branch=CHANGE) | Q(block_height__lte=cursor.height - confirmations + 1)
    return (
        Coin.objects.filter(provider=provider, spent_by="", block_height__lte=cursor.height)
        .filter(block_height__lte=cursor.height + 1 - F("final_after"))
        .filter(deep)
        .exclude(place__branch=COLD)
        .filter(Q(reserved_by__isnull=True) | released)
    )


def parts(payout: Payout, confirmations: int, *, beside: Sequence[Payout] = (), more: bool) -> dict[str, Any]:
    """What a request says of coins: those the payout holds, with ``more`` also the free ones; what became
    of them; where change goes; and who else is paid."""
    lead = payout.lead or payout
    others = beside or [one for one in members(lead) if one.pk != payout.pk]
    held = list(Coin.objects.select_related("place").filter(reserved_by=lead).order_by("pk"))
    offered = list(held)
    if more:
        rows = free(payout.provider, confirmations).select_related("place").exclude(reserved_by=lead)
        offered += rows.order_by("-amount", "pk")[:OFFERED]
    return {
        "coins": tuple(wire(coin) for coin in offered),
        "spent": tuple(
            Spend(
                coin.transaction,
                coin.ordinal,
                coin.spent_by,
                Block(height=coin.spent_height, hash=coin.spent_hash, parent_hash=""),
            )
            for coin in held
            if coin.spent_height is not None
        ),
        "change_path": f"{CHANGE.value}/{_next_change(payout.provider)}",
        "beside": tuple(
            Output(str(one.public_id), one.destination, money.exact(one.amount, payout.currency.scale))
            for one in others
        ),
    }


def take(
    lead: Payout, prepared: PreparedPayout, gateway: Gateway, confirmations: int, change_path: str
) -> None:
    """Hold the coins that the bytes use up, in the transaction that stores them.

    GatewayError when another payout, or a reorg, was faster: the bytes are thrown away unsent.
    """
    wanted = set(prepared.spends)
    names = Q(transaction__in={name for name, _ in wanted})
    held = Coin.objects.filter(names, provider=lead.provider, reserved_by=lead)
    mine = {(coin.transaction, coin.ordinal) for coin in held}
    rows = lock(free(lead.provider, confirmations).filter(names))
    fresh = [coin for coin in rows if (coin.transaction, coin.ordinal) in wanted - mine]
    if len(fresh) != len(wanted - mine):
        raise GatewayError("another payout took one of the coins first")
    Coin.objects.filter(pk__in=[coin.pk for coin in fresh]).update(reserved_by=lead)
    _change_address(lead.provider, gateway, int(change_path.partition("/")[2]))


def members(lead: Payout) -> list[Payout]:
    """The payouts that one transaction pays, the first one first."""
    return [lead, *Payout.objects.filter(lead=lead).order_by("pk")]


def own_share(payout: Payout, state: PayoutState) -> PayoutState:
    """The state with this payout's share of the transaction's cost; what can't be divided is the first's."""
    if state.cost is None:
        return state
    lead = payout.lead or payout
    scale = payout.currency.scale
    share, rest = divmod(money.to_units(state.cost, scale), len(members(lead)))
    own = share + rest if payout.pk == lead.pk else share
    return replace(state, cost=money.from_units(own, scale))


def sent(lead: Payout) -> None:
    """The bytes went out: they were the companions' bytes too."""
    Payout.objects.filter(lead=lead, state=Payout.State.PREPARED).update(
        state=Payout.State.SENT, sent_at=clock.now()
    )


def proven(provider: Provider, gateway: Gateway, currency: str, *, cold: bool = True) -> ProviderBalance:
    """What we have there: the coins of our books, as far as the node finds each of them unspent.

    Without ``cold`` only those that can be paid from.
    """
    rows = _unspent(provider).select_related("place")
    if not cold:
        rows = rows.exclude(place__branch=COLD)
    total = Decimal(0)
    for some in batched(rows.order_by("pk"), OFFERED):
        total += sum((coin.amount for coin in gateway.unspent([wire(coin) for coin in some])), Decimal(0))
    return ProviderBalance(currency, total)


def unspent_total(provider: Provider) -> Decimal:
    """The sum of the coins that our rows call unspent, cold ones too."""
    return sum(_unspent(provider).values_list("amount", flat=True), Decimal(0))


def hot_total(provider: Provider) -> Decimal:
    """The sum of the coins that can be paid from and that no payout holds."""
    rows = _unspent(provider).exclude(place__branch=COLD)
    held = Q(reserved_by__state__in=Payout.OPEN_STATES)
    return sum(rows.exclude(held).values_list("amount", flat=True), Decimal(0))


def wire(coin: Coin) -> WireCoin:
    """A row as the port's value."""
    return WireCoin(coin.transaction, coin.ordinal, coin.amount, coin.place.address, coin.place.path)


def _unspent(provider: Provider) -> QuerySet[Coin]:
    return Coin.objects.filter(provider=provider, spent_by="", block_height__isnull=False)


def _next_change(provider: Provider) -> int:
    last = CoinAddress.objects.filter(provider=provider, branch=CHANGE).aggregate(last=Max("index"))["last"]
    return 0 if last is None else int(last) + 1


def _change_address(provider: Provider, gateway: Gateway, index: int) -> CoinAddress:
    place, _ = CoinAddress.objects.get_or_create(
        provider=provider,
        branch=CHANGE,
        index=index,
        defaults={"address": gateway.derive_address(index, change=True)},
    )
    return place

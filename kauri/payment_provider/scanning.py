"""Following a chain: a stored cursor, a walk back to the common ancestor on a reorg."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from kauri.common.locks import lock
from kauri.core.models import Provider
from kauri.payment_provider import coins, routing
from kauri.payment_provider.gateway import Block, Gateway, IncomingTransfer, ScanResult
from kauri.payment_provider.models import ChainBlock

#: Blocks kept behind the cursor; a deeper reorg stops the scanner and calls a person.
REORG_DEPTH: Final = 256
BATCH: Final = 100


class ReorgTooDeep(Exception):
    """No stored block is on the node's chain any more."""


class HistoryGone(ReorgTooDeep):
    """The node has forgotten blocks that the scanner has still to read."""


@dataclass(frozen=True, slots=True)
class Findings:
    """One committed stretch of the chain: what came, and from which height on the chain changed."""

    transfers: tuple[IncomingTransfer, ...]
    orphaned_above: int | None
    head: int


def advance(provider: Provider, apply: Callable[[Findings], None]) -> Findings | None:
    """Read the next stretch and commit blocks, cursor and ``apply``'s effects together.

    The network is asked before the transaction; inside it the cursor is locked and must still be
    where the reading began, otherwise the reading is dropped (None) and the next run does it.
    """
    gateway = routing.gateway_for(provider)
    start = ChainBlock.objects.filter(provider=provider).first()
    ancestor = _ancestor(provider, gateway, start)
    result = gateway.scan_incoming(ancestor, BATCH)
    if ancestor is not None and result.blocks and result.blocks[0].parent_hash != ancestor.hash:
        return None  # the chain changed while it was read
    with transaction.atomic():
        lock(Provider.objects.filter(pk=provider.pk)).get()
        now = ChainBlock.objects.filter(provider=provider).first()
        if (now.hash if now else None) != (start.hash if start else None):
            return None
        findings = _commit(provider, ancestor, start, result, has_coins=gateway.uses_coins)
        apply(findings)
    return findings


def require_known_chain(provider: Provider, gateway: Gateway) -> None:
    """Raise :class:`ReorgTooDeep` while no stored block is on the node's chain, or the next is pruned."""
    ancestor = _ancestor(provider, gateway, ChainBlock.objects.filter(provider=provider).first())
    if ancestor is not None and gateway.oldest_block() > ancestor.height + 1:
        raise HistoryGone(f"{provider.code}: the node has pruned block {ancestor.height + 1}, which we need")


def _ancestor(provider: Provider, gateway: Gateway, start: ChainBlock | None) -> Block | None:
    """The highest stored block that is still on the node's chain; None before the first scan."""
    if start is None:
        return None
    for stored in ChainBlock.objects.filter(provider=provider).iterator():
        block = gateway.block_at(stored.height)
        if block is not None and block.hash == stored.hash:
            return block
    raise ReorgTooDeep(f"{provider.code}: no common block in the last {REORG_DEPTH}")


def _commit(
    provider: Provider,
    ancestor: Block | None,
    start: ChainBlock | None,
    result: ScanResult,
    *,
    has_coins: bool,
) -> Findings:
    orphaned_above = None
    if ancestor is not None and start is not None and ancestor.height < start.height:
        orphaned_above = ancestor.height
        ChainBlock.objects.filter(provider=provider, height__gt=ancestor.height).delete()
    ChainBlock.objects.bulk_create(
        ChainBlock(provider=provider, height=block.height, hash=block.hash, parent_hash=block.parent_hash)
        for block in result.blocks
    )
    if result.blocks:
        ChainBlock.objects.filter(
            provider=provider, height__lt=result.blocks[-1].height - REORG_DEPTH
        ).delete()
    transfers = coins.follow(provider, orphaned_above, result) if has_coins else result.transfers
    return Findings(transfers=transfers, orphaned_above=orphaned_above, head=result.head)

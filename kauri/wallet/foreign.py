"""Tokens that are none of the house's, sent to addresses of ours: an inbox row each, and never money.

A customer who sends another token to their address asks about it sooner or later; whoever answers must see
it. Looked through are blocks that are deep enough to stay, behind the scanner and apart from it: nothing here
can hold up a deposit. Provider's setting: ``watch_foreign_tokens``, true or absent.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from itertools import batched
from typing import Final

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.models import Provider
from kauri.core.outbox import emit
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import ForeignTransfer, Gateway, GatewayError
from kauri.payment_provider.models import ChainBlock
from kauri.wallet.models import DepositAddress, ForeignToken, ForeignWatch

State = ForeignToken.State
#: Blocks of one question, questions of one run, and addresses held in memory at once.
STRETCH: Final = 200
STRETCHES: Final = 20
CHUNK: Final = 10_000
#: Anybody can send anything to a known address: of one contract so many rows wait for people, not more.
MOST_OPEN: Final = 20


def foreign_watch(provider_id: int) -> int:
    """Look through what has become deep enough since the last look; returns the rows that were made.

    Nothing where the provider does not ask for it, or its node does not answer (its health says so).
    """
    provider = Provider.objects.filter(pk=provider_id, is_enabled=True).first()
    if provider is None or provider.settings.get("watch_foreign_tokens") is not True:
        return 0
    made = 0
    try:
        gateway = routing.gateway_for(provider)
        if not gateway.sees_foreign:
            return 0
        for _ in range(STRETCHES):
            found = _look(provider, gateway)
            if found is None:
                break
            made += found
    except GatewayError:
        pass
    return made


@transaction.atomic
def foreign_explain(*, token_id: int, actor: Actor, explanation: str, whole_contract: bool = False) -> int:
    """A person says what it was, of this one or of all of its contract; returns how many rows that closed.

    Nothing moves by it: what is sent back is sent by hand. Raises ``forbidden``, ``not_found``,
    ``wrong_state`` (explained already), ``validation_error`` (no words).
    """
    require_permission(actor, "wallet.explain_foreigntoken")
    if not explanation.strip():
        raise KauriError("validation_error", fields={"explanation": "required"})
    row = lock(ForeignToken.objects.filter(pk=token_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    if row.state not in ForeignToken.OPEN_STATES:
        raise KauriError("wrong_state", "this is explained already")
    rows = ForeignToken.objects.filter(pk=row.pk)
    if whole_contract:
        rows = ForeignToken.objects.filter(
            provider=row.provider_id, contract=row.contract, state__in=ForeignToken.OPEN_STATES
        )
    closed = rows.update(
        state=State.EXPLAINED,
        explained_by=actor.label,
        explanation=explanation.strip(),
        closed_at=clock.now(),
    )
    audit(
        actor,
        "foreign_explain",
        object_type="foreign_token",
        object_id=str(row.pk),
        label=str(row),
        before={"state": row.state},
        after={"state": State.EXPLAINED.value, "contract": row.contract, "rows": closed},
        reason=explanation.strip(),
    )
    return closed


def _look(provider: Provider, gateway: Gateway) -> int | None:
    """One stretch of blocks; None when there is nothing to look at, or the chain changed meanwhile."""
    network = routing.network_of(provider)
    head = ChainBlock.objects.filter(provider=provider).first()
    if head is None:
        return None
    deep = head.height - (network.confirmations if network else 1) + 1
    watch = ForeignWatch.objects.filter(provider=provider).first()
    if watch is None:
        return _begin(provider, deep)
    if _left_the_chain(watch):
        _go_back(watch)
        watch.refresh_from_db()
    last = ChainBlock.objects.filter(
        provider=provider, height__gt=watch.height, height__lte=min(deep, watch.height + STRETCH)
    ).first()
    if last is None:
        # The scanner keeps so many blocks; further back its own gap is what people hear of.
        last = ChainBlock.objects.filter(provider=provider, height__lte=deep).last()
        if last is None or last.height <= watch.height:
            return None
    found = _ask(provider, gateway, watch.height + 1, last.height)
    now = gateway.block_at(last.height)
    if now is None or now.hash != last.hash:
        return None
    with transaction.atomic():
        locked = lock(ForeignWatch.objects.filter(pk=watch.pk)).get()
        if (locked.height, locked.block_hash) != (watch.height, watch.block_hash):
            return None
        made = _write(provider, found)
        locked.height, locked.block_hash = last.height, last.hash
        locked.save()
    return made


def _begin(provider: Provider, deep: int) -> int | None:
    """The first look only notes where it stands: what came before the watch was on is not asked for."""
    known = ChainBlock.objects.filter(provider=provider)
    block = known.filter(height__lte=deep).first() or known.last()
    if block is not None:
        ForeignWatch.objects.get_or_create(
            provider=provider, defaults={"height": block.height, "block_hash": block.hash}
        )
    return None


def _left_the_chain(watch: ForeignWatch) -> bool:
    block = ChainBlock.objects.filter(provider=watch.provider_id, height=watch.height).first()
    return block is not None and block.hash != watch.block_hash


@transaction.atomic
def _go_back(watch: ForeignWatch) -> None:
    """A reorganisation below what was deep enough: all that the scanner still knows is looked at anew."""
    locked = lock(ForeignWatch.objects.filter(pk=watch.pk)).get()
    oldest = ChainBlock.objects.filter(provider=watch.provider_id).last()
    if oldest is None or not _left_the_chain(locked):
        return
    locked.height, locked.block_hash = oldest.height, oldest.hash
    locked.save()
    ForeignToken.objects.filter(
        provider=watch.provider_id, block_height__gt=oldest.height, state__in=(State.OPEN, State.QUIET)
    ).update(state=State.GONE)


def _ask(provider: Provider, gateway: Gateway, first: int, last: int) -> list[ForeignTransfer]:
    given = DepositAddress.objects.filter(provider=provider, user__isnull=False).order_by("pk")
    names = given.values_list("address", flat=True).iterator(chunk_size=CHUNK)
    return [one for some in batched(names, CHUNK) for one in gateway.foreign_transfers(some, first, last)]


def _write(provider: Provider, found: Sequence[ForeignTransfer]) -> int:
    """Rows for what is new; what is known has at most another block."""
    known = {
        (row.transaction, row.ordinal): row
        for row in ForeignToken.objects.filter(
            provider=provider, transaction__in={one.transaction for one in found}
        )
    }
    contracts = {one.contract for one in found}
    waiting: Counter[str] = Counter(
        ForeignToken.objects.filter(provider=provider, contract__in=contracts, state=State.OPEN).values_list(
            "contract", flat=True
        )
    )
    fresh = []
    for one in found:
        row = known.get((one.transaction, one.ordinal))
        if row is None:
            row = ForeignToken(
                provider=provider,
                contract=one.contract,
                address=one.address,
                sender=one.sender,
                transaction=one.transaction,
                ordinal=one.ordinal,
                amount=one.amount,
                is_item=one.is_item,
                block_height=one.height,
                block_hash=one.block_hash,
                state=_open_or_quiet(waiting, one.contract),
            )
            fresh.append(row)
            continue
        row.block_height, row.block_hash = one.height, one.block_hash
        if row.state == State.GONE:
            row.state = _open_or_quiet(waiting, one.contract)
        row.save(update_fields=["block_height", "block_hash", "state"])
    ForeignToken.objects.bulk_create(fresh)
    told = [row for row in fresh if row.state == State.OPEN]
    if told:
        _tell(provider, told)
    return len(fresh)


def _open_or_quiet(waiting: Counter[str], contract: str) -> State:
    if waiting[contract] >= MOST_OPEN:
        return State.QUIET
    waiting[contract] += 1
    return State.OPEN


def _tell(provider: Provider, rows: Sequence[ForeignToken]) -> None:
    """Once a stretch, however many there are: the inbox has them all."""
    first = rows[0]
    emit(
        "foreign_token.seen",
        subject_type="provider",
        subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}"),
        payload={
            "provider": provider.title,
            "contract": first.contract,
            "amount": first.amount,
            "address": first.address,
            "transaction": first.transaction,
            "more": len(rows) - 1,
            "token_id": str(first.pk),
        },
    )

"""The only writer of money: post (one or many), hold, capture, release, reverse. One statement each.

Call it last in the caller's transaction (account locks live until commit), after the order row is
locked, and once: a business step is one transfer. A repeat with the same key and the same request
answers the first transfer again.

Errors: ``insufficient_funds``; ``conflict`` (the key was used for another request);
:class:`LedgerFault` for what only a programming error can cause.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from django.db import DatabaseError, connection

from kauri.balance.chart import CHART, AccountKind, Owner, TransferKind
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.common.money import plain
from kauri.core.models import Currency

#: Sorts accounts without an owner last, as ``ledger_write`` does: the greatest bigint.
_NOBODY: Final = 2**63 - 1


class LedgerFault(Exception):
    """The ledger refused a posting that the code should never have made."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One signed amount on one ledger account, named by kind, currency and owner."""

    kind: AccountKind
    currency: Currency
    amount: Decimal
    customer_id: int | None = None
    provider_id: int | None = None

    def __post_init__(self) -> None:
        owner = CHART[self.kind].owner
        if (self.customer_id is not None) != (owner is Owner.CUSTOMER) or (self.provider_id is not None) != (
            owner is Owner.PROVIDER
        ):
            raise LedgerFault(f"{self.kind.name} belongs to a {owner.value}")
        if not isinstance(self.amount, Decimal):
            raise LedgerFault("an amount is a Decimal")


@dataclass(frozen=True, slots=True)
class Posted:
    transfer_id: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A transfer that is to be posted with others."""

    key: uuid.UUID
    legs: Sequence[Leg]
    order_id: uuid.UUID | None = None
    reference: str = ""


def post(
    key: uuid.UUID,
    kind: TransferKind,
    legs: Sequence[Leg],
    *,
    actor: Actor,
    order_id: uuid.UUID | None = None,
    reference: str = "",
    meta: dict[str, Any] | None = None,
    reverses_id: int | None = None,
) -> Posted:
    """Write one balanced transfer."""
    merged = _merged(legs)
    return _call(
        "select transfer_id, replayed from ledger_post(%s::uuid, %s::bytea, %s::smallint, %s::smallint[],"
        " %s::smallint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::uuid, %s::text, %s::text, %s::jsonb,"
        " %s::bigint)",
        [
            key,
            _hash(kind, merged, order_id, reverses_id),
            int(kind),
            *_columns(merged),
            order_id,
            author(actor),
            reference,
            None if meta is None else json.dumps(meta, default=str),
            reverses_id,
        ],
    )


def post_batch(kind: TransferKind, drafts: Sequence[Draft], *, actor: Actor) -> list[Posted]:
    """Write up to 1,000 balanced transfers of one kind in one call, all of them or none.

    Answers in the order of ``drafts``; one that was posted before is told as replayed. A customer's
    balance may not go below zero after any of them. Errors as :func:`post`'s.
    """
    merged = [_merged(draft.legs) for draft in drafts]
    every = [leg for legs in merged for leg in legs]
    rows = _rows(
        "select transfer_id, replayed from ledger_post_batch(%s::uuid[], %s::bytea[], %s::smallint, %s::uuid[],"
        " %s::text[], %s::text, %s::int[], %s::smallint[], %s::smallint[], %s::bigint[], %s::bigint[],"
        " %s::numeric[]) order by place",
        [
            [draft.key for draft in drafts],
            [_hash(kind, legs, draft.order_id, None) for draft, legs in zip(drafts, merged, strict=True)],
            int(kind),
            [draft.order_id for draft in drafts],
            [draft.reference for draft in drafts],
            author(actor),
            _array(str(place) for place, legs in enumerate(merged, 1) for _ in legs),
            *_columns(every),
        ],
    )
    return [Posted(*row) for row in rows]


def hold(
    order_id: uuid.UUID,
    kind: TransferKind,
    *,
    customer_id: int,
    currency: Currency,
    amount: Decimal,
    actor: Actor,
    reference: str = "",
) -> Posted:
    """Set ``amount`` of the customer's available money aside for the order, once."""
    legs = [
        Leg(AccountKind.CUSTOMER_AVAILABLE, currency, -amount, customer_id=customer_id),
        Leg(AccountKind.CUSTOMER_HELD, currency, amount, customer_id=customer_id),
    ]
    return _call(
        "select transfer_id, replayed from ledger_hold(%s::uuid, %s::bytea, %s::smallint, %s::uuid,"
        " %s::bigint, %s::smallint, %s::numeric, %s::text, %s::text)",
        [
            ledger_key(order_id, "hold"),
            _hash(kind, legs, order_id, None),
            int(kind),
            order_id,
            customer_id,
            currency.pk,
            amount,
            author(actor),
            reference,
        ],
    )


def capture(
    order_id: uuid.UUID,
    kind: TransferKind,
    legs: Sequence[Leg],
    *,
    amount: Decimal,
    actor: Actor,
    step: str = "capture",
    reference: str = "",
    meta: dict[str, Any] | None = None,
) -> Posted:
    """Take ``amount`` of the order's hold for good. ``legs`` say where it goes (held leg included)."""
    return _settle(order_id, kind, legs, amount, actor, step, reference, meta, take=True)


def release(
    order_id: uuid.UUID,
    kind: TransferKind,
    *,
    customer_id: int,
    currency: Currency,
    amount: Decimal,
    actor: Actor,
    step: str = "release",
    reference: str = "",
    extra_legs: Sequence[Leg] = (),
) -> Posted:
    """Give ``amount`` of the order's hold back to the customer's available money.

    ``extra_legs`` (balanced by themselves) book what the failed try has cost, in the same transfer.
    """
    legs = [
        Leg(AccountKind.CUSTOMER_HELD, currency, -amount, customer_id=customer_id),
        Leg(AccountKind.CUSTOMER_AVAILABLE, currency, amount, customer_id=customer_id),
        *extra_legs,
    ]
    return _settle(order_id, kind, legs, amount, actor, step, reference, None, take=False)


def reverse(transfer_id: int, *, actor: Actor, reason: str, meta: dict[str, Any] | None = None) -> Posted:
    """Post the opposite of a transfer, naming it; at most once. A mistake is never erased.

    What moved held money is not reversed (its hold would still speak of it), nor is a reversal.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select t.order_id, a.kind, e.currency_id, -e.amount, a.customer_id, a.provider_id"
            " from ledger_transfer t join ledger_entry e on e.transfer_id = t.id"
            " join ledger_account a on a.id = e.account_id where t.id = %s",
            [transfer_id],
        )
        rows = cursor.fetchall()
    if not rows:
        raise KauriError("not_found", f"no transfer {transfer_id}")
    currencies = Currency.objects.in_bulk({row[2] for row in rows})
    legs = [
        Leg(AccountKind(kind), currencies[currency], amount, customer_id=customer, provider_id=provider)
        for _, kind, currency, amount, customer, provider in rows
    ]
    return post(
        ledger_key("reverse", transfer_id),
        TransferKind.REVERSAL,
        legs,
        actor=actor,
        order_id=rows[0][0],
        reference=reason[:254],
        meta=meta,
        reverses_id=transfer_id,
    )


def roll(limit: int = 50_000) -> int:
    """Fold the queued changes of hot accounts into their balances; -1 when another roller works."""
    with connection.cursor() as cursor:
        cursor.execute("select ledger_roll(%s)", [limit])
        row = cursor.fetchone()
    return int(row[0])


def _settle(
    order_id: uuid.UUID,
    kind: TransferKind,
    legs: Sequence[Leg],
    amount: Decimal,
    actor: Actor,
    step: str,
    reference: str,
    meta: dict[str, Any] | None,
    *,
    take: bool,
) -> Posted:
    merged = _merged(legs)
    return _call(
        "select transfer_id, replayed from ledger_settle_hold(%s::uuid, %s::bytea, %s::smallint, %s::uuid,"
        " %s::numeric, %s::boolean, %s::smallint[], %s::smallint[], %s::bigint[], %s::bigint[],"
        " %s::numeric[], %s::text, %s::text, %s::jsonb)",
        [
            ledger_key(order_id, step),
            _hash(kind, merged, order_id, None),
            int(kind),
            order_id,
            amount,
            take,
            *_columns(merged),
            author(actor),
            reference,
            None if meta is None else json.dumps(meta, default=str),
        ],
    )


def _merged(legs: Iterable[Leg]) -> list[Leg]:
    """Add up legs on one account, drop what cancels out, and sort by the one order of locks."""
    sums: dict[tuple[int, int, int, int], Leg] = {}
    for leg in legs:
        place = (leg.customer_id or _NOBODY, leg.provider_id or _NOBODY, leg.currency.pk, int(leg.kind))
        known = sums.get(place)
        if known is not None:
            leg = replace(leg, amount=leg.amount + known.amount)
        sums[place] = leg
    return [sums[place] for place in sorted(sums) if sums[place].amount != 0]


def _columns(legs: Sequence[Leg]) -> list[str]:
    """Array literals. Numbers only, so nothing in them needs quoting; far cheaper than adapted lists."""
    return [
        _array(str(int(leg.kind)) for leg in legs),
        _array(str(leg.currency.pk) for leg in legs),
        _array("null" if leg.customer_id is None else str(leg.customer_id) for leg in legs),
        _array("null" if leg.provider_id is None else str(leg.provider_id) for leg in legs),
        _array(str(leg.amount) for leg in legs),
    ]


def _array(values: Iterable[str]) -> str:
    return "{" + ",".join(values) + "}"


def _hash(
    kind: TransferKind, legs: Sequence[Leg], order_id: uuid.UUID | None, reverses_id: int | None
) -> bytes:
    parts = sorted(
        f"{int(leg.kind)}|{leg.currency.pk}|{leg.customer_id}|{leg.provider_id}|{plain(leg.amount)}"
        for leg in legs
    )
    return hashlib.sha256(
        "\n".join([str(int(kind)), str(order_id), str(reverses_id), *parts]).encode()
    ).digest()


def author(actor: Actor) -> str:
    """Who, as the ledger's own rows name them: kind, id and label."""
    return f"{actor.kind.value}:{actor.id}:{actor.label}"[:254]


def _call(sql: str, params: list[Any]) -> Posted:
    return Posted(*_rows(sql, params)[0])


def _rows(sql: str, params: list[Any]) -> list[Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[Any] = cursor.fetchall()
    except DatabaseError as exc:
        raise _translated(exc) from exc
    return rows


def _translated(exc: DatabaseError) -> Exception:
    cause = exc.__cause__
    state = getattr(cause, "sqlstate", None)
    constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
    if constraint == "ledger_account_no_overdraft":
        return KauriError("insufficient_funds")
    if state == "LG409":
        return KauriError("conflict", "this ledger step was already done differently")
    if constraint == "ledger_transfer_reverses_once":
        return KauriError("conflict", "this transfer was already reversed")
    if state is not None and state.startswith("LG"):
        return LedgerFault(str(cause).splitlines()[0])
    return exc

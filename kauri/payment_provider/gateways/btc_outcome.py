"""What a node's answers mean for a Bitcoin payout: refusals, and what became of its attempts.

The one rule behind all of it: FAILED is said only of a payment that can never be mined any more. No
index of transactions and no wallet is asked for: the pool knows what waits, the set of unspent outputs
knows what is mined and not yet spent, and the caller's books know in which block a coin of ours was
used up, which the node then confirms by that block's hash. A pruned node can tell all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from kauri.common import money
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import (
    Attempt,
    ConfigError,
    OutcomeUnknown,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Retryable,
)
from kauri.payment_provider.gateways.btc_payer import fee_of, inputs_of, parse
from kauri.payment_provider.gateways.btc_rpc import GENESIS, INFO, NO_SUCH_THING, BtcNode, field, whole
from kauri.payment_provider.gateways.btc_settings import DIGITS

ALREADY_MINED: Final = -27
WARMING_UP: Final = -28
# Bitcoin Core and its forks agree on these words more than on the codes.
_KNOWN: Final = re.compile(r"already[ -]in[ -](block chain|mempool|utxo set)|already-known|outputs already")
_SPENT: Final = re.compile(
    r"missing-?inputs|missingorspent|mempool-conflict|rejecting replacement|insufficient fee"
)
_NOT_NOW: Final = re.compile(
    r"min relay fee|mempool min fee|mempool full|too-long-mempool-chain|too many|non-final|premature-spend"
)
_MEND: Final = re.compile(
    r"dust|scriptpubkey|script-verify|max-fee|absurdly|tx-size|bad-txns|bad-witness|decode failed|version|cltv|exceeds"
)


def refused_unknown(reference: str, refusal: RpcError) -> PayoutState:
    """The node refused signed bytes and shows no attempt of ours: what may be said then.

    Returns PENDING or UNKNOWN; raises Retryable, ConfigError (not accepted) or OutcomeUnknown. Never
    Rejected: the bytes stay valid and may be accepted elsewhere or later.
    """
    words = refusal.message.lower()
    if refusal.code == ALREADY_MINED or _KNOWN.search(words):
        return PayoutState(PayoutStatus.PENDING, reference)
    if _SPENT.search(words):
        # Mined and spent on, or another transaction uses a coin: the look-up finds out.
        return PayoutState(PayoutStatus.UNKNOWN, reference, answer={"reason": f"refused: {refusal.message}"})
    if refusal.code == WARMING_UP or _NOT_NOW.search(words):
        raise Retryable(f"the node does not accept it now ({refusal})")
    if _MEND.search(words):
        raise ConfigError(f"the node cannot accept it ({refusal})")
    raise OutcomeUnknown(f"the node refused with words not known here ({refusal})")


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in the chain."""

    reference: str
    confirmations: int
    block: str = ""


@dataclass(frozen=True)
class Lookup:
    """One question: what became of a payout's attempts? Reads only; failures are Retryable."""

    node: BtcNode
    request: PayoutRequest
    prepared: PreparedPayout

    def state(self) -> PayoutState:
        """The state, never guessed: what the node cannot prove is UNKNOWN."""
        genesis, info = self.node.read([GENESIS, INFO])
        chain = self.node.settings.chain
        if genesis != chain.genesis or field(info, "chain") != chain.rpc_chain:
            return self._unknown("the node serves another chain")
        if self._waits_in_pool():
            return PayoutState(PayoutStatus.PENDING, self.prepared.provider_reference)
        mined = self._mined_and_unspent() or self._mined_by_the_books()
        if mined is not None:
            return self._depth(mined)
        foreign = self._foreign()
        if foreign is not None:
            return foreign
        verdict = self._by_coins(syncing=field(info, "initialblockdownload") is not False)
        [now] = self.node.read([Call("getbestblockhash")])
        if now != field(info, "bestblockhash"):
            # A block came between two questions: their answers don't fit together.
            return PayoutState(PayoutStatus.PENDING, self.prepared.provider_reference)
        return verdict

    @cached_property
    def attempts(self) -> tuple[Attempt, ...]:
        """All of them, the newest first."""
        newest = Attempt(
            self.prepared.provider_reference, self.prepared.payload, cancels=self.prepared.cancels
        )
        return (newest, *reversed(self.prepared.earlier))

    def _waits_in_pool(self) -> bool:
        answers = self.node.try_read(
            [Call("getmempoolentry", (one.provider_reference,)) for one in self.attempts]
        )
        return any(_present(answer) for answer in answers)

    def _mined_and_unspent(self) -> Mined | None:
        """An attempt that has an output in the set of unspent ones."""
        wanted = [
            (one.provider_reference, place)
            for one in self.attempts
            for place in range(len(parse(one.payload).vout))
        ]
        answers = self.node.read([Call("gettxout", (name, place, False)) for name, place in wanted])
        for (name, _), answer in zip(wanted, answers, strict=True):
            if answer is not None:
                return Mined(name, whole(field(answer, "confirmations")))
        return None

    def _mined_by_the_books(self) -> Mined | None:
        """An attempt that our scanner saw use its coins, all of whose outputs are spent by now."""
        ours = {one.provider_reference for one in self.attempts}
        for name, block in self._blocks_of_spenders().items():
            if name in ours and (depth := self._depth_of(name, block)):
                return Mined(name, depth, block)
        return None

    def _foreign(self) -> PayoutState | None:
        """Whether transactions that are not ours have made every paying attempt impossible, and how deep."""
        deep: dict[str, int] = {}
        ours = {one.provider_reference for one in self.attempts}
        for name, block in self._blocks_of_spenders().items():
            if name not in ours:
                deep[name] = self._depth_of(name, block)
        taken = {
            (spend.transaction, spend.ordinal): (spend.by, deep[spend.by])
            for spend in self.request.spent
            if deep.get(spend.by)
        }
        if not taken:
            return None
        depths = []
        for one in self.attempts:
            if not one.cancels:
                hits = [taken[name] for name in inputs_of(parse(one.payload)) if name in taken]
                depths.append(max((depth for _, depth in hits), default=0))
        names = ", ".join(sorted({by for by, _ in taken.values()}))
        answer = {"reason": "another transaction used its coins", "other": names}
        final = bool(depths) and min(depths) >= self.request.min_confirmations
        status = PayoutStatus.FAILED if final else PayoutStatus.UNKNOWN
        return PayoutState(status, self.prepared.provider_reference, answer=answer)

    def _by_coins(self, *, syncing: bool) -> PayoutState:
        """Nothing is mined and nothing waits: are the coins of the newest attempt still there?"""
        if syncing:
            return self._unknown("the node is still downloading the chain")
        names = inputs_of(parse(self.prepared.payload))
        calls = [Call("gettxout", (name, place, pool)) for name, place in names for pool in (False, True)]
        answers = self.node.read(calls)
        chain, pool = answers[0::2], answers[1::2]
        if any(answer is None for answer in chain):
            return self._unknown("a coin is gone, and by whom is not to be seen yet")
        if any(answer is None for answer in pool):
            return self._unknown("another transaction in the node's pool uses a coin")
        return PayoutState(PayoutStatus.NOT_FOUND, self.prepared.provider_reference)

    def _depth(self, mined: Mined) -> PayoutState:
        [attempt] = [one for one in self.attempts if one.provider_reference == mined.reference]
        answer: dict[str, Any] = {"transaction": mined.reference, "confirmations": mined.confirmations}
        if attempt.cancels:
            answer["reason"] = "a cancelling transaction took its place"
        status = PayoutStatus.PENDING
        if mined.confirmations >= self.request.min_confirmations:
            status = PayoutStatus.FAILED if attempt.cancels else PayoutStatus.CONFIRMED
        return PayoutState(
            status,
            self.prepared.provider_reference,
            confirmations=mined.confirmations,
            mined_reference=mined.reference,
            cost=self._cost(attempt),
            cost_currency=self.request.currency,
            answer=answer,
        )

    def _cost(self, attempt: Attempt) -> Decimal | None:
        try:
            fee = fee_of(parse(attempt.payload), self.request.coins)
        except ConfigError:
            return None
        return money.from_units(fee, DIGITS)

    def _blocks_of_spenders(self) -> dict[str, str]:
        """Who used up coins of ours, by the caller's books, and in which block."""
        return {spend.by: spend.block.hash for spend in self.request.spent}

    def _depth_of(self, name: str, block: str) -> int:
        """Confirmations of a transaction that is said to be in ``block``; 0 when the node can't confirm it."""
        header, body = self.node.try_read([Call("getblockheader", (block,)), Call("getblock", (block, 1))])
        if not isinstance(header, Mapping) or not isinstance(body, Mapping):
            return 0
        depth = header.get("confirmations")
        return depth if isinstance(depth, int) and depth > 0 and name in body.get("tx", ()) else 0

    def _unknown(self, reason: str) -> PayoutState:
        return PayoutState(PayoutStatus.UNKNOWN, self.prepared.provider_reference, answer={"reason": reason})


def _present(answer: object) -> bool:
    if isinstance(answer, RpcError):
        if answer.code == NO_SUCH_THING:
            return False
        raise Retryable(f"the node refuses getmempoolentry ({answer})")
    return True

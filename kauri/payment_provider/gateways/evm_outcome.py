"""What an Ethereum node's answers mean for a payout: refusals, receipts, and nonces that others took.

The one rule behind all of it: FAILED is said only of a payment that can never be made any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kauri.common import evm, money
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import (
    ConfigError,
    InsufficientFloat,
    OutcomeUnknown,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Retryable,
)
from kauri.payment_provider.gateways.evm_node import (
    LATEST_BLOCK,
    WEI_DIGITS,
    EvmNode,
    number,
    to_block,
)

#: How many blocks back the user of a nonce is looked for: a week, on a node that keeps its states.
SEARCH_WINDOW: Final = 50_000

# Nodes agree on words more than on codes (geth, Erigon, Nethermind, Besu, anvil).
_KNOWN: Final = re.compile(r"already (known|imported)|alreadyknown|\bknown transaction")
_NONCE_USED: Final = re.compile(r"nonce (is )?too low|oldnonce")
_NO_FUNDS: Final = re.compile(r"insufficient ?funds|upfront cost exceeds")
_NOT_NOW: Final = re.compile(
    r"underpriced|less than block base fee|fee ?too ?low|pool is full|rate limit|too many requests"
    r"|nonce too high|gapped-nonce"
)
_MEND: Final = re.compile(
    r"chain ?id|intrinsic gas|block gas limit|exceeds the configured cap|invalid sender|invalid signature"
)


def refused_unknown(reference: str, refusal: RpcError) -> PayoutState:
    """The node refused signed bytes and does not know their hash: what may be said then.

    Returns PENDING or UNKNOWN; raises InsufficientFloat, Retryable, ConfigError (not accepted) or
    OutcomeUnknown. Never Rejected: the bytes stay valid and may be accepted elsewhere or later.
    """
    words = refusal.message.lower()
    if _KNOWN.search(words):
        return PayoutState(PayoutStatus.PENDING, reference)
    if _NONCE_USED.search(words):
        # Another transaction has the nonce, or ours is mined and this node lags behind.
        return PayoutState(PayoutStatus.UNKNOWN, reference, answer={"reason": "the nonce is already used"})
    if _NO_FUNDS.search(words):
        raise InsufficientFloat("the hot wallet cannot pay the network's fee")
    if _NOT_NOW.search(words):
        raise Retryable(f"the node does not accept it now ({refusal})")
    if _MEND.search(words):
        raise ConfigError(f"the node cannot accept it ({refusal})")
    raise OutcomeUnknown(f"the node refused with words not known here ({refusal})")


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question: what became of the payout's transactions? Reads only; failures are Retryable.

    All of its attempts have one nonce, so that at most one of them is ever mined.
    """

    node: EvmNode
    prepared: PreparedPayout
    sender: str
    recipient: str
    nonce: int
    need: int  # confirmations before anything is final

    @property
    def reference(self) -> str:
        return self.prepared.provider_reference

    @property
    def cancels(self) -> dict[str, bool]:
        """Every attempt's hash, and whether it pays nobody; the newest first."""
        earlier = {one.provider_reference: one.cancels for one in reversed(self.prepared.earlier)}
        return {self.reference: self.prepared.cancels, **earlier}

    def state(self) -> PayoutState:
        """The state, never guessed: what the node cannot prove is UNKNOWN."""
        names = list(self.cancels)
        chain, syncing, head, count, *found = self.node.read(
            [
                Call("eth_chainId"),
                Call("eth_syncing"),
                LATEST_BLOCK,
                Call("eth_getTransactionCount", (self.sender, "latest")),
                *(Call("eth_getTransactionReceipt", (name,)) for name in names),
                *(Call("eth_getTransactionByHash", (name,)) for name in names),
            ]
        )
        if number(chain) != self.node.settings.chain_id:
            return self._unknown("the node serves another chain")
        height = to_block(head).height
        receipts, known = found[: len(names)], found[len(names) :]
        for name, receipt in zip(names, receipts, strict=True):
            if isinstance(receipt, Mapping) and receipt.get("blockNumber"):
                return self._mined(name, receipt, height)
        if known[0] is not None:
            return PayoutState(PayoutStatus.PENDING, self.reference)
        if syncing is not False:
            return self._unknown("the node is catching up with the chain")
        if number(count) <= self.nonce:
            # Also when the node still has an older attempt: the newest is sent again.
            return PayoutState(PayoutStatus.NOT_FOUND, self.reference)
        return self._nonce_taken(height)

    def _mined(self, name: str, receipt: Mapping[str, Any], height: int) -> PayoutState:
        confirmations = max(0, height - number(receipt["blockNumber"]) + 1)
        gas, price = number(receipt.get("gasUsed")), number(receipt.get("effectiveGasPrice"))
        status = receipt.get("status")
        verdict = PayoutStatus.PENDING
        reason = ""
        if confirmations >= self.need:
            if self.cancels[name]:
                verdict, reason = PayoutStatus.FAILED, "it was cancelled: its nonce paid nobody"
            elif status == "0x0":
                verdict, reason = PayoutStatus.FAILED, "the transaction was reverted"
            elif status == "0x1" and self._has_paid(receipt):
                verdict = PayoutStatus.CONFIRMED
            else:
                verdict, reason = PayoutStatus.UNKNOWN, "mined, but no token reached the recipient"
        answer = {
            "block": number(receipt["blockNumber"]),
            "block_hash": receipt.get("blockHash"),
            "gas_used": gas,
            "gas_price_wei": price,
            "status": status,
        }
        return PayoutState(
            verdict,
            name,
            confirmations=confirmations,
            mined_reference=name,
            cost=money.from_units(gas * price, WEI_DIGITS),
            cost_currency=self.node.settings.native_currency,
            answer={**answer, "reason": reason} if reason else answer,
        )

    def _has_paid(self, receipt: Mapping[str, Any]) -> bool:
        """A token may return false instead of reverting: then it is mined well and nothing has moved."""
        if not self.node.settings.token:
            return True
        token = self.node.settings.token.lower()
        wanted = [evm.TRANSFER_TOPIC, "0x" + evm.word(self.sender), "0x" + evm.word(self.recipient)]
        logs = [log for log in receipt.get("logs") or [] if str(log.get("address")).lower() == token]
        return any([str(topic).lower() for topic in log.get("topics", [])] == wanted for log in logs)

    def _nonce_taken(self, height: int) -> PayoutState:
        """The nonce is used and our hash is unknown: find who used it, for only that is proof.

        A node that has dropped its index of old transactions, or a balancer whose machines differ,
        shows the same picture for a payment that was made.
        """
        block = self._block_that_used_nonce(height)
        [full] = self.node.read([Call("eth_getBlockByNumber", (hex(block), True))])
        for transaction in (full or {}).get("transactions", []):
            if str(transaction.get("from")).lower() != self.sender.lower():
                continue
            if number(transaction.get("nonce")) != self.nonce:
                continue
            other = str(transaction["hash"]).lower()
            depth = height - block + 1
            if other in self.cancels:
                return PayoutState(PayoutStatus.PENDING, other, confirmations=depth)
            answer = {"reason": "another transaction used its nonce", "other": other, "block": block}
            final = depth >= self.need
            return PayoutState(
                PayoutStatus.FAILED if final else PayoutStatus.UNKNOWN, self.reference, answer=answer
            )
        return self._unknown("the nonce is used, and by whom is not to be seen")

    def _block_that_used_nonce(self, height: int) -> int:
        """The first block, of those whose state the node can tell, after which the nonce is used.

        Old states are forgotten: those count as "not used yet", and the caller's look into the block
        shows whether this was right.
        """
        low, high = max(-1, height - SEARCH_WINDOW), height
        while high - low > 1:
            middle = (low + high) // 2
            count = self._count_at(middle)
            if count is not None and count > self.nonce:
                high = middle
            else:
                low = middle
        return high

    def _count_at(self, height: int) -> int | None:
        call = Call("eth_getTransactionCount", (self.sender, hex(height)))
        [answer] = self.node.try_read([call])
        return None if isinstance(answer, RpcError) else number(answer)

    def _unknown(self, reason: str) -> PayoutState:
        return PayoutState(PayoutStatus.UNKNOWN, self.reference, answer={"reason": reason})

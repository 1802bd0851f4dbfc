"""Tokens of other contracts that come to addresses of ours: seen, and never money.

One question names up to :data:`TOPICS` addresses and a stretch of blocks, whatever the contract; what a
whole transaction did is then read from its receipt, whose places no reorganisation changes. So the cost is
one question per so many addresses and stretch, and one receipt per foreign transaction.

Seen are the events of ERC-20 and ERC-721, whose name is the same; ERC-1155 has events of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import batched
from typing import Any, Final

from kauri.common import evm
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import ForeignTransfer, Retryable
from kauri.payment_provider.gateways.evm_node import EvmNode, number

#: Addresses of one question; nodes refuse more than a thousand.
TOPICS: Final = 500
_TOKEN_TOPICS: Final = 3
_ITEM_TOPICS: Final = 4
_WORD_LENGTH: Final = 66


def read(node: EvmNode, addresses: Sequence[str], first: int, last: int) -> list[ForeignTransfer]:
    """What came to ``addresses`` of contracts other than the settings' token, in the chain's order."""
    questions = [Call("eth_getLogs", (_filter(some, first, last),)) for some in batched(addresses, TOPICS)]
    [chain], answers = node.read([Call("eth_chainId")]), node.try_read(questions)
    node.require_chain(chain)
    own = node.settings.token.lower()
    names: dict[str, None] = {}  # in the order of the chain
    for question, answer in zip(questions, answers, strict=True):
        for log in _logs(node, question, answer, first, last):
            if str(log.get("address")).lower() != own:
                names[str(log.get("transactionHash")).lower()] = None
    ours = {address.lower() for address in addresses}
    receipts = node.read([Call("eth_getTransactionReceipt", (name,)) for name in names])
    found = [
        one
        for name, receipt in zip(names, receipts, strict=True)
        for one in _in_receipt(name, receipt, own, ours)
    ]
    if any(not first <= one.height <= last for one in found):
        raise Retryable("the chain changed while foreign tokens were looked for")
    return sorted(found, key=lambda one: (one.height, one.transaction, one.ordinal))


def _filter(addresses: Sequence[str], first: int, last: int) -> dict[str, object]:
    places = ["0x" + evm.word(address) for address in addresses]
    return {"fromBlock": hex(first), "toBlock": hex(last), "topics": [evm.TRANSFER_TOPIC, None, places]}


def _logs(node: EvmNode, question: Call, answer: object, first: int, last: int) -> list[Mapping[str, Any]]:
    """The answer's logs. Hosts bound what one answer may hold: a refused stretch is asked for in halves."""
    if isinstance(answer, RpcError):
        if first == last:
            raise Retryable(f"the node refuses {question.method} ({answer})")
        [asked] = question.params
        middle = (first + last) // 2
        found = []
        for low, high in ((first, middle), (middle + 1, last)):
            half = Call(
                question.method,
                ({**dict(asked), "fromBlock": hex(low), "toBlock": hex(high)},),  # type: ignore[call-overload]
            )
            found += _logs(node, half, node.try_read([half])[0], low, high)
        return found
    if not isinstance(answer, list) or not all(isinstance(log, Mapping) for log in answer):
        raise Retryable("the node's logs are not readable")
    return answer


def _in_receipt(name: str, receipt: object, own: str, ours: set[str]) -> Iterator[ForeignTransfer]:
    """Which of the transaction's events are transfers to us. What has no readable amount is none."""
    if not isinstance(receipt, Mapping) or not isinstance(receipt.get("logs"), list):
        raise Retryable("a transaction is no longer in the chain")
    height, block_hash = number(receipt.get("blockNumber")), str(receipt.get("blockHash")).lower()
    for place, log in enumerate(receipt["logs"]):
        try:
            topics, contract = log["topics"], evm.to_address(str(log["address"]).lower())
            if len(topics) < _TOKEN_TOPICS or topics[0].lower() != evm.TRANSFER_TOPIC:
                continue
            address, is_item = evm.topic_address(topics[2]), len(topics) == _ITEM_TOPICS
            if contract.lower() == own or address.lower() not in ours:
                continue
            if not is_item and len(log["data"]) != _WORD_LENGTH:
                continue
            amount, sender = evm.quantity(topics[3] if is_item else log["data"]), evm.topic_address(topics[1])
        except ValueError:
            continue  # any contract may write what it likes
        except (KeyError, TypeError, AttributeError):
            raise Retryable("the node's receipt is not readable") from None
        # Transfers of nothing are free of charge and used to plant look-alike addresses.
        if amount or is_item:
            yield ForeignTransfer(
                transaction=name,
                ordinal=place,
                contract=contract,
                sender=sender,
                address=address,
                amount=str(amount),
                is_item=is_item,
                height=height,
                block_hash=block_hash,
            )

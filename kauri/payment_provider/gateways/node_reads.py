"""What every node's reads have in common: a batch, and failures in the port's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kauri.common.jsonrpc import Call, JsonRpc, NoAnswer, NotSent, RpcError
from kauri.payment_provider.gateway import Retryable


class NodeReads:
    """Reads of one node. Every failure is :class:`Retryable`: a read sends nothing."""

    rpc: JsonRpc

    def try_read(self, calls: Sequence[Call]) -> list[Any]:
        """The results in order; a refused call has its RpcError in its place."""
        try:
            return self.rpc.batch(calls)
        except NotSent:
            raise Retryable("the node cannot be reached") from None
        except NoAnswer as exc:
            raise Retryable(f"the node gives no usable answer ({exc})") from None
        except RpcError as exc:
            raise Retryable(f"the node refuses ({exc})") from None

    def read(self, calls: Sequence[Call]) -> list[Any]:
        """The results of all of ``calls``, in their order."""
        results = self.try_read(calls)
        for call, result in zip(calls, results, strict=True):
            if isinstance(result, RpcError):
                raise Retryable(f"the node refuses {call.method} ({result})")
        return results

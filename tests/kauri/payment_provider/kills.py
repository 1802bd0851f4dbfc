"""Processes that are killed, and the hour of work that follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from kauri.common import clock
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying
from tests.house import Usdt
from tests.moves import (
    Crash,
)

Drain = Callable[..., int]


def before(_original: Any) -> Callable[..., Any]:
    """A stand-in that is killed before the original does anything."""

    def killed(*_args: Any, **_kwargs: Any) -> Any:
        raise Crash

    return killed


def after(original: Any) -> Callable[..., Any]:
    """A stand-in that does the original's work and is killed then."""

    def killed(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise Crash

    return killed


def go_on(drain: Drain, usdt: Usdt | None = None, rounds: int = 6) -> None:
    """What the scheduler and the workers do over the next hour, with blocks coming."""
    start = clock.now()
    for number in range(1, rounds + 1):
        if not Payout.objects.filter(state__in=Payout.OPEN_STATES).exists():
            return
        with clock.standing_at(start + number * timedelta(minutes=11)):
            paying.payouts_sweep()
            drain()
        if usdt is not None:
            usdt.chain.mine(3)

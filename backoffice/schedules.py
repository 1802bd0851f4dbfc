"""The one list of what happens by the clock. ``manage.py scheduler`` reads it and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Schedule:
    """``task`` goes on its module's queue every ``every``, never while its last run is under way."""

    name: str
    task: str
    every: timedelta


def _s(name: str, task: str, **every: int) -> Schedule:
    return Schedule(name=name, task=f"kauri.{task}", every=timedelta(**every))


SCHEDULES: Final[tuple[Schedule, ...]] = (
    _s("deposits_scan", "deposit_order.tasks.deposits_scan", seconds=3),
    _s("screenings_sweep", "deposit_order.tasks.screenings_sweep", seconds=5),
    _s("payouts_sweep", "withdrawal_order.tasks.payouts_sweep", seconds=3),
    _s("withdrawal_screens_sweep", "withdrawal_order.tasks.screens_sweep", seconds=5),
    _s("withdrawal_confirmations_sweep", "withdrawal_order.tasks.confirmations_sweep", seconds=15),
    _s("outbox_sweep", "notification.tasks.outbox_sweep", seconds=10),
    _s("deliveries_sweep", "notification.tasks.deliveries_sweep", seconds=10),
    _s("callbacks_sweep", "callbacks.tasks.callbacks_sweep", seconds=15),
    _s("reports_sweep", "report.tasks.reports_sweep", seconds=30),
    _s("exports_sweep", "report.tasks.exports_sweep", seconds=30),
    _s("ledger_roll", "balance.tasks.roll", seconds=5),
    _s("ledger_days_close", "balance.tasks.days_close", minutes=10),
    _s("ledger_self_check", "order_core.tasks.self_check", minutes=10),
    _s("ledger_self_check_full", "order_core.tasks.self_check_full", hours=24),
    _s("holds_sweep", "order_core.tasks.holds_sweep", minutes=5),
    _s("deposits_expire", "deposit_order.tasks.deposits_expire", minutes=10),
    _s("provider_health", "payment_provider.tasks.health_check", seconds=30),
    _s("address_pool", "wallet.tasks.pool_fill", minutes=1),
    _s("reconcile", "wallet.tasks.reconcile", minutes=10),
    _s("foreign_watch", "wallet.tasks.foreign_watch", minutes=5),
    _s("sweeps_run", "wallet.tasks.sweeps_run", minutes=1),
    _s("nonces_forget", "account.tasks.nonces_forget", minutes=5),
    _s("throttles_forget", "account.tasks.throttles_forget", hours=1),
    _s("refresh_tokens_forget", "account.tasks.refresh_tokens_forget", hours=1),
    _s("factor_resets_expire", "account.tasks.factor_resets_expire", minutes=10),
    _s("cases_sweep", "account.tasks.cases_sweep", seconds=15),
    _s("verifiers_check", "account.tasks.verifiers_check", minutes=5),
    _s("proposals_apply", "core.tasks.proposals_apply", minutes=1),
    _s("switches_expire", "core.tasks.switches_expire", minutes=1),
    _s("audit_seal", "core.tasks.audit_seal", seconds=15),
    _s("audit_verify", "core.tasks.audit_verify", hours=24),
    _s("idempotency_forget", "core.tasks.idempotency_forget", hours=1),
)

#: How often each cluster is asked for a sign of life, and after how long a silent one is restarted.
HEARTBEAT_EVERY: Final = timedelta(seconds=15)
HEARTBEAT_STALE: Final = timedelta(seconds=120)

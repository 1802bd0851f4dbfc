"""``manage.py demo_load``: the demo's house, once; writes ``demo.json`` for people and scripts."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from backoffice.demo import ledger_clock, people, providers
from backoffice.demo.chain import DemoChain
from backoffice.demo.history import Story
from kauri.account.models import User
from kauri.common import clock
from kauri.common.tasks import forget_queued
from kauri.core.models import OutboxEvent


class Command(BaseCommand):
    """Idempotent: a house that has people is left as it is."""

    help = "Make the demo's customers, operators and history"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        if settings.KAURI.env == "prod":
            raise CommandError("no demo data in production")
        if User.objects.exists():
            self.stdout.write("the house has people already: nothing made")
            providers.btc_node()
            _refresh()
            return
        with transaction.atomic():
            known, days = providers.chain(), settings.KAURI.demo_days
            end = clock.now() - timedelta(minutes=2)
            start = (end - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
            with ledger_clock.replaced():
                with ledger_clock.at(start):
                    operators = people.operators()
                    usdt, sandbox = providers.usdt_node(known), providers.sandbox()
                    providers.eth_node(known)
                    providers.btc_node()
                    chain = DemoChain(usdt, known)
                    providers.open_books(usdt, chain.balances())
                    providers.open_books(sandbox, {c: Decimal(a) for c, a in providers.SANDBOX_FLOAT.items()})
                    customer = people.show_customer()
                staff = {operator.role: operator.user for operator in operators}
                Story(start=start, end=end, days=days, sandbox=sandbox, chain=chain, operators=staff).tell()
                # What the history would have told the outside was told long ago.
                OutboxEvent.objects.filter(dispatched_at__isnull=True).update(dispatched_at=end)
                forget_queued()
        _write(
            {
                **_addresses(),
                "operators": [operator.as_json() for operator in operators],
                "customers": [customer],
            }
        )


def _addresses() -> dict[str, str]:
    """Where this start's processes listen; ports may differ from the last one's."""
    return {
        "web": settings.KAURI.public_url,
        "callbacks": settings.KAURI.callbacks_url,
        "evm_rpc": settings.KAURI.evm_rpc_url,
        "btc_rpc": settings.KAURI.btc_rpc_url,
        "telegram_api_url": settings.KAURI.telegram_api_url if settings.KAURI.telegram_token else "",
    }


def _refresh() -> None:
    path = settings.KAURI.state_dir / "demo.json"
    if path.is_file():
        _write({**json.loads(path.read_text(encoding="utf-8")), **_addresses()})


def _write(content: dict[str, Any]) -> None:
    """Mode 0600 from the first byte: it holds passwords."""
    path = settings.KAURI.state_dir / "demo.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")

"""``manage.py ledger_check``: prove the books now, and say what we owe and have as of a moment."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kauri.balance.selectors import coverage
from kauri.common import clock
from kauri.common.money import plain
from kauri.order_core.services import books_check


class Command(BaseCommand):
    """Prints JSON; ends with 1 when a law is broken."""

    help = "Prove the ledger and print its totals as JSON"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as-of", type=datetime.fromisoformat, default=None, help="ISO 8601 with zone")
        parser.add_argument(
            "--incremental", action="store_true", help="only what was written since the last clean proof"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        moment: datetime = options["as_of"] or clock.now()
        if moment.tzinfo is None:
            raise CommandError("--as-of needs a time zone")
        check = books_check(full=not options["incremental"])
        rows = coverage(moment)
        self.stdout.write(
            json.dumps(
                {
                    "clean": check.is_clean,
                    "findings": check.findings,
                    "looked_at": check.counts,
                    "as_of": clock.iso(moment),
                    "obligations": {row.currency.code: plain(row.obligations) for row in rows},
                    "funds": {row.currency.code: plain(row.funds) for row in rows},
                },
                indent=2,
            )
        )
        if not check.is_clean:
            raise CommandError("the ledger's self-check found broken laws")

"""``manage.py crowd_make``: orders in millions, to measure the back office by. See ``docs/performance.md``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.demo import crowd
from kauri.order_core.services import books_check


class Command(BaseCommand):
    """Refuses a database with orders in it, and whoever is not its superuser."""

    help = "Write many orders of many customers with their books into a database that is thrown away"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orders", type=int, default=crowd.ORDERS)
        parser.add_argument(
            "--prove", action="store_true", help="run the full self-check of the books after it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        try:
            written = crowd.make(options["orders"], self.stdout.write)
        except crowd.CrowdError as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{sum(written.values()):,} rows.")
        if options["prove"]:
            check = books_check(full=True)
            self.stdout.write("Every law holds." if check.is_clean else f"Broken: {check.findings}")

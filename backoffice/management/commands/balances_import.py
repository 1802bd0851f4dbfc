"""``manage.py balances_import FILE``: customers' balances from the platform that this house comes from."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kauri.account.models import User
from kauri.balance.services import Opening, openings_post
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.money import parse_amount, plain
from kauri.core.models import Currency

COLUMNS: Final = ["customer", "currency", "amount"]
_SHOWN: Final = 20


class Command(BaseCommand):
    """Without ``--write`` it only checks and prints the totals. A second run of the same file writes nothing."""

    help = "Bring customers' opening balances into the books: CSV of customer (e-mail or account number), currency, amount"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--write", action="store_true", help="post what the check has found right")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        try:
            content = options["file"].read_bytes()
            rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines(), strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as exc:
            raise CommandError(f"The file can't be read: {exc}") from exc
        openings, problems = _read(rows)
        if problems:
            more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise CommandError("Nothing was written:\n" + "\n".join(problems[:_SHOWN]) + more)
        if not openings:
            raise CommandError("The file has no balances.")
        for code, total in sorted(_totals(openings).items()):
            self.stdout.write(f"{code} {plain(total)}")
        if not options["write"]:
            self.stdout.write(f"{len(openings)} balances are right. --write posts them.")
            return
        digest = hashlib.sha256(content).hexdigest()
        try:
            new = openings_post(
                openings, actor=SYSTEM, source=f"{options['file'].name[:150]} sha256 {digest}"
            )
        except KauriError as exc:
            raise CommandError(
                "A balance of this file was booked before with another amount. Batches before it are written; "
                f"correct what is left by an adjustment ({exc.code})."
            ) from exc
        self.stdout.write(f"{new} balances written, {len(openings) - new} were there already.")


def _read(rows: list[dict[str, Any]]) -> tuple[list[Opening], list[str]]:
    """What the file says, and what is wrong with it, line by line."""
    if rows and list(rows[0]) != COLUMNS:
        return [], [f"The first line must be {','.join(COLUMNS)}."]
    customers = _customers([str(row["customer"]) for row in rows])
    currencies = {currency.code: currency for currency in Currency.objects.all()}
    seen: set[tuple[int, str]] = set()
    openings, problems = [], []
    for line, row in enumerate(rows, 2):
        user = customers.get(_name(str(row["customer"])))
        currency = currencies.get(str(row["currency"]).strip().upper())
        fault, amount = "", Decimal(0)
        if user is None:
            fault = "no such customer"
        elif currency is None:
            fault = "no such currency"
        elif (user, currency.code) in seen:
            fault = "this customer and currency stand above already"
        else:
            seen.add((user, currency.code))
            try:
                amount = parse_amount(str(row["amount"]).strip(), currency.scale)
            except KauriError:
                fault = (
                    f"the amount must be above zero, with at most {currency.scale} digits behind the point"
                )
        if fault or user is None or currency is None:
            problems.append(f"line {line}: {fault}")
        else:
            openings.append(Opening(user, currency, amount))
    return openings, problems


def _customers(names: list[str]) -> dict[str, int]:
    """The customers' ids by e-mail and account number."""
    wanted = {_name(name) for name in names}
    found: dict[str, int] = {}
    people = User.objects.filter(is_staff=False)
    for pk, email, number in people.filter(email__in=wanted).values_list("pk", "email", "number"):
        found[email] = found[number.lower()] = pk
    numbers = {name.upper() for name in wanted if "@" not in name}
    found.update(
        (number.lower(), pk) for pk, number in people.filter(number__in=numbers).values_list("pk", "number")
    )
    return found


def _name(text: str) -> str:
    return text.strip().replace(" ", "").lower()


def _totals(openings: list[Opening]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for opening in openings:
        totals[opening.currency.code] += opening.amount
    return totals

"""The house that is measured: defaults, ten thousand customers with money, some of them with API keys."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import batched
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from backoffice import defaults
from bench.settings import HAS_PEERS
from kauri.account.models import ApiKey, CustomerGroup, User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.ids import ledger_key
from kauri.core.models import Currency, Provider

CUSTOMERS = 10_000
KEYS = 300
FUNDS = Decimal(1_000_000)
LEGS = 49
FOLDER = Path(__file__).parent


@dataclass
class House:
    """What the rows use. ``notes`` carries a figure from one row to a later one."""

    currency: Currency
    sandbox: Provider
    customers: list[int]
    keys: list[tuple[str, str]]
    notes: dict[str, Any] = field(default_factory=dict)

    def two(self) -> tuple[int, int]:
        """Two different customers."""
        first, second = random.sample(self.customers, 2)
        return first, second


def build() -> House:
    """Migrate an empty database and fill it. Refuses one with anything in it, unless its name ends in _bench.

    From then on every connection has the application's rights, as in production; see :func:`as_owner`.
    """
    _make_room()
    call_command("migrate", verbosity=0, interactive=False)
    defaults.load()
    sandbox = Provider.objects.get(code="sandbox")
    sandbox.is_enabled = True
    sandbox.save()
    users = _customers()
    house = House(
        currency=Currency.objects.get(code="UAH"),
        sandbox=sandbox,
        customers=[user.pk for user in users],
        keys=_keys(users[:KEYS]),
    )
    fund(house)
    with connection.cursor() as cursor:
        cursor.execute((FOLDER / "schema.sql").read_text())
        cursor.execute("select bench.open(%s::bigint[], %s)", [house.customers, FUNDS])
        if HAS_PEERS:
            cursor.execute((FOLDER / "peers.sql").read_text())
            cursor.execute("select bench.open_peers(%s::bigint[], %s)", [house.customers, FUNDS])
        cursor.execute(f"grant usage on schema bench to {_role()}")
        for what in ("tables", "sequences", "functions"):
            cursor.execute(f"grant all on all {what} in schema bench to {_role()}")
        cursor.execute("vacuum analyze")
    connection.settings_dict["OPTIONS"]["options"] += f" -c role={_role()}"
    connection.close()
    return house


@contextmanager
def as_owner() -> Iterator[None]:
    """The schema's owner for a while: for what no program of the product does."""
    with connection.cursor() as cursor:
        cursor.execute("set role none")
        try:
            yield
        finally:
            cursor.execute(f"set role {_role()}")


@transaction.atomic
def fund(house: House) -> None:
    """Everybody's opening money, through the ledger."""
    for number, some in enumerate(batched(house.customers, LEGS)):
        legs = [Leg(AccountKind.CUSTOMER_AVAILABLE, house.currency, FUNDS, customer_id=pk) for pk in some]
        legs.append(Leg(AccountKind.CAPITAL, house.currency, -FUNDS * len(some)))
        ledger.post(ledger_key("bench", number), TransferKind.OPENING, legs, actor=SYSTEM)


def _role() -> str:
    return str(settings.KAURI.database_role)


def _make_room() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select current_database(), count(*) from pg_tables where schemaname = 'public'")
        name, tables = cursor.fetchone()
        if name.endswith("_bench"):
            cursor.execute("drop schema public cascade")
            cursor.execute("create schema public")
        elif tables:
            sys.exit(
                f"The database {name!r} is not empty: measure in one of its own, whose name ends in _bench."
            )


def _customers() -> list[User]:
    group = CustomerGroup.objects.get(code="default")
    now = clock.now()
    people = [
        User(
            email=f"customer{number}@example.com",
            password="!",
            verification_level=1,
            email_verified_at=now,
            group=group,
        )
        for number in range(CUSTOMERS)
    ]
    return User.objects.bulk_create(people, batch_size=1000)


def _keys(users: list[User]) -> list[tuple[str, str]]:
    scopes = [ApiKey.Scope.READ.value, ApiKey.Scope.WITHDRAW.value]
    keys = [
        ApiKey(
            user=user,
            name="bench",
            key=f"bench{number}",
            secret=f"secret{number}",
            scopes=scopes,
            window_ms=60_000,
            state=ApiKey.State.ACTIVE,
            activated_at=clock.now(),
        )
        for number, user in enumerate(users)
    ]
    ApiKey.objects.bulk_create(keys)
    return [(key.key, key.secret) for key in keys]

"""As of any moment, closed days and closed months: exact to the microsecond, fast, and never guessed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.balance import invariants, ledger, packs
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import LedgerFault, Leg
from kauri.balance.models import CurrencyDay, LedgerAccount, LedgerDay, Period, TrialBalancePack
from kauri.balance.selectors import (
    account_balance,
    coverage,
    customer_balances,
    provider_floats,
    statements,
    trial_balance,
)
from kauri.balance.services import days_close, period_close
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import AuditEntry, Currency, Provider
from tests.moves import as_owner, code_of

#: Long past, so that whole months lie between the first entry and now.
START = datetime(2026, 3, 30, 9, 0, tzinfo=UTC)


@pytest.fixture
def backdated(house: None) -> Any:
    """``backdated(moment)``: the ledger's clock says so from here on (only its owner can do that)."""
    del house

    def set_to(moment: datetime) -> None:
        with as_owner() as cursor:
            cursor.execute(
                "create or replace function ledger_now() returns timestamptz language sql volatile"
                f" as 'select timestamptz ''{moment.isoformat()}'''"
            )

    return set_to  # the test's transaction is rolled back, and the clock with it


def give(user: User, amount: str, code: str = "UAH") -> None:
    """Money from the sandbox's float: a hot account on the other side."""
    currency = Currency.objects.get(code=code)
    ledger.post(
        uuid.uuid4(),
        TransferKind.DEPOSIT,
        [
            Leg(
                AccountKind.PROVIDER_FLOAT,
                currency,
                -Decimal(amount),
                provider_id=Provider.objects.get(code="sandbox").pk,
            ),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
    )


def uah(user: User, at: datetime | None = None) -> Decimal:
    return next(row.available for row in customer_balances(user.pk, at) if row.currency.code == "UAH")


def total(kind: AccountKind, at: datetime | None = None) -> Decimal:
    return next(row.amount for row in trial_balance(at) if row.currency.code == "UAH" and row.kind is kind)


def _float(at: datetime | None = None) -> list[tuple[str, Decimal]]:
    return [(currency.code, amount) for _, currency, amount in provider_floats(at)]


@pytest.fixture
def spring(customer: Callable[..., User], backdated: Any) -> User:
    """A customer with entries on 30 March, 1 April and 20 April (twice), and today."""
    user = customer()
    for days, amount in ((0, "100"), (2, "30.50"), (21, "7"), (21, "-20.25")):
        backdated(START + timedelta(days=days))
        give(user, amount)
    return user


def test_any_moment_is_exact_before_and_after_days_are_closed(spring: User, backdated: Any) -> None:
    moments = {
        START: Decimal(100),
        START + timedelta(days=2, microseconds=-1): Decimal(100),
        START + timedelta(days=2): Decimal("130.50"),
        datetime(2026, 4, 20, 8, 59, 59, 999_999, tzinfo=UTC): Decimal("130.50"),
        START + timedelta(days=21): Decimal("117.25"),
        datetime(2026, 6, 1, tzinfo=UTC): Decimal("117.25"),
    }

    def look() -> None:
        for moment, amount in moments.items():
            assert uah(spring, moment) == amount
            assert total(AccountKind.CUSTOMER_AVAILABLE, moment) == amount
            assert total(AccountKind.PROVIDER_FLOAT, moment) == amount
            assert _float(moment) == [("UAH", amount)]
            row = next(row for row in coverage(moment) if row.currency.code == "UAH")
            assert (row.obligations, row.funds, row.ratio) == (amount, amount, Decimal(1))
            hot = LedgerAccount.objects.select_related("currency").get(kind=AccountKind.PROVIDER_FLOAT)
            assert account_balance(hot, moment) == -amount

    look()
    backdated(clock.now())
    closed = days_close()
    assert closed == (clock.now().date() - START.date()).days
    assert LedgerDay.objects.count() == closed
    look()
    assert days_close() == 0
    give(spring, "1")
    assert (uah(spring), _float()) == (Decimal("118.25"), [("UAH", Decimal("118.25"))])
    look()
    assert invariants.broken_laws() == []


def test_what_is_not_known_is_an_error_and_never_zero(spring: User) -> None:
    for moment in (START - timedelta(microseconds=1), clock.now() + timedelta(minutes=1)):
        assert code_of(lambda at=moment: customer_balances(spring.pk, at)) == "moment_unknown"
        assert code_of(lambda at=moment: trial_balance(at)) == "moment_unknown"
        assert code_of(lambda at=moment: provider_floats(at)) == "moment_unknown"
    naive = START.replace(tzinfo=None)
    assert code_of(lambda: customer_balances(spring.pk, naive)) == "validation_error"


def test_a_statement_runs_from_what_was_to_what_is(spring: User) -> None:
    [row] = statements(spring.pk, START + timedelta(days=1), START + timedelta(days=21))
    assert (row.opening, [entry.amount for entry in row.entries], row.closing) == (
        Decimal(100),
        [Decimal("30.50"), Decimal(7), Decimal("-20.25")],
        Decimal("117.25"),
    )
    assert statements(spring.pk, START + timedelta(days=30), clock.now()) == []


def test_a_changed_entry_breaks_the_chain_of_days(spring: User, backdated: Any) -> None:
    backdated(clock.now())
    days_close()
    sql = (
        "select d.day from ledger_day d join lateral (select digest from ledger_day p where p.day = d.day - 1)"
        " before on true where d.digest <> sha256(before.digest || coalesce((select string_agg(h.digest, ''::bytea"
        " order by h.hour) from ledger_hours(d.day::timestamp at time zone 'UTC',"
        " (d.day + 1)::timestamp at time zone 'UTC') h), ''::bytea))"
    )
    with as_owner() as cursor:
        cursor.execute(sql)
        assert cursor.fetchall() == []
        cursor.execute("alter table ledger_entry disable trigger ledger_entry_append")
        cursor.execute(
            "update ledger_entry set amount = -amount where created_at::date = '2026-04-01' and amount > 0"
        )
        cursor.execute(sql)
        assert cursor.fetchall() == [(date(2026, 4, 1),)]
        cursor.execute("alter table ledger_entry enable trigger ledger_entry_append")


def test_a_closed_month_is_closed_for_ever(
    spring: User, backdated: Any, operator: Callable[..., Actor]
) -> None:
    finance = operator("Finance")
    backdated(clock.now())
    assert code_of(lambda: period_close(month=date(2026, 4, 1), actor=finance)) == "wrong_state"
    pack = period_close(month=date(2026, 3, 15), actor=finance)
    assert (str(pack.period), pack.period.ends_at) == ("2026-03", datetime(2026, 4, 1, tzinfo=UTC))
    assert code_of(lambda: period_close(month=date(2026, 3, 1), actor=finance)) == "period_closed"
    assert code_of(lambda: period_close(month=date(2026, 5, 1), actor=finance)) == "wrong_state"
    assert code_of(lambda: period_close(month=clock.now().date(), actor=finance)) == "wrong_state"
    assert Period.objects.count() == 1
    april = period_close(month=date(2026, 4, 30), actor=finance)
    # The ledger itself refuses, even with its clock set back.
    backdated(datetime(2026, 4, 30, 23, 59, 59, 999_999, tzinfo=UTC))
    with pytest.raises(LedgerFault, match="period is closed"), transaction.atomic():
        give(spring, "1")
    backdated(datetime(2026, 5, 1, tzinfo=UTC))
    give(spring, "1")
    assert uah(spring) == Decimal("118.25")
    assert AuditEntry.objects.filter(verb="period_close").count() == 2
    assert april.period.starts_at == pack.period.ends_at


def test_a_pack_is_signed_and_names_the_one_before(
    spring: User, backdated: Any, operator: Callable[..., Actor]
) -> None:
    finance = operator("Finance")
    backdated(clock.now())
    march = period_close(month=date(2026, 3, 1), actor=finance)
    april = period_close(month=date(2026, 4, 1), actor=finance)
    body = json.loads(april.body)
    available = next(row for row in body["totals"] if row["account"] == "customer_available")
    assert (available["opening"], available["change"], available["closing"]) == ("100", "17.25", "117.25")
    assert len(body["days"]) == 30
    assert [row["entries"] for row in body["days"] if row["entries"]] == [2, 4]
    assert body["previous_sha256"] == hashlib.sha256(march.body.encode()).hexdigest()
    for pack in (march, april):
        sums: dict[str, Decimal] = {}
        for row in json.loads(pack.body)["totals"]:
            sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + (
                Decimal(row["closing"]) * row["normal"]
            )
        assert sums == {"UAH": Decimal(0)}
        files = zipfile.ZipFile(io.BytesIO(packs.archive(pack)))
        signed = files.read("trial_balance.json")
        signature = base64.b64decode(files.read("trial_balance.json.sig"))
        key = base64.b64decode(files.read("public_key"))
        assert packs.is_genuine(signed, signature, key)
        assert not packs.is_genuine(signed.replace(b"100", b"900", 1), signature, key)
        assert not packs.is_genuine(signed, signature[::-1], key)


def test_who_may_close_and_with_what_key(
    spring: User, backdated: Any, operator: Callable[..., Actor], settings: Any
) -> None:
    backdated(clock.now())
    assert code_of(lambda: period_close(month=date(2026, 3, 1), actor=operator("Support"))) == "forbidden"
    settings.KAURI = settings.KAURI.model_copy(update={"books_key": ""})
    assert code_of(lambda: period_close(month=date(2026, 3, 1), actor=operator("Finance"))) == "wrong_state"
    assert (Period.objects.count(), TrialBalancePack.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    "sql",
    [
        "delete from ledger_period",
        "update ledger_period set ends_at = ends_at - interval '1 day'",
        "update ledger_day set entries = 0",
        "delete from ledger_currency_day",
        "update ledger_currency_day set balance = balance + 1",
        "update ledger_balance_day set balance = 0",
        "update balance_trialbalancepack set body = '{}'",
        "delete from balance_trialbalancepack",
    ],
)
def test_what_is_closed_can_not_be_touched(
    spring: User, backdated: Any, operator: Callable[..., Actor], sql: str
) -> None:
    backdated(clock.now())
    period_close(month=date(2026, 3, 1), actor=operator("Finance"))
    states = []
    for door in (connection.cursor, as_owner):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), door() as cursor:
            cursor.execute(sql)
        states.append(caught.value.__cause__.sqlstate)  # type: ignore[union-attr]
    assert states[0] == "42501"
    assert states[1] in {"LG403", "KA403"}


def test_day_totals_that_do_not_add_up_are_found(spring: User, backdated: Any) -> None:
    backdated(clock.now())
    days_close()
    assert invariants.broken_laws() == []
    some = CurrencyDay.objects.filter(day_id=date(2026, 4, 20), kind=AccountKind.CUSTOMER_AVAILABLE).get()
    with as_owner() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute("alter table ledger_currency_day disable trigger ledger_currency_day_append")
        cursor.execute("update ledger_currency_day set balance = balance + 1 where id = %s", [some.pk])
        cursor.execute("alter table ledger_currency_day enable trigger ledger_currency_day_append")
    [finding] = invariants.broken_laws()
    assert finding["law"] == "closed days add up"
    # The day itself is wrong by one, and so is the next one's change.
    assert [row[0] for row in finding["evidence"]] == ["2026-04-20", "2026-04-21"]

"""Trial balance, customer statement and figures in dollars: what they say is what the ledger says."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from openpyxl import load_workbook

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.models import OperatorLimit
from kauri.report import renderers, services
from kauri.report.models import ReportRun
from kauri.withdrawal_order.services import withdrawal_approve, withdrawal_reject
from tests.moves import code_of, give, sandbox_on, withdraw


@pytest.fixture
def finance(operator: Callable[..., Actor]) -> Actor:
    return operator("Finance")


def ask(
    actor: Actor, definition: str, as_of: datetime | None = None, file_format: str = "xlsx", **parameters: str
) -> ReportRun:
    return services.report_request(
        definition=definition,
        file_format=file_format,
        as_of=as_of or clock.now(),
        language="en",
        user=User.objects.get(pk=int(actor.id)),
        actor=actor,
        parameters=parameters,
    )


def made(run: ReportRun) -> list[list[Any]]:
    """The workbook's rows, empty cells left out."""
    services.report_make(run.pk)
    run.refresh_from_db()
    assert (run.state, run.error) == ("ready", "")
    path = services.report_open(run_id=run.public_id, user=run.requested_by, ip="127.0.0.1")
    book = load_workbook(io.BytesIO(path.read_bytes()))
    return [
        [cell for cell in row if cell is not None]
        for sheet in book
        for row in sheet.iter_rows(values_only=True)
    ]


def rate(code: str, price: str) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code=code).pk,
        price=price,
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )


def test_debit_and_credit_of_each_currency_agree(customer: Callable[..., User], finance: Actor) -> None:
    give(customer(), "UAH", "100.50")
    give(customer(), "UAH", "0.25")
    give(customer(), "BTC", "0.00000001")
    before = clock.now()
    give(customer(), "UAH", "7")
    run = ask(finance, "trial_balance", before)
    rows = made(run)
    assert [row[1:] for row in rows if row[:2] == ["UAH", "Total"]] == [["Total", "", "100.75", "100.75"]]
    assert run.totals == {
        "debit": {"BTC": "0.00000001", "UAH": "100.75"},
        "credit": {"BTC": "0.00000001", "UAH": "100.75"},
    }


def test_a_statement_opens_moves_and_closes(customer: Callable[..., User], finance: Actor) -> None:
    one, other = customer(), customer()
    give(one, "UAH", "10")
    give(one, "EUR", "3")
    since = clock.now()
    give(one, "UAH", "2.50")
    give(other, "UAH", "1000")
    until = clock.now()
    give(one, "UAH", "4")
    run = ask(finance, "customer_statement", until, customer=one.email.upper(), **{"from": since.isoformat()})
    rows = made(run)
    assert [row for row in rows if "2.50" in row] != []
    assert not [row for row in rows if "1000.00" in row or "4.00" in row]
    assert run.totals == {
        "accounts": [
            {
                "currency": "UAH",
                "kind": "customer_available",
                "opening": "10",
                "entries": 1,
                "closing": "12.5",
            },
            {"currency": "EUR", "kind": "customer_available", "opening": "3", "entries": 0, "closing": "3"},
        ]
    }
    by_number = ask(finance, "customer_statement", until, customer=one.number, **{"from": since.isoformat()})
    made(by_number)
    assert by_number.totals == run.totals


def test_a_statement_of_nobody_or_of_no_time(customer: Callable[..., User], finance: Actor) -> None:
    user, now = customer(), clock.now()
    start = (now - timedelta(days=1)).isoformat()

    def asked(name: str = "customer_statement", **parameters: str) -> str:
        return code_of(lambda: ask(finance, name, now, **parameters))

    assert asked() == "validation_error"
    assert asked(customer=user.email) == "validation_error"
    assert asked(customer="nobody@example.com", **{"from": start}) == "validation_error"
    assert (
        asked(customer=finance.label, **{"from": start}) == "validation_error"
    )  # an operator is no customer
    for wrong in ("yesterday", "2026-01-01T00:00:00", (now + timedelta(days=1)).isoformat()):
        assert asked(customer=user.email, **{"from": wrong}) == "validation_error"
    assert asked("trial_balance", customer=user.email) == "validation_error"
    assert ReportRun.objects.count() == 0


def test_dollars_only_where_there_is_a_fresh_rate(customer: Callable[..., User], finance: Actor) -> None:
    rate("UAH", "0.025")
    give(customer(), "UAH", "100.01")
    give(customer(), "USD", "5")
    give(customer(), "BTC", "1")
    run = ask(finance, "balances_and_obligations")
    rows = made(run)
    assert ["BTC", "—", "—", "—", "no fresh rate", "—"] in rows
    assert run.totals["usd"]["obligations"] == "7.5"
    assert run.totals["usd"]["missing"] == ["BTC"]
    assert run.totals["usd"]["rates"]["UAH"]["price"] == "0.025"
    [total] = [row for row in rows if row[:1] == ["Total"]]
    assert total[4] == "1 currency without a fresh rate is not in it"
    assert Decimal(total[1]) == Decimal("7.5")


def test_nothing_known_is_not_zero(customer: Callable[..., User], finance: Actor) -> None:
    give(customer(), "BTC", "1")
    run = ask(finance, "balances_and_obligations")
    made(run)
    assert (run.totals["usd"]["obligations"], run.totals["usd"]["funds"]) == (None, None)


def test_more_rows_than_a_sheet_takes(
    customer: Callable[..., User], finance: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(customer(), "UAH", "1")
    monkeypatch.setattr(renderers, "MAX_SHEET_ROWS", 1)
    run = ask(finance, "trial_balance")
    services.report_make(run.pk)
    run.refresh_from_db()
    assert (run.state, run.file_name) == ("failed", "")
    assert "more than 1 rows" in run.error


def test_what_operators_decided(
    customer: Callable[..., User], operator: Callable[..., Actor], finance: Actor
) -> None:
    sandbox_on()
    rate("UAH", "0.025")
    OperatorLimit.objects.create(role=Group.objects.get(name="Treasury"), second_look=Decimal(100))
    first, second, senior = operator("Treasury"), operator("Senior"), operator("Senior")
    orders = []
    for _ in range(4):
        user = customer()
        give(user, "UAH", "10000")
        orders.append(withdraw(user, "4000", currency="UAH", to="sandbox:success").public_id)
    since = clock.now()
    withdrawal_approve(order_id=orders[0], actor=first)
    withdrawal_approve(order_id=orders[1], actor=first)
    withdrawal_approve(order_id=orders[0], actor=second)
    withdrawal_reject(order_id=orders[1], actor=second, reason="not theirs")
    withdrawal_reject(order_id=orders[2], actor=first, reason="no papers")
    until = clock.now()
    withdrawal_approve(order_id=orders[3], actor=senior)
    run = ask(finance, "operator_decisions", until, **{"from": since.isoformat()})
    rows = made(run)
    day = f"{until:%Y-%m-%d}"
    assert [row for row in rows if row[:1] == [day]] == [
        [day, second.label, "2", "100.00", "0", "1", "0", "0.0", "0", "—"],
        [day, first.label, "3", "200.00", "0", "1", "2", "100.0", "1", "50.0"],
    ]
    zero = {"second_looks": 0, "disagreements": 0}
    assert run.totals == {
        first.label: {
            "decisions": 3,
            "usd": "200",
            "unpriced": 0,
            "rejected": 1,
            "second_looks": 2,
            "disagreements": 1,
        },
        second.label: {"decisions": 2, "usd": "100", "unpriced": 0, "rejected": 1, **zero},
    }
    pdf = ask(finance, "operator_decisions", until, file_format="pdf", **{"from": since.isoformat()})
    services.report_make(pdf.pk)
    pdf.refresh_from_db()
    assert (pdf.state, pdf.totals) == ("ready", run.totals)

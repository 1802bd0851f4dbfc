"""Opening balances come in whole or not at all, and once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.models import Transfer
from kauri.balance.selectors import trial_balance
from kauri.core.models import AuditEntry
from tests.moves import balance_of


def run(path: Path, *options: str) -> str:
    out = StringIO()
    call_command("balances_import", path, *options, stdout=out)
    return out.getvalue()


def test_a_file_is_checked_then_written_once(customer: Callable[..., User], tmp_path: Path) -> None:
    one, two = customer(), customer()
    path = tmp_path / "old.csv"
    path.write_text(
        f"customer,currency,amount\n{one.email.upper()},UAH,100.50\n{one.email},usdt,7.000001\n"
        f"{two.number.lower()},UAH,0.01\n"
    )
    assert run(path) == "UAH 100.51\nUSDT 7.000001\n3 balances are right. --write posts them.\n"
    assert not Transfer.objects.exists()
    assert "3 balances written, 0 were there already." in run(path, "--write")
    assert "0 balances written, 3 were there already." in run(path, "--write")
    assert (balance_of(one, "UAH")[0], balance_of(two, "UAH")[0]) == (Decimal("100.50"), Decimal("0.01"))
    capital = [
        row.amount
        for row in trial_balance()
        if row.kind == AccountKind.CAPITAL and row.currency.code == "UAH"
    ]
    assert capital == [Decimal("-100.51")]
    assert (
        Transfer.objects.filter(kind=TransferKind.OPENING, reference__startswith="old.csv sha256 ").count()
        == 3
    )
    told = [row.after for row in AuditEntry.objects.filter(verb="openings_post").order_by("id")]
    assert told == [{"customers": 3, "already": 0}, {"customers": 0, "already": 3}]
    path.write_text(f"customer,currency,amount\n{one.email},UAH,100.51\n")
    with pytest.raises(CommandError, match="another amount"):
        run(path, "--write")
    assert balance_of(one, "UAH")[0] == Decimal("100.50")
    assert invariants.broken_laws() == []


def test_many_customers_come_in_batches(
    customer: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kauri.balance.services.OPENINGS_AT_ONCE", 3)
    people = [customer() for _ in range(7)]
    path = tmp_path / "old.csv"
    path.write_text(
        "customer,currency,amount\n" + "".join(f"{user.email},UAH,{user.pk}\n" for user in people)
    )
    assert "7 balances written" in run(path, "--write")
    assert [balance_of(user, "UAH")[0] for user in people] == [Decimal(user.pk) for user in people]
    assert AuditEntry.objects.filter(verb="openings_post").count() == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("who,currency,amount\na,UAH,1\n", "The first line must be customer,currency,amount"),
        ("customer,currency,amount\nnobody@example.com,UAH,1\n", "line 2: no such customer"),
        ("customer,currency,amount\n{email},XXX,1\n", "line 2: no such currency"),
        ("customer,currency,amount\n{email},UAH,1\n{email},UAH,2\n", "line 3: .* stand above already"),
        ("customer,currency,amount\n{email},UAH,0\n", "line 2: the amount must be above zero"),
        ("customer,currency,amount\n{email},UAH,-1\n", "line 2: the amount must be above zero"),
        ("customer,currency,amount\n{email},UAH,0.001\n", "at most 2 digits"),
        ("customer,currency,amount\n{email},UAH\n", "line 2: the amount"),
        ("customer,currency,amount\n", "no balances"),
        ("", "no balances"),
    ],
)
def test_a_wrong_file_writes_nothing(
    customer: Callable[..., User], tmp_path: Path, content: str, said: str
) -> None:
    user = customer()
    path = tmp_path / "old.csv"
    path.write_text(content.replace("{email}", user.email))
    with pytest.raises(CommandError, match=said):
        run(path, "--write")
    assert not Transfer.objects.exists()
    with pytest.raises(CommandError, match="can't be read"):
        run(tmp_path / "no.csv")

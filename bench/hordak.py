"""A transfer by django-hordak, with the lock and the check that "no customer owes" needs and hordak leaves to its user."""

# mypy: disable-error-code="import-not-found"
# (installed apart, see bench/peers.py)

from __future__ import annotations

from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from djmoney.money import Money
from hordak.models import Account, Leg, Transaction


@transaction.atomic
def move(source: int, target: int, amount: Decimal) -> Transaction:
    """Lock both accounts in one order, sum up the payer's legs, transfer."""
    accounts = {
        row.pk: row
        for row in Account.objects.select_for_update().filter(pk__in=[source, target]).order_by("pk")
    }
    sums = Leg.objects.filter(account_id=source).aggregate(credit=Sum("credit"), debit=Sum("debit"))
    if (sums["credit"] or 0) - (sums["debit"] or 0) < amount:
        raise ValueError("insufficient funds")
    # What we owe grows by credit: the money goes from the account that is debited.
    return accounts[target].transfer_to(accounts[source], Money(amount, "EUR"))

"""The plain ORM twin: a transfer as most Django projects write it, correct but statement by statement."""

# mypy: disable-error-code="attr-defined"
# (the checker knows the models of the product's own apps only)

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.utils import timezone


def money() -> Any:
    """An amount's column."""
    return models.DecimalField(max_digits=38, decimal_places=18)


class Account(models.Model):
    balance = money()

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."orm_account"'

    def __str__(self) -> str:
        return f"{self.pk}"


class Transfer(models.Model):
    key = models.UUIDField(unique=True)
    created_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."orm_transfer"'

    def __str__(self) -> str:
        return f"{self.pk}"


class Entry(models.Model):
    transfer = models.ForeignKey(Transfer, models.DO_NOTHING, related_name="+")
    account = models.ForeignKey(Account, models.DO_NOTHING, related_name="+")
    amount = money()
    balance_after = money()

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."orm_entry"'

    def __str__(self) -> str:
        return f"{self.pk}"


@transaction.atomic
def move(key: uuid.UUID, source: int, target: int, amount: Decimal) -> Transfer:
    """The known key's transfer, or a new one."""
    known: Transfer | None = Transfer.objects.filter(key=key).first()
    return known or write(key, source, target, amount)


def write(key: uuid.UUID, source: int, target: int, amount: Decimal) -> Transfer:
    """Lock both accounts in one order, save both, write two entries."""
    accounts = {
        row.pk: row
        for row in Account.objects.select_for_update().filter(pk__in=[source, target]).order_by("pk")
    }
    if accounts[source].balance < amount:
        raise ValueError("insufficient funds")
    transfer: Transfer = Transfer.objects.create(key=key, created_at=timezone.now())
    for pk, change in ((source, -amount), (target, amount)):
        account = accounts[pk]
        account.balance += change
        account.save(update_fields=["balance"])
        Entry.objects.create(transfer=transfer, account=account, amount=change, balance_after=account.balance)
    return transfer

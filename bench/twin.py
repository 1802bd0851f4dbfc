"""The twins of internal movement and withdrawal: the same work as most Django projects write it, statement by statement by the ORM."""

# mypy: disable-error-code="attr-defined"
# (the checker knows the models of the product's own apps only)

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from bench import orm
from kauri.account.models import User
from kauri.core.models import Currency
from kauri.order_core.models import Policy
from kauri.order_core.states import OrderType

#: The account of what is held of a customer: its number above the customer's own.
HELD = 1_000_000_000


class Idempotency(models.Model):
    owner = models.ForeignKey(User, models.DO_NOTHING, related_name="+")
    key = models.CharField(max_length=255)
    body_hash = models.BinaryField()
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."twin_idempotency"'

    def __str__(self) -> str:
        return self.key


class Order(models.Model):
    public_id = models.UUIDField(default=uuid.uuid4)
    owner = models.ForeignKey(User, models.DO_NOTHING, related_name="+")
    recipient = models.ForeignKey(User, models.DO_NOTHING, related_name="+")
    currency = models.ForeignKey(Currency, models.DO_NOTHING, related_name="+")
    amount = orm.money()
    fee = orm.money()
    status = models.CharField(max_length=40)
    external_id = models.CharField(max_length=128)
    message = models.CharField(max_length=500)
    explanation = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."twin_order"'

    def __str__(self) -> str:
        return str(self.public_id)


class Transition(models.Model):
    order = models.ForeignKey(Order, models.DO_NOTHING, related_name="+")
    from_status = models.CharField(max_length=40)
    to_status = models.CharField(max_length=40)
    actor = models.CharField(max_length=254)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."twin_transition"'

    def __str__(self) -> str:
        return self.to_status


class Audit(models.Model):
    verb = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    actor = models.CharField(max_length=254)
    after = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."twin_audit"'

    def __str__(self) -> str:
        return self.verb


class Event(models.Model):
    kind = models.CharField(max_length=64)
    owner_id = models.BigIntegerField()
    subject_id = models.UUIDField()
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "bench"
        managed = False
        db_table = '"bench"."twin_event"'

    def __str__(self) -> str:
        return self.kind


@transaction.atomic
def move(owner: User, data: dict[str, Any]) -> dict[str, Any]:
    """The answer that is stored under the request's key, or a new movement's."""

    def work() -> Order:
        recipient = User.objects.get(email=data["destination_account_email"], is_staff=False, is_active=True)
        order = _judged(owner, recipient, data, OrderType.INTERNAL_MOVEMENT)
        order.save()
        _moved(order, "", "NEW")
        order.status = "CLOSED"
        order.updated_at = order.finished_at = timezone.now()
        order.save(update_fields=["status", "updated_at", "finished_at"])
        _moved(order, "NEW", "CLOSED")
        _tell(order, "internal_movement.received", order.recipient_id)
        _audited(order, "movement")
        orm.write(order.public_id, owner.pk, order.recipient_id, order.amount + order.fee)
        return order

    return _once(owner, data, work)


@transaction.atomic
def withdraw(owner: User, data: dict[str, Any]) -> dict[str, Any]:
    """The same for a withdrawal, which waits for an operator with its money held."""

    def work() -> Order:
        order = _judged(owner, owner, data, OrderType.WITHDRAWAL)
        order.save()
        _moved(order, "", "NEW")
        _audited(order, "withdrawal")
        orm.write(order.public_id, owner.pk, HELD + owner.pk, order.amount + order.fee)
        return order

    return _once(owner, data, work)


def _once(owner: User, data: dict[str, Any], work: Callable[[], Order]) -> dict[str, Any]:
    key = f"external_id:{data['external_id']}"
    digest = hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).digest()
    known = Idempotency.objects.filter(owner=owner, key=key).first()
    if known:
        if bytes(known.body_hash) != digest:
            raise ValueError("another request had this key")
        return dict(json.loads(known.body))
    body = _body(work())
    Idempotency.objects.create(
        owner=owner, key=key, body_hash=digest, body=json.dumps(body), created_at=timezone.now()
    )
    return body


def _audited(order: Order, verb: str) -> None:
    Audit.objects.create(
        verb=verb, object_id=str(order.public_id), actor=order.owner.email, after=_body(order)
    )


def _judged(owner: User, recipient: User, data: dict[str, Any], operation: OrderType) -> Order:
    """The order, if the currency and the limits allow it. The sender's row is locked for the totals."""
    # Not "for update": the recipients' foreign keys of others would wait for it, and deadlock now and then.
    sender = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    currency = Currency.objects.get(code=data["currency"], is_enabled=True)
    rows = Policy.objects.filter(
        Q(currency__isnull=True) | Q(currency=currency), operation=operation, user=None
    ).order_by("currency__sort")
    policy: dict[str, Any] = {}
    for row in rows:
        for name in ("min_amount", "max_amount", "daily_amount", "daily_count", "fee_percent"):
            policy[name] = policy.get(name) if getattr(row, name) is None else getattr(row, name)
    day = Order.objects.filter(
        owner=sender, currency=currency, created_at__gt=timezone.now() - timedelta(days=1)
    ).aggregate(total=Sum("amount"), count=Count("id"))
    amount: Decimal = data["amount"]
    if not policy["min_amount"] <= amount <= policy["max_amount"]:
        raise ValueError("the amount is not within the limits")
    if (day["total"] or 0) + amount > policy["daily_amount"] or day["count"] >= policy["daily_count"]:
        raise ValueError("the limit of the day")
    return Order(
        owner=sender,
        recipient=recipient,
        currency=currency,
        amount=amount,
        fee=(amount * (policy["fee_percent"] or 0) / 100).quantize(Decimal("0.01")),
        status="NEW",
        external_id=data["external_id"],
        message="",
        explanation={"used": str(day["total"] or 0), "count": day["count"]},
    )


def _moved(order: Order, before: str, after: str) -> None:
    Transition.objects.create(order=order, from_status=before, to_status=after, actor=order.owner.email)
    _tell(order, f"internal_movement.{after.lower()}", order.owner_id)


def _tell(order: Order, kind: str, owner_id: int) -> None:
    Event.objects.create(
        kind=kind, owner_id=owner_id, subject_id=order.public_id, body=json.dumps(_body(order))
    )


def _body(order: Order) -> dict[str, Any]:
    return {
        "status": "success",
        "order_id": str(order.public_id),
        "order_status": order.status,
        "amount": str(order.amount),
        "fee": str(order.fee),
    }

"""Unmatched money: each kind has its fault, its place in the books, and two people to decide."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.utils import DatabaseError

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry, Provider
from kauri.deposit_order import unmatched
from kauri.deposit_order.models import UnmatchedAct
from kauri.order_core.models import Order, Policy
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import PaymentLink
from tests.kauri.deposit_order.conftest import legs
from tests.moves import as_owner, balance_of, code_of, events, transfers

Links = Callable[..., PaymentLink]
Pay = Callable[..., Payin]
Operators = Callable[..., Actor]
Kind = UnmatchedAct.Kind


def suspended(amount: str) -> list[tuple[str, Decimal]]:
    return [("PROVIDER_FLOAT", -Decimal(amount)), ("SUSPENSE", Decimal(amount))]


@pytest.fixture
def lost(pay: Pay) -> Payin:
    """150 UAH that nobody expected."""
    return pay("not-ours", "150.00")


def propose(payin: Payin, kind: UnmatchedAct.Kind, actor: Actor, **fields: Any) -> UnmatchedAct:
    fields.setdefault("reason", "a letter of the payer")
    return unmatched.act_propose(payin_id=payin.public_id, kind=kind, actor=actor, **fields)


@pytest.mark.parametrize(
    ("amount", "currency", "fault"),
    [
        ("150.01", "UAH", "overpaid"),
        ("149.99", "UAH", "underpaid"),
        ("150.00", "USD", "wrong_currency"),
    ],
)
def test_what_differs_from_its_link(linked: Links, pay: Pay, amount: str, currency: str, fault: str) -> None:
    link = linked(amount_to_spend="150.00")
    payin = pay(link, amount, currency=currency)
    assert (payin.state, payin.fault, payin.order_id) == ("unmatched", fault, None)
    assert payin.booked_at is not None
    assert legs(payin, "suspense") == suspended(amount)
    [told] = events("payin.unmatched")
    assert (told.payload["fault"], told.payload["amount"]) == (fault, amount.rstrip("0").rstrip("."))
    assert Order.objects.count() == transfers(TransferKind.DEPOSIT) == 0
    assert balance_of(link.user, "UAH") == (0, 0)
    assert invariants.broken_laws() == []


def test_unknown_duplicate_late_small_and_refused(
    linked: Links, pay: Pay, customer: Callable[..., User]
) -> None:
    assert pay(str(uuid.uuid4()), "20").fault == "unknown_reference"
    twice = linked(amount_to_spend="150.00")
    assert (pay(twice, "150").fault, pay(twice, "150").fault) == ("", "duplicate")
    cancelled = linked(amount_to_spend="50.00")
    PaymentLink.objects.filter(pk=cancelled.pk).update(cancelled_at=clock.now())
    assert pay(cancelled, "50").fault == "late"
    assert pay(linked(amount_to_spend="9.99"), "9.99").fault == "below_minimum"
    low = customer(verification_level=0)
    Policy.objects.filter(operation="DEPOSIT", currency__code="UAH").update(required_level=1)
    assert pay(linked(low, amount_to_spend="50.00"), "50").fault == "refused"
    lost = Payin.objects.exclude(fault="")
    assert {(row.state, row.booked_at is not None) for row in lost} == {("unmatched", True)}
    assert transfers(TransferKind.SUSPENSE) == 5
    assert transfers(TransferKind.DEPOSIT) == 1
    assert invariants.broken_laws() == []


def test_a_repeated_word_books_once(pay: Pay) -> None:
    first, again = pay("not-ours", "150", name="sbx-x"), pay("not-ours", "150", name="sbx-x")
    assert (first.pk, first.booked_at) == (again.pk, again.booked_at)
    assert transfers(TransferKind.SUSPENSE) == len(events("payin.unmatched")) == 1


def test_what_returned_does_not_make_the_right_payment_a_duplicate(
    linked: Links, pay: Pay, operator: Operators
) -> None:
    link = linked(amount_to_spend="150.00")
    wrong = pay(link, "151.00")
    act = propose(wrong, Kind.SEND_BACK, operator(), evidence="bank-1")
    unmatched.act_approve(act_id=act.public_id, actor=operator("Senior"))
    assert pay(link, "150.00").state == "credited"


# -- acts ------------------------------------------------------------------------------------------


def test_credit_to_a_customer_with_the_policys_fee(
    lost: Payin, operator: Operators, customer: Callable[..., User]
) -> None:
    user = customer()
    act = propose(lost, Kind.CREDIT, operator(), customer_email=user.email.upper())
    assert balance_of(user, "UAH") == (0, 0)
    assert (len(events("unmatched.waiting")), Order.objects.count()) == (1, 0)
    unmatched.act_approve(act_id=act.public_id, actor=operator("Senior"), reason="seen the receipt")
    lost.refresh_from_db()
    order = Order.objects.get()
    assert (lost.state, lost.order_id, lost.fault) == ("credited", order.public_id, "unknown_reference")
    assert (order.status, order.owner, order.amount_in, order.fee) == ("CLOSED", user, 150, Decimal("1.5"))
    assert legs(lost, "credit") == [
        ("CUSTOMER_AVAILABLE", Decimal("148.5")),
        ("FEE_INCOME", Decimal("1.5")),
        ("SUSPENSE", Decimal(-150)),
    ]
    assert balance_of(user, "UAH") == (Decimal("148.50"), 0)
    assert [row.to_status for row in order.transitions.all()] == ["NEW", "WAITING_FOR_CONFIRMATION", "CLOSED"]
    entries = AuditEntry.objects.filter(object_type="payin", object_id=str(lost.public_id)).order_by("id")
    assert [(row.verb, row.reason) for row in entries] == [
        ("unmatched_propose", "a letter of the payer"),
        ("unmatched_approve", "seen the receipt"),
    ]
    assert invariants.broken_laws() == []


def test_credit_without_a_fee(lost: Payin, operator: Operators, customer: Callable[..., User]) -> None:
    user = customer()
    act = propose(lost, Kind.CREDIT, operator(), customer_email=user.email, with_fee=False)
    unmatched.act_approve(act_id=act.public_id, actor=operator())
    assert legs(lost, "credit") == [("CUSTOMER_AVAILABLE", Decimal(150)), ("SUSPENSE", Decimal(-150))]
    assert Order.objects.get().fee == 0


def test_send_back_books_what_has_left(lost: Payin, operator: Operators) -> None:
    act = propose(lost, Kind.SEND_BACK, operator(), evidence=" bank-77 ")
    assert act.evidence == "bank-77"
    unmatched.act_approve(act_id=act.public_id, actor=operator("Senior"))
    lost.refresh_from_db()
    assert lost.state == "returned"
    assert legs(lost, "returned") == [("PROVIDER_FLOAT", Decimal(150)), ("SUSPENSE", Decimal(-150))]
    assert Payout.objects.count() == 0


def test_keep_as_income(lost: Payin, operator: Operators) -> None:
    act = propose(lost, Kind.KEEP, operator())
    unmatched.act_approve(act_id=act.public_id, actor=operator("Senior"))
    lost.refresh_from_db()
    assert lost.state == "kept"
    assert legs(lost, "kept") == [("ADJUSTMENT", Decimal(150)), ("SUSPENSE", Decimal(-150))]
    assert invariants.broken_laws() == []


def test_who_may_do_what(lost: Payin, operator: Operators, customer: Callable[..., User]) -> None:
    maker = operator()
    for role in ("Support", "Compliance", "Finance", "Administrator", "Auditor"):
        assert code_of(lambda role=role: propose(lost, Kind.KEEP, operator(role))) == "forbidden"
    assert code_of(lambda: propose(lost, Kind.KEEP, customer().as_actor())) == "forbidden"
    act = propose(lost, Kind.KEEP, maker)

    def approve(actor: Actor) -> str:
        return code_of(lambda: unmatched.act_approve(act_id=act.public_id, actor=actor))

    assert [approve(maker), approve(operator("Compliance"))] == ["forbidden", "forbidden"]
    assert code_of(lambda: propose(lost, Kind.KEEP, operator())) == "conflict"
    assert (approve(operator("Senior")), approve(operator())) == ("ok", "wrong_state")
    assert transfers(TransferKind.SUSPENSE_INCOME) == 1
    assert code_of(lambda: propose(lost, Kind.KEEP, maker)) == "wrong_state"


def test_no_and_never_mind(lost: Payin, operator: Operators) -> None:
    maker, other = operator(), operator("Senior")
    act = propose(lost, Kind.KEEP, maker)
    assert code_of(lambda: unmatched.act_withdraw(act_id=act.public_id, actor=other)) == "forbidden"
    unmatched.act_withdraw(act_id=act.public_id, actor=maker)
    assert code_of(lambda: unmatched.act_approve(act_id=act.public_id, actor=other)) == "wrong_state"
    act = propose(lost, Kind.KEEP, maker)
    assert code_of(lambda: unmatched.act_reject(act_id=act.public_id, actor=other, reason=" ")) == (
        "validation_error"
    )
    unmatched.act_reject(act_id=act.public_id, actor=other, reason="it is somebody's")
    lost.refresh_from_db()
    assert (lost.state, transfers(TransferKind.SUSPENSE_INCOME)) == ("unmatched", 0)
    assert UnmatchedAct.objects.get(pk=act.pk).decision_reason == "it is somebody's"


def test_what_a_proposal_needs(lost: Payin, pay: Pay, operator: Operators) -> None:
    maker = operator()

    def refused(payin: Payin = lost, kind: UnmatchedAct.Kind = Kind.KEEP, **fields: Any) -> str:
        return code_of(lambda: propose(payin, kind, maker, **fields))

    assert refused(reason="  ") == "validation_error"
    assert refused(kind=Kind.CREDIT, customer_email="nobody@example.com") == "validation_error"
    assert refused(kind=Kind.CREDIT, customer_email=maker.label) == "validation_error"
    assert refused(kind=Kind.SEND_BACK, evidence="") == "validation_error"
    assert refused(kind=Kind.SEND_BACK, evidence=lost.transaction) == "validation_error"
    assert refused(kind=Kind.SEND_BACK, evidence="x" * 129) == "validation_error"
    assert refused(kind=Kind.SEND_BACK, evidence="bank-1") == "ok"
    assert refused(pay("neither", "1"), Kind.SEND_BACK, evidence="bank-1") == "conflict"
    assert UnmatchedAct.objects.count() == 1


def test_a_fee_that_leaves_nothing_moves_nothing(
    pay: Pay, operator: Operators, customer: Callable[..., User]
) -> None:
    Policy.objects.filter(operation="DEPOSIT", currency__code="UAH").update(fee_fixed=Decimal(5))
    small, user = pay("not-ours", "4.00"), customer()
    act = propose(small, Kind.CREDIT, operator(), customer_email=user.email)
    assert code_of(lambda: unmatched.act_approve(act_id=act.public_id, actor=operator())) == "below_minimum"
    small.refresh_from_db()
    act.refresh_from_db()
    assert (small.state, act.state, Order.objects.count()) == ("unmatched", "pending", 0)


# -- the database itself ---------------------------------------------------------------------------


def test_laws_of_the_database(lost: Payin, operator: Operators) -> None:
    maker = operator()
    act = propose(lost, Kind.KEEP, maker)

    def broken(change: Callable[[], Any]) -> bool:
        try:
            with transaction.atomic():
                change()
        except (IntegrityError, DatabaseError):
            return True
        return False

    acts, payins = UnmatchedAct.objects.filter(pk=act.pk), Payin.objects.filter(pk=lost.pk)
    assert broken(lambda: acts.update(state="done", decided_by_id=int(maker.id)))  # two people
    assert broken(lambda: acts.update(state="done"))
    assert broken(lambda: acts.update(reason="another"))
    assert broken(lambda: acts.update(kind="send_back", evidence="x"))
    assert broken(lambda: acts.delete())
    assert broken(lambda: payins.update(fault=""))
    assert broken(lambda: payins.update(booked_at=None))
    assert broken(lambda: payins.update(amount=1))
    assert broken(lambda: payins.delete())
    assert broken(
        lambda: Payin.objects.create(
            provider=lost.provider, currency=lost.currency, transaction="t", amount=1, state="kept"
        )
    )
    acts.update(state="withdrawn")
    assert broken(lambda: acts.update(state="pending"))
    with as_owner() as cursor, pytest.raises(DatabaseError), transaction.atomic():
        cursor.execute("delete from deposit_order_unmatchedact")


# -- fees and cost ---------------------------------------------------------------------------------


def test_the_fee_inside_and_on_top(linked: Links, pay: Pay) -> None:
    inside, on_top = linked(amount_to_spend="200.00"), linked(amount_to_receive="200.00")
    assert (inside.amount, inside.fee) == (200, None)
    assert (on_top.amount, on_top.fee) == (202, 2)
    first, second = pay(inside, "200"), pay(on_top, "202")
    assert legs(first, "credit") == [
        ("CUSTOMER_AVAILABLE", Decimal(198)),
        ("PROVIDER_FLOAT", Decimal(-200)),
        ("FEE_INCOME", Decimal(2)),
    ]
    assert legs(second, "credit") == [
        ("CUSTOMER_AVAILABLE", Decimal(200)),
        ("PROVIDER_FLOAT", Decimal(-202)),
        ("FEE_INCOME", Decimal(2)),
    ]


def test_an_agreed_fee_stays_when_the_policy_changes(linked: Links, pay: Pay) -> None:
    link = linked(amount_to_receive="200.00")
    Policy.objects.filter(operation="DEPOSIT", currency__code="UAH").update(fee_percent=Decimal(50))
    pay(link, "202")
    assert balance_of(link.user, "UAH") == (200, 0)


@pytest.mark.parametrize(
    ("terms", "cost"),
    [
        ({"percent": "1.5", "fixed": "0.10"}, "2.36"),  # 2.25015 + 0.10, rounded up
        ({"percent": "1.5"}, "2.26"),
        ({"fixed": "0.5"}, "0.5"),
        ({"fixed": "500"}, "150.01"),  # never more than came
        ({"percent": "x"}, "0"),
        ({"percent": "-1"}, "0"),
        ({"percent": "NaN"}, "0"),
        ("1", "0"),
    ],
)
def test_what_the_provider_takes(linked: Links, pay: Pay, sandbox: Provider, terms: Any, cost: str) -> None:
    sandbox.settings = {**sandbox.settings, "deposit_cost": {"UAH": terms}}
    sandbox.save()
    payin = pay(linked(), "150.01")
    taken, came = Decimal(cost), Decimal("150.01")
    assert payin.cost == taken
    assert [row for row in legs(payin, "credit") if row[0].startswith("PROVIDER")] == [
        row for row in (("PROVIDER_FLOAT", taken - came), ("PROVIDER_COST", -taken)) if row[1]
    ]
    lost = pay("not-ours", "150.01")
    assert sum(amount for _name, amount in legs(lost, "suspense")) == 0
    assert legs(lost, "suspense")[-1] == ("SUSPENSE", came)
    assert invariants.broken_laws() == []


def test_what_was_asked_stands_on_the_order(linked: Links, pay: Pay) -> None:
    link = linked(
        convert_to="USDT",
        comment="order 17",
        external_id="cart-1",
        callback_url="https://shop.example/kauri",
        additional_info={"customer_id": "user-17"},
    )
    pay(link, "150")
    order = Order.objects.get()
    assert (order.comment, order.callback_url) == ("order 17", "https://shop.example/kauri")
    assert order.additional_info == {"customer_id": "user-17", "external_id": "cart-1"}
    assert (order.deposit.convert_to.code, order.currency_out.code) == ("USDT", "UAH")
    told = events("deposit.closed")[-1].payload
    assert (told["customer_id"], told["currency_convert_to"]) == ("user-17", "USDT")


def test_the_accounts_own_wish(linked: Links, pay: Pay, customer: Callable[..., User]) -> None:
    user = customer(auto_conversion="USDT")
    pay(linked(user), "150")
    pay(linked(user, convert_to="EUR"), "150")
    wishes = [row.deposit.convert_to.code for row in Order.objects.order_by("id")]
    assert wishes == ["USDT", "EUR"]
    User.objects.filter(pk=user.pk).update(auto_conversion="UAH")
    pay(linked(user), "150")
    assert Order.objects.latest("id").deposit.convert_to is None

"""Adjustments and reversals: two people, a reason, a document, and the past left alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.balance import adjustments, invariants, ledger
from kauri.balance.adjustments import Place
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.models import Adjustment, Entry, Period, Transfer
from kauri.common import documents
from kauri.common.actor import SYSTEM, Actor
from kauri.common.documents import Document
from kauri.common.ids import ledger_key
from kauri.core.models import AuditEntry, Currency
from tests.moves import as_owner, balance_of, code_of, events, give, transfers

PAPER = Document("../../bank letter.pdf", b"%PDF-1.7 the bank says so")


@pytest.fixture
def finance(operator: Callable[..., Actor]) -> Actor:
    return operator("Finance")


@pytest.fixture
def senior(operator: Callable[..., Actor]) -> Actor:
    return operator("Senior")


def propose(user: User, actor: Actor, amount: str = "12.50", **fields: Any) -> Adjustment:
    values = {
        "currency_id": Currency.objects.get(code="UAH").pk,
        "amount": amount,
        "source": Place(AccountKind.ADJUSTMENT),
        "target": Place(AccountKind.CUSTOMER_AVAILABLE, customer_id=user.pk),
        "reason": "credited by the bank, never booked",
        "document": PAPER,
        "actor": actor,
        **fields,
    }
    return adjustments.adjustment_propose(**values)


def approve(row: Adjustment, actor: Actor) -> Adjustment:
    return adjustments.adjustment_approve(adjustment_id=row.public_id, actor=actor, reason="seen")


def test_one_proposes_and_another_posts(customer: Callable[..., User], finance: Actor, senior: Actor) -> None:
    user = customer()
    row = propose(user, finance)
    assert (balance_of(user, "UAH")[0], transfers(TransferKind.ADJUSTMENT)) == (0, 0)
    assert [event.payload["by"] for event in events("adjustment.waiting")] == [finance.label]
    done = approve(row, senior)
    assert (balance_of(user, "UAH")[0], done.state) == (Decimal("12.50"), "posted")
    transfer = Transfer.objects.get(pk=done.transfer_id)
    assert transfer.meta == {
        "adjustment": str(row.public_id),
        "proposed_by": finance.label,
        "document_sha256": hashlib.sha256(PAPER.data).hexdigest(),
    }
    assert [event.payload["amount"] for event in events("balance.adjusted")] == [Decimal("12.50")]
    assert code_of(lambda: approve(row, senior)) == "wrong_state"
    assert transfers(TransferKind.ADJUSTMENT) == 1
    verbs = AuditEntry.objects.filter(object_type="adjustment").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["adjustment_propose", "adjustment_approve"]
    assert (done.document_name, invariants.broken_laws()) == ("bank letter.pdf", [])


def test_nobody_posts_their_own(
    customer: Callable[..., User], finance: Actor, senior: Actor, operator: Callable[..., Actor]
) -> None:
    user = customer()
    own = propose(user, senior)
    assert code_of(lambda: approve(own, senior)) == "forbidden"
    assert code_of(lambda: approve(own, finance)) == "forbidden"  # may propose, may not decide
    assert code_of(lambda: propose(user, operator("Support"))) == "forbidden"
    states = []
    for door in (connection.cursor, as_owner):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), door() as cursor:
            cursor.execute(
                "update balance_adjustment set decided_by_id = proposed_by_id, decided_at = now(),"
                " state = 'rejected' where id = %s",
                [own.pk],
            )
        diagnosis = caught.value.__cause__.diag  # type: ignore[union-attr]
        states.append(diagnosis.constraint_name)
    assert states == ["adjustment_two_people"] * 2
    assert Adjustment.objects.get().state == "pending"


@pytest.mark.parametrize(
    "sql",
    [
        "update balance_adjustment set amount = amount * 100",
        "update balance_adjustment set to_customer_id = null",
        "update balance_adjustment set reason = 'another'",
        "update balance_adjustment set document_sha256 = 'x'",
        "delete from balance_adjustment",
    ],
)
def test_what_was_proposed_stays(customer: Callable[..., User], finance: Actor, sql: str) -> None:
    propose(customer(), finance)
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute(sql)
    assert caught.value.__cause__.sqlstate == "KA403"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reason": " "}, "validation_error"),
        ({"amount": "0"}, "invalid_amount"),
        ({"amount": "-1"}, "invalid_amount"),
        ({"amount": "1.001"}, "invalid_amount"),
        ({"document": Document("x.pdf", b"MZ not a paper")}, "validation_error"),
        ({"document": Document("x.pdf", b"")}, "validation_error"),
        ({"document": Document("x.pdf", b"%PDF-" + b"0" * documents.MAX_DOCUMENT)}, "validation_error"),
        ({"source": Place(AccountKind.CUSTOMER_HELD, customer_id=1)}, "validation_error"),
        ({"source": Place(AccountKind.CUSTOMER_AVAILABLE)}, "validation_error"),
        ({"source": Place(AccountKind.FEE_INCOME, customer_id=1)}, "validation_error"),
        ({"source": Place(AccountKind.PROVIDER_FLOAT)}, "validation_error"),
        ({"target": Place(AccountKind.ADJUSTMENT)}, "validation_error"),
        ({"corrects": "2026-01"}, "validation_error"),
    ],
)
def test_what_can_not_be_proposed(
    customer: Callable[..., User], finance: Actor, fields: dict[str, Any], code: str
) -> None:
    assert code_of(lambda: propose(customer(), finance, **fields)) == code
    assert Adjustment.objects.count() == 0


def test_money_that_is_not_there_is_not_taken(
    customer: Callable[..., User], finance: Actor, senior: Actor
) -> None:
    user = customer()
    row = propose(
        user,
        finance,
        source=Place(AccountKind.CUSTOMER_AVAILABLE, customer_id=user.pk),
        target=Place(AccountKind.SUSPENSE),
    )
    assert code_of(lambda: approve(row, senior)) == "insufficient_funds"
    assert (Adjustment.objects.get().state, Entry.objects.count()) == ("pending", 0)
    assert events("balance.adjusted") == []


def test_rejected_and_withdrawn_move_nothing(
    customer: Callable[..., User], finance: Actor, senior: Actor
) -> None:
    user = customer()
    no, back = propose(user, finance), propose(user, finance)
    refused = code_of(
        lambda: adjustments.adjustment_reject(adjustment_id=no.public_id, actor=senior, reason="")
    )
    assert refused == "validation_error"
    adjustments.adjustment_reject(adjustment_id=no.public_id, actor=senior, reason="wrong customer")
    withdrawn = adjustments.adjustment_withdraw
    assert code_of(lambda: withdrawn(adjustment_id=back.public_id, actor=senior)) == "forbidden"
    withdrawn(adjustment_id=back.public_id, actor=finance)
    for row in (no, back):
        assert code_of(lambda row=row: approve(row, senior)) == "wrong_state"
    assert Entry.objects.count() == 0


def test_a_transfer_is_reversed_once_by_two(
    customer: Callable[..., User], finance: Actor, senior: Actor
) -> None:
    user = customer()
    give(user, "UAH", "10")
    wrong = Transfer.objects.get()

    def reversal() -> Adjustment:
        return adjustments.reversal_propose(
            transfer_id=wrong.pk, reason="typed twice", document=PAPER, actor=finance
        )

    row = reversal()
    assert code_of(reversal) == "conflict"
    done = approve(row, senior)
    assert done.transfer is not None
    assert (done.transfer.reverses_id, balance_of(user, "UAH")[0]) == (wrong.pk, 0)
    assert code_of(reversal) == "conflict"
    again = adjustments.reversal_propose
    last = done.transfer_id
    assert last is not None
    assert (
        code_of(lambda: again(transfer_id=last, reason="x", document=PAPER, actor=finance)) == "wrong_state"
    )
    assert invariants.broken_laws() == []


def test_what_moved_held_money_is_not_reversed(customer: Callable[..., User], finance: Actor) -> None:
    user = customer()
    give(user, "UAH", "10")
    held = ledger.hold(
        ledger_key("some order"),
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=user.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(5),
        actor=SYSTEM,
    )
    asked = adjustments.reversal_propose
    code = code_of(lambda: asked(transfer_id=held.transfer_id, reason="x", document=PAPER, actor=finance))
    assert code == "wrong_state"


def test_a_correction_of_a_closed_month_is_dated_now_and_names_it(
    customer: Callable[..., User], finance: Actor, senior: Actor
) -> None:
    user = customer()
    give(user, "UAH", "10")
    wrong = Transfer.objects.get()
    start = datetime(wrong.created_at.year, wrong.created_at.month, 1, tzinfo=UTC)
    with as_owner() as cursor:
        # The month of this test is over only in the eyes of the table's owner.
        cursor.execute(
            "insert into ledger_period (starts_at, ends_at, closed_at, actor) values (%s, %s, %s, 'test')",
            [start, wrong.created_at + timedelta(microseconds=1), datetime.now(UTC)],
        )
    period = Period.objects.get()
    row = adjustments.reversal_propose(
        transfer_id=wrong.pk, reason="typed twice", document=PAPER, actor=finance
    )
    assert row.corrects == str(period) == f"{start:%Y-%m}"
    done = approve(row, senior)
    assert done.transfer is not None
    assert done.transfer.meta is not None
    assert done.transfer.meta["corrects"] == str(period)
    assert done.transfer.created_at > period.ends_at
    by_hand = propose(user, finance, corrects=str(period))
    assert approve(by_hand, senior).corrects == str(period)


def test_the_document_is_kept_and_every_look_recorded(
    customer: Callable[..., User], finance: Actor, senior: Actor, operator: Callable[..., Actor]
) -> None:
    row = propose(customer(), finance)
    assert adjustments.document_of(row, actor=senior) == (PAPER.data, "application/pdf")
    assert code_of(lambda: adjustments.document_of(row, actor=operator("Support"))) == "forbidden"
    looks = AuditEntry.objects.filter(verb="adjustment_document_view")
    assert [look.actor_label for look in looks] == [senior.label]


@pytest.mark.django_db(transaction=True)
def test_two_deciders_post_once(
    customer: Callable[..., User], finance: Actor, operator: Callable[..., Actor]
) -> None:
    user = customer()
    row = propose(user, finance)
    deciders = [operator("Senior") for _ in range(4)]
    said: list[str] = []
    barrier = threading.Barrier(len(deciders))

    def decide(actor: Actor) -> None:
        barrier.wait()
        said.append(code_of(lambda: approve(row, actor)))
        connection.close()

    threads = [threading.Thread(target=decide, args=(actor,)) for actor in deciders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["ok", "wrong_state", "wrong_state", "wrong_state"]
    assert (balance_of(user, "UAH")[0], transfers(TransferKind.ADJUSTMENT)) == (Decimal("12.50"), 1)


def test_legs_of_a_posting_are_the_proposals(customer: Callable[..., User]) -> None:
    """A leg names its owner by position in the posting above: the order of fields is part of the deal."""
    leg = Leg(AccountKind.CUSTOMER_AVAILABLE, Currency(code="X"), Decimal(1), 7, None)
    assert (leg.customer_id, leg.provider_id) == (7, None)

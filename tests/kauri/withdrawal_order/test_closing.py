"""What a provider never ended, ended by two people with a paper: once, and only where nothing can move any more."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as kauri_settings
from django.db import DatabaseError, IntegrityError, transaction

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.documents import Document
from kauri.core.models import AuditEntry, Provider
from kauri.order_core.models import Order
from kauri.payment_provider.gateway import PayoutStatus
from kauri.payment_provider.models import Channel, Payout
from kauri.payment_provider.services import payout_ask
from kauri.withdrawal_order import closing, paying
from kauri.withdrawal_order.models import Closing
from tests.house import Usdt
from tests.kauri.withdrawal_order.conftest import parts_of, tell
from tests.moves import (
    approved,
    as_owner,
    balance_of,
    code_of,
    events,
    give,
    later,
    queued,
    together,
    transfers,
)

Outcome = Closing.Outcome
PAPER = Document("statement of the bank.pdf", b"%PDF-1.7 it left on Monday")
Operators = Callable[..., Actor]
PaidOut = Callable[..., Order]


@pytest.fixture
def lost(first: Provider, paid_out: PaidOut) -> Payout:
    """100 UAH (fee 5) of a customer who had 1,000, whose outcome the provider does not tell."""
    order = paid_out("100", to="sandbox:strange")
    [part] = parts_of(order)
    paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    assert part.payout.state == "unknown"
    return part.payout


def order_of(payout: Payout) -> Order:
    return Order.objects.select_related("owner").get(public_id=payout.order_id)


def propose(payout: Payout, outcome: Closing.Outcome, actor: Actor, **fields: Any) -> Closing:
    values = {"reason": "the bank's statement shows it", "document": PAPER, **fields}
    if outcome is Outcome.PAID and not fields.get("whole_order"):
        values.setdefault("reference", "BANK-77")
    return closing.closing_propose(payout_id=payout.public_id, outcome=outcome, actor=actor, **values)


def test_paid_by_two_people(lost: Payout, operator: Operators) -> None:
    maker, senior = operator("Treasury"), operator("Senior")
    row = propose(lost, Outcome.PAID, maker)
    order = order_of(lost)
    assert (order.status, balance_of(order.owner, "UAH")) == ("PAYMENT_IN_PROGRESS", (895, 105))
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 0
    [told] = events("closing.waiting")
    assert (told.payload["what"], told.payload["amount"], told.payload["by"]) == ("paid", "100", maker.label)
    closing.closing_approve(closing_id=row.public_id, actor=senior, reason="seen it")
    lost.refresh_from_db()
    order.refresh_from_db()
    assert (lost.state, lost.provider_reference, order.status) == ("confirmed", "BANK-77", "CLOSED")
    assert lost.answer["closed_by_hand"] == str(row.public_id)
    assert balance_of(order.owner, "UAH") == (895, 0)
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1
    verbs = list(
        AuditEntry.objects.filter(verb__startswith="closing")
        .order_by("id")
        .values_list("verb", "actor_label")
    )
    assert verbs == [("closing_propose", maker.label), ("closing_approve", senior.label)]
    # The provider's late word of the same is a repeat; the contrary is refused and kept for people.
    assert tell(lost, PayoutStatus.CONFIRMED) == "repeated"
    assert code_of(lambda: tell(lost, PayoutStatus.FAILED)) == "conflict"
    again = lambda: closing.closing_approve(closing_id=row.public_id, actor=senior)  # noqa: E731
    assert code_of(again) == "wrong_state"
    assert invariants.broken_laws() == []


def test_not_paid_releases_and_is_not_tried_elsewhere(
    lost: Payout, second: Provider, operator: Operators
) -> None:
    row = propose(lost, Outcome.NOT_PAID, operator("Treasury"))
    closing.closing_approve(closing_id=row.public_id, actor=operator("Senior"))
    order = order_of(lost)
    assert (order.status, balance_of(order.owner, "UAH")) == ("ERROR", (1000, 0))
    assert Payout.objects.count() == 1
    assert (transfers(TransferKind.WITHDRAWAL_CAPTURE), transfers(TransferKind.WITHDRAWAL_RELEASE)) == (0, 1)
    paying.payout_advance(lost.pk)
    assert invariants.broken_laws() == []


def test_for_one_part_and_for_the_whole_order(
    first: Provider, channel: Callable[..., Channel], paid_out: PaidOut, operator: Operators
) -> None:
    channel(first, max_amount="100")
    order = paid_out("250", to="sandbox:strange")
    for part in parts_of(order):
        paying.payout_advance(part.payout_id)
    one, two, three = [part.payout for part in parts_of(order)]
    maker, senior = operator("Treasury"), operator("Senior")
    row = propose(one, Outcome.PAID, maker)
    assert code_of(lambda: propose(two, Outcome.NOT_PAID, maker)) == "conflict"
    closing.closing_approve(closing_id=row.public_id, actor=senior)
    order.refresh_from_db()
    assert order.status == "PAYMENT_IN_PROGRESS"
    row = propose(two, Outcome.NOT_PAID, maker, whole_order=True)
    assert row.payout is None
    closing.closing_approve(closing_id=row.public_id, actor=senior)
    order.refresh_from_db()
    three.refresh_from_db()
    assert (order.status, order.amount_out, three.state) == ("CLOSED", Decimal(100), "failed")
    assert Order.objects.get(split_from=order).amount_out == 150
    assert balance_of(order.owner, "UAH") == (Decimal(898), Decimal(0))
    assert invariants.broken_laws() == []


def test_who_may(lost: Payout, operator: Operators, customer: Callable[..., User]) -> None:
    maker, senior = operator("Treasury"), operator("Senior")
    for role in ("Support", "Compliance", "Finance", "Administrator", "Auditor"):
        assert code_of(lambda role=role: propose(lost, Outcome.PAID, operator(role))) == "forbidden"
    row = propose(lost, Outcome.PAID, senior)
    decide = lambda actor: code_of(  # noqa: E731 - said often
        lambda: closing.closing_approve(closing_id=row.public_id, actor=actor)
    )
    assert [decide(senior), decide(maker), decide(operator("Administrator"))] == ["forbidden"] * 3
    assert decide(operator("Senior")) == "ok"
    # Their own money is nobody's to decide on.
    other = order_of(lost).owner
    assert code_of(lambda: closing.closing_withdraw(closing_id=row.public_id, actor=maker)) == "wrong_state"
    assert other.pk


def test_a_customer_who_is_an_operator_does_not_decide_on_their_own(
    first: Provider, paid_out: PaidOut, operator: Operators
) -> None:
    maker, owner = operator("Treasury"), operator("Senior")
    user = User.objects.get(pk=int(owner.id))
    User.objects.filter(pk=user.pk).update(verification_level=1)
    give(user, "UAH", "1000")
    order = paid_out("100", to="sandbox:strange", user=user)
    [part] = parts_of(order)
    paying.payout_advance(part.payout_id)
    row = propose(part.payout, Outcome.NOT_PAID, maker)
    act = lambda: closing.closing_approve(closing_id=row.public_id, actor=owner)  # noqa: E731
    assert code_of(act) == "forbidden"
    part.payout.refresh_from_db()
    assert part.payout.state == "unknown"


def test_what_cannot_be_closed(lost: Payout, paid_out: PaidOut, operator: Operators) -> None:
    maker = operator("Treasury")
    said = lambda **fields: code_of(lambda: propose(lost, Outcome.PAID, maker, **fields))  # noqa: E731
    assert said(reason=" ") == "validation_error"
    assert said(reference="") == "validation_error"
    assert said(document=Document("x.exe", b"MZ")) == "validation_error"
    assert said(whole_order=True, reference="BANK-77") == "validation_error"
    unsent = parts_of(paid_out("60"))[0].payout
    assert code_of(lambda: propose(unsent, Outcome.PAID, maker)) == "wrong_state"
    done = parts_of(paid_out("70", to="sandbox:success"))[0].payout
    paying.payout_advance(done.pk)
    assert code_of(lambda: propose(done, Outcome.NOT_PAID, maker)) == "wrong_state"
    done.refresh_from_db()
    assert said(reference=done.provider_reference) == "conflict"
    assert not Closing.objects.exists()


def test_not_while_a_worker_asks_the_provider(lost: Payout, operator: Operators) -> None:
    row = propose(lost, Outcome.NOT_PAID, operator("Treasury"))
    Payout.objects.filter(pk=lost.pk).update(lease_until=later(30))
    senior = operator("Senior")
    act = lambda: closing.closing_approve(closing_id=row.public_id, actor=senior)  # noqa: E731
    assert code_of(act) == "wrong_state"
    row.refresh_from_db()
    assert (row.state, transfers(TransferKind.WITHDRAWAL_RELEASE)) == ("pending", 0)
    with clock.standing_at(later(31)):
        assert code_of(act) == "ok"


def test_the_provider_was_faster(lost: Payout, operator: Operators) -> None:
    row = propose(lost, Outcome.NOT_PAID, operator("Treasury"))
    tell(lost, PayoutStatus.CONFIRMED)
    senior = operator("Senior")
    act = lambda: closing.closing_approve(closing_id=row.public_id, actor=senior)  # noqa: E731
    assert code_of(act) == "wrong_state"
    order = order_of(lost)
    assert (order.status, balance_of(order.owner, "UAH")) == ("CLOSED", (895, 0))
    row.refresh_from_db()
    assert row.state == "pending"
    closing.closing_reject(closing_id=row.public_id, actor=senior, reason="it was paid after all")
    assert invariants.broken_laws() == []


def test_bytes_on_a_chain_are_not_declared_worthless_by_hand(
    usdt: Usdt, customer: Callable[..., User], operator: Operators
) -> None:
    user = customer()
    give(user, "USDT", "100")
    _order, payout = approved(user, operator(), "40")
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "sent"
    maker = operator("Treasury")
    assert code_of(lambda: propose(payout, Outcome.NOT_PAID, maker)) == "wrong_state"
    assert not Closing.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_seniors_at_once_close_it_once(lost: Payout, operator: Operators) -> None:
    row = propose(lost, Outcome.NOT_PAID, operator("Treasury"))
    seniors = [operator("Senior"), operator("Senior")]
    outcomes = together(
        2,
        lambda number: code_of(
            lambda: closing.closing_approve(closing_id=row.public_id, actor=seniors[number])
        ),
    )
    assert sorted(outcomes) == ["ok", "wrong_state"]
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert balance_of(order_of(lost).owner, "UAH") == (1000, 0)


def test_asked_again_at_once(lost: Payout, operator: Operators) -> None:
    Payout.objects.filter(pk=lost.pk).update(next_attempt_at=later(300))
    assert paying.payouts_sweep() == 0
    auditor = operator("Auditor")
    assert code_of(lambda: payout_ask(payout_id=lost.public_id, actor=auditor)) == "forbidden"
    payout_ask(payout_id=lost.public_id, actor=operator("Treasury"))
    assert paying.payouts_sweep() == 1
    assert (lost.pk,) in queued("payout_advance")
    assert AuditEntry.objects.filter(verb="payout_ask").count() == 1


@pytest.mark.parametrize(
    "change",
    [
        "outcome = 'not_paid', reference = ''",
        "proposed_by_id = 0",
        "document_sha256 = 'x'",
        "state = 'done'",
        "state = 'done', decided_by_id = proposed_by_id",
        "reason = ''",
    ],
)
def test_the_database_keeps_a_closing(lost: Payout, operator: Operators, change: str) -> None:
    row = propose(lost, Outcome.PAID, operator("Treasury"))
    with pytest.raises(DatabaseError), transaction.atomic(), as_owner() as cursor:
        cursor.execute(f"update withdrawal_order_closing set {change} where id = %s", [row.pk])
    with pytest.raises(DatabaseError), transaction.atomic(), as_owner() as cursor:
        cursor.execute("delete from withdrawal_order_closing")
    with pytest.raises(IntegrityError), transaction.atomic():
        Closing.objects.create(
            order=row.order,
            payout=row.payout,
            outcome="paid",
            reference="other",
            reason="again",
            document_name="x",
            document_sha256="x",
            proposed_by_id=1,
            proposed_by="x",
        )


def test_the_paper_is_kept_and_each_look_recorded(lost: Payout, operator: Operators) -> None:
    row = propose(lost, Outcome.PAID, operator("Treasury"))
    senior = operator("Senior")
    assert closing.document_of(row, actor=senior) == (PAPER.data, "application/pdf")
    assert AuditEntry.objects.filter(verb="closing_document_view", actor_label=senior.label).count() == 1
    for path in (kauri_settings.FILES_DIR / "closings").iterdir():
        path.unlink()
    assert code_of(lambda: closing.document_of(row, actor=senior)) == "not_found"

"""Analysis before the credit: what passes, what is held or frozen, and that unknown is never clean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import Currency, Provider
from kauri.deposit_order import crediting, holds, opening, unmatched
from kauri.deposit_order.models import UnmatchedAct
from kauri.deposit_order.opening import Wishes
from kauri.deposit_order.services import screenings_sweep
from kauri.order_core import screening
from kauri.order_core.models import Order, Screening, ScreeningDecision, ScreeningPolicy
from kauri.payment_provider.models import Payin
from tests.kauri.deposit_order.conftest import legs
from tests.moves import balance_of, code_of, events, transfers

BAD, DUBIOUS, CLEAN = "0xBad", "0xDubious", "0xClean"


@pytest.fixture
def rule(house: None) -> ScreeningPolicy:
    """USDT from 100 on is analysed by the local list."""
    provider = Provider.objects.create(
        code="list",
        title="Our list",
        kind=Provider.Kind.SCREENING,
        adapter="local_list",
        is_enabled=True,
        settings={
            "addresses": {
                BAD: {"category": "sanctions", "score": "1"},
                DUBIOUS: {"category": "mixer", "score": "0.6"},
            }
        },
    )
    return ScreeningPolicy.objects.create(
        currency=Currency.objects.get(code="USDT"),
        provider=provider,
        min_amount=Decimal(100),
        freeze_signals="stolen, sanctions",
    )


@pytest.fixture
def confirmed(customer: Callable[..., User]) -> Callable[..., tuple[User, Payin]]:
    """A deposit of a new customer whose money is final: the moment before it is settled."""

    def come(sender: str, amount: str = "500") -> tuple[User, Payin]:
        user = customer()
        payin = Payin.objects.create(
            provider=Provider.objects.get(code="usdt-node"),
            currency=Currency.objects.get(code="USDT"),
            transaction=f"0x{user.pk:064x}",
            address="0xOurs",
            sender=sender,
            amount=Decimal(amount),
        )
        opening.open_order(payin, user, Wishes(), confirmations=1, actor=SYSTEM)
        crediting.settle(payin.pk, actor=SYSTEM)
        return user, payin

    return come


Confirmed = Callable[..., tuple[User, Payin]]
Operators = Callable[..., Actor]


def order_of(payin: Payin) -> Order:
    payin.refresh_from_db()
    return Order.objects.get(deposit__payin=payin)


def test_clean_money_is_credited_after_the_answer(rule: ScreeningPolicy, confirmed: Confirmed) -> None:
    user, payin = confirmed(CLEAN)
    assert (payin.state, order_of(payin).status) == ("seen", "WAITING_FOR_CONFIRMATION")
    assert balance_of(user) == (0, 0)
    assert (screenings_sweep(), screenings_sweep()) == (1, 0)
    assert (order_of(payin).status, payin.state) == ("CLOSED", "credited")
    assert balance_of(user) == (500, 0)
    assert legs(payin, "credit") == [("CUSTOMER_AVAILABLE", Decimal(500)), ("PROVIDER_FLOAT", Decimal(-500))]
    row = Screening.objects.get()
    assert (row.state, row.score, row.level, row.outcome) == ("ready", 0, "low", "pass")
    [decision] = ScreeningDecision.objects.all()
    assert (decision.outcome, decision.actor_label) == ("pass", "system")


def test_what_no_rule_speaks_of_is_credited_at_once(rule: ScreeningPolicy, confirmed: Confirmed) -> None:
    assert confirmed(BAD, "99.99")[1].pk
    ScreeningPolicy.objects.update(is_enabled=False)
    confirmed(BAD)
    assert set(Order.objects.values_list("status", flat=True)) == {"CLOSED"}
    assert Screening.objects.count() == 0


@pytest.mark.parametrize(("sender", "outcome"), [(DUBIOUS, "hold"), (BAD, "freeze")])
def test_bad_money_is_credited_to_nobody(
    rule: ScreeningPolicy, confirmed: Confirmed, sender: str, outcome: str
) -> None:
    user, payin = confirmed(sender.upper())
    assert screenings_sweep() == 0
    assert (order_of(payin).status, payin.state) == ("BLOCKED", "held")
    assert Screening.objects.get().outcome == outcome
    assert legs(payin, "suspense") == [("PROVIDER_FLOAT", Decimal(-500)), ("SUSPENSE", Decimal(500))]
    assert (legs(payin, "credit"), balance_of(user)) == ([], (0, 0))
    [told] = events("deposit.held")
    assert told.payload["outcome"] == outcome
    assert holds.queue().count() == (1 if outcome == "hold" else 0)
    assert (screenings_sweep(), len(events("deposit.held"))) == (0, 1)
    assert invariants.broken_laws() == []


def test_a_person_credits_what_is_held(
    rule: ScreeningPolicy, confirmed: Confirmed, operator: Operators
) -> None:
    user, payin = confirmed(DUBIOUS)
    screenings_sweep()
    order = order_of(payin)

    def credit(actor: Actor, reason: str = "papers of the sale") -> str:
        return code_of(lambda: holds.hold_credit(order_id=order.public_id, actor=actor, reason=reason))

    refused = [credit(operator(role)) for role in ("Support", "Treasury", "Finance", "Administrator")]
    assert refused == ["forbidden"] * 4
    assert credit(operator("Compliance"), " ") == "validation_error"
    assert balance_of(user) == (0, 0)
    assert [credit(operator("Compliance")), credit(operator("Compliance"))] == ["ok", "wrong_state"]
    assert (order_of(payin).status, payin.state) == ("CLOSED", "credited")
    assert legs(payin, "credit") == [("CUSTOMER_AVAILABLE", Decimal(500)), ("SUSPENSE", Decimal(-500))]
    assert [row.outcome for row in ScreeningDecision.objects.all()] == ["hold", "pass"]
    assert order.transitions.last().reason == "papers of the sale"
    assert invariants.broken_laws() == []


def test_who_freezes_does_not_let_it_go(
    rule: ScreeningPolicy, confirmed: Confirmed, operator: Operators
) -> None:
    user, payin = confirmed(DUBIOUS)
    screenings_sweep()
    order_id, first = order_of(payin).public_id, operator("Compliance")
    holds.hold_freeze(order_id=order_id, actor=first, reason="stolen, says the police")
    assert order_of(payin).status == "BLOCKED"
    assert holds.queue().count() == 0
    assert code_of(lambda: holds.hold_freeze(order_id=order_id, actor=first, reason="x")) == "wrong_state"
    assert code_of(lambda: holds.hold_credit(order_id=order_id, actor=first, reason="x")) == "forbidden"
    assert balance_of(user) == (0, 0)
    holds.hold_credit(order_id=order_id, actor=operator("Senior"), reason="a court's word")
    assert balance_of(user) == (500, 0)


def test_held_money_is_sent_back_by_two(
    rule: ScreeningPolicy, confirmed: Confirmed, operator: Operators
) -> None:
    user, payin = confirmed(BAD)
    screenings_sweep()
    maker = operator()

    def propose(kind: UnmatchedAct.Kind, **fields: Any) -> UnmatchedAct:
        return unmatched.act_propose(
            payin_id=payin.public_id, kind=kind, actor=maker, reason="ordered", **fields
        )

    assert code_of(lambda: propose(UnmatchedAct.Kind.KEEP)) == "wrong_state"
    act = propose(UnmatchedAct.Kind.SEND_BACK, evidence="0xBack")
    freed = code_of(
        lambda: holds.hold_credit(
            order_id=order_of(payin).public_id, actor=operator("Compliance"), reason="x"
        )
    )
    assert freed == "wrong_state"
    unmatched.act_approve(act_id=act.public_id, actor=operator("Senior"))
    assert (order_of(payin).status, payin.state) == ("ERROR", "returned")
    assert legs(payin, "returned") == [("PROVIDER_FLOAT", Decimal(500)), ("SUSPENSE", Decimal(-500))]
    assert balance_of(user) == (0, 0)
    assert invariants.broken_laws() == []


@pytest.mark.parametrize(
    "fault",
    [{"is_enabled": False}, {"adapter": "nothing"}, {"settings": {}}, {"adapter": "crystal", "settings": {}}],
)
def test_a_provider_that_is_down_holds(
    rule: ScreeningPolicy, confirmed: Confirmed, fault: dict[str, Any]
) -> None:
    user, payin = confirmed(CLEAN)
    Provider.objects.filter(code="list").update(**fault)
    made = Screening.objects.get().created_at
    assert screenings_sweep() == 0
    assert Screening.objects.get().last_error
    with clock.standing_at(made + timedelta(minutes=29, seconds=59)):
        assert screenings_sweep() == 0
        assert order_of(payin).status == "WAITING_FOR_CONFIRMATION"
    with clock.standing_at(made + timedelta(minutes=30)):
        assert screenings_sweep() == 0
    assert (order_of(payin).status, Screening.objects.get().outcome) == ("BLOCKED", "hold")
    assert balance_of(user) == (0, 0)
    # The answer that comes at last is kept for the person, and decides nothing.
    Provider.objects.filter(code="list").update(
        adapter="local_list", is_enabled=True, settings={"addresses": {}}
    )
    with clock.standing_at(made + timedelta(hours=1)):
        screenings_sweep()
    row = Screening.objects.get()
    assert (row.state, row.score, row.outcome) == ("ready", 0, "hold")
    assert balance_of(user) == (0, 0)


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        ("0", "pass"),
        ("0.4999", "pass"),
        ("0.5", "hold"),
        ("0.8999", "hold"),
        ("0.9", "freeze"),
        ("1", "freeze"),
    ],
)
def test_thresholds(rule: ScreeningPolicy, score: str, outcome: str) -> None:
    row = Screening(state="ready", score=Decimal(score), signals={"mixer": "0.9"})
    assert screening.judged(row, rule)[0] == outcome


def test_a_signal_freezes_whatever_the_score(rule: ScreeningPolicy) -> None:
    row = Screening(state="ready", score=Decimal(0), signals={"sanctions": "0.0001", "mixer": "1"})
    assert screening.judged(row, rule)[0] == "freeze"
    row.signals = {"sanctions": "0", "mixer": "1"}
    assert screening.judged(row, rule)[0] == "pass"
    for unknown in (Screening(state="ready"), Screening(state="refused", score=None)):
        assert screening.judged(unknown, rule)[0] == "hold"
    assert screening.judged(row, None)[0] == "hold"


def test_people_credit_through_analysis_too(
    rule: ScreeningPolicy, operator: Operators, customer: Callable[..., User]
) -> None:
    user = customer()
    lost = Payin.objects.create(
        provider=Provider.objects.get(code="usdt-node"),
        currency=Currency.objects.get(code="USDT"),
        transaction="0xlost",
        sender=BAD,
        amount=Decimal(500),
        state="unmatched",
        fault="address_not_given",
    )
    crediting.book_unmatched(lost.pk, actor=SYSTEM)
    act = unmatched.act_propose(
        payin_id=lost.public_id,
        kind=UnmatchedAct.Kind.CREDIT,
        actor=operator(),
        reason="theirs",
        customer_email=user.email,
    )
    unmatched.act_approve(act_id=act.public_id, actor=operator())
    assert balance_of(user) == (0, 0)
    screenings_sweep()
    assert (order_of(lost).status, lost.state) == ("BLOCKED", "held")
    assert transfers(TransferKind.SUSPENSE) == 1
    holds.hold_credit(order_id=order_of(lost).public_id, actor=operator("Compliance"), reason="cleared")
    assert balance_of(user) == (500, 0)
    assert invariants.broken_laws() == []


def test_a_destination(rule: ScreeningPolicy) -> None:
    usdt = Currency.objects.get(code="USDT")

    def risk(destination: str, amount: str = "500") -> Screening | None:
        return screening.destination_risk(destination=destination, currency=usdt, amount=Decimal(amount))

    assert risk(BAD, "99") is None
    found = [risk(address) for address in (CLEAN, DUBIOUS, BAD)]
    assert [row and row.outcome for row in found] == ["pass", "hold", "freeze"]
    assert risk(BAD) == found[2]
    assert Screening.objects.count() == 3
    with clock.standing_at(clock.now() + timedelta(hours=25)):
        assert risk(BAD) != found[2]
    Provider.objects.filter(code="list").update(is_enabled=False)
    down = risk("0xAnother")
    assert down is not None
    assert (down.state, down.outcome) == ("waiting", "hold")


def test_laws_of_the_database(rule: ScreeningPolicy, confirmed: Confirmed) -> None:
    confirmed(DUBIOUS)

    def broken(change: Callable[[], Any]) -> bool:
        try:
            with transaction.atomic():
                change()
        except (IntegrityError, DatabaseError):
            return True
        return False

    rows, rules = Screening.objects.all(), ScreeningPolicy.objects.all()
    assert broken(lambda: rows.update(outcome="pass"))  # clean without an answer
    assert broken(lambda: rows.update(score=Decimal("1.1")))
    assert broken(lambda: rows.update(destination="0x1"))
    assert broken(lambda: rows.delete())
    screenings_sweep()
    assert broken(lambda: ScreeningDecision.objects.update(outcome="pass"))
    assert broken(lambda: ScreeningDecision.objects.all().delete())
    assert broken(lambda: rules.update(hold_score=Decimal("0.95")))
    assert broken(lambda: rules.update(freeze_score=Decimal("1.5")))
    assert broken(lambda: rules.update(wait_minutes=0))
    assert broken(lambda: rules.update(min_amount=-1))

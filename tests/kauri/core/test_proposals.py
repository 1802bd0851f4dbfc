"""Maker-checker: proposed, decided by another, applied when its time comes, taken back in one click."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core import proposals, switches
from kauri.core.models import AuditEntry, Proposal, Switch
from kauri.core.selectors import switch_is_on
from kauri.order_core.models import Policy
from tests.moves import as_owner, code_of, events, six_digits, together

POLICY = "order_core.policy"


@pytest.fixture
def policy(house: None) -> Policy:
    return Policy.objects.get(operation="WITHDRAWAL", currency__code="UAH")


@pytest.fixture
def maker(operator: Callable[..., Actor]) -> Actor:
    return operator("Administrator")


@pytest.fixture
def checker(operator: Callable[..., Actor]) -> Actor:
    return operator("Senior")


def propose(row: Policy, actor: Actor, **values: Any) -> Proposal:
    options = {name: values.pop(name) for name in ("effective_from",) if name in values}
    return proposals.propose(
        target=POLICY,
        target_id=str(row.pk),
        values=values,
        reason="too low for shops",
        actor=actor,
        **options,
    )


def approve(row: Proposal, actor: Actor) -> Proposal:
    return proposals.approve(proposal_id=row.public_id, actor=actor)


def test_a_change_waits_for_a_second_person_and_is_made_then(
    policy: Policy, maker: Actor, checker: Actor
) -> None:
    row = propose(policy, maker, min_amount=Decimal("70.50"), fee_payer="recipient", daily_count=20)
    assert (row.before, row.after) == (
        {"min_amount": "50", "fee_payer": None},
        {"min_amount": "70.5", "fee_payer": "recipient"},
    )
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(50)
    assert approve(row, checker).state == "applied"
    policy.refresh_from_db()
    assert (policy.min_amount, policy.fee_payer) == (Decimal("70.50"), "recipient")
    newest = policy.history.first()
    assert f"proposal {row.pk}" in newest.history_change_reason
    verbs = list(
        AuditEntry.objects.filter(object_type="policy").order_by("id").values_list("verb", "actor_label")
    )
    assert verbs == [
        ("proposal_make", maker.label),
        ("proposal_approve", checker.label),
        ("proposal_apply", checker.label),
    ]
    assert len(events("proposal.waiting")) == len(events("proposal.applied")) == 1


def test_nobody_decides_on_their_own(policy: Policy, operator: Callable[..., Actor]) -> None:
    both = operator("Administrator")
    row = propose(policy, both, min_amount="60")
    assert code_of(lambda: approve(row, both)) == "forbidden"
    reject = proposals.reject
    assert code_of(lambda: reject(proposal_id=row.public_id, actor=both, reason="no")) == "forbidden"
    for role in ("Support", "Treasury", "Finance", "Auditor", "Compliance"):
        assert code_of(lambda role=role: approve(row, operator(role))) == "forbidden"
        assert code_of(lambda role=role: propose(policy, operator(role), min_amount="61")) == "forbidden"
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute(
            "update core_proposal set state = 'applied', decided_by_id = proposed_by_id, decided_at = now()"
        )
    assert caught.value.__cause__.diag.constraint_name == "proposal_two_people"  # type: ignore[union-attr]
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute("update core_proposal set state = 'applied'")
    assert caught.value.__cause__.diag.constraint_name == "proposal_decided_by_somebody"  # type: ignore[union-attr]
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(50)


@pytest.mark.parametrize(
    "sql",
    [
        "update core_proposal set after = '{}'",
        "update core_proposal set reason = 'x'",
        "update core_proposal set proposed_by_id = proposed_by_id + 1",
        "update core_proposal set expires_at = expires_at + interval '1 day'",
        "delete from core_proposal",
    ],
)
def test_what_was_proposed_stays(policy: Policy, maker: Actor, sql: str) -> None:
    propose(policy, maker, min_amount="60")
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute(sql)
    assert caught.value.__cause__.sqlstate == "KA403"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "conflict"),
        ({"min_amount": Decimal("50.00")}, "conflict"),
        ({"min_amount": "-1"}, "validation_error"),
        ({"min_amount": "lots"}, "validation_error"),
        ({"fee_percent": "101"}, "validation_error"),
        ({"fee_payer": "nobody"}, "validation_error"),
        ({"approvals_needed": 9}, "validation_error"),
        ({"id": 7}, "validation_error"),
        ({"currency": 32000}, "validation_error"),
    ],
)
def test_what_can_not_be_proposed(policy: Policy, maker: Actor, values: dict[str, Any], code: str) -> None:
    assert code_of(lambda: propose(policy, maker, **values)) == code
    assert Proposal.objects.count() == 0


def test_a_row_that_changed_meanwhile_is_left_alone(policy: Policy, maker: Actor, checker: Actor) -> None:
    row = propose(policy, maker, min_amount="60")
    Policy.objects.filter(pk=policy.pk).update(min_amount=Decimal(55))
    done = approve(row, checker)
    assert (done.state, done.error) == ("failed", "changed meanwhile: min_amount")
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(55)
    assert len(events("proposal.failed")) == 1


def test_one_change_of_a_row_at_a_time(policy: Policy, maker: Actor, checker: Actor) -> None:
    first = propose(policy, maker, min_amount="60")
    assert code_of(lambda: propose(policy, maker, min_amount="61")) == "conflict"
    proposals.withdraw(proposal_id=first.public_id, actor=maker)
    second = propose(policy, maker, min_amount="61")
    assert code_of(lambda: proposals.withdraw(proposal_id=second.public_id, actor=checker)) == "forbidden"
    proposals.reject(proposal_id=second.public_id, actor=checker, reason="no")
    assert [code_of(lambda row=row: approve(row, checker)) for row in (first, second)] == ["wrong_state"] * 2


def test_it_takes_effect_when_its_moment_comes(policy: Policy, maker: Actor, checker: Actor) -> None:
    at = clock.now() + timedelta(days=5)
    row = approve(propose(policy, maker, min_amount="60", effective_from=at), checker)
    assert (row.state, proposals.apply_due(SYSTEM)) == ("approved", 0)
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(50)
    with clock.standing_at(at):
        assert (proposals.apply_due(SYSTEM), proposals.apply_due(SYSTEM)) == (1, 0)
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(60)


def test_what_nobody_decides_on_expires(policy: Policy, maker: Actor, checker: Actor) -> None:
    row = propose(policy, maker, min_amount="60")
    with clock.standing_at(clock.now() + proposals.LIFE):
        assert code_of(lambda: approve(row, checker)) == "wrong_state"
        assert proposals.apply_due(SYSTEM) == 1
    row.refresh_from_db()
    assert row.state == "expired"
    assert propose(policy, maker, min_amount="60").state == "pending"


def test_one_click_takes_it_back_and_a_second_person_decides(
    policy: Policy, maker: Actor, checker: Actor
) -> None:
    def back(row: Proposal) -> Proposal:
        return proposals.revert(proposal_id=row.public_id, reason="too many complaints", actor=maker)

    row = propose(policy, maker, min_amount="60")
    assert code_of(lambda: back(row)) == "wrong_state"
    approve(row, checker)
    refused = back(row)
    assert refused.after == {"min_amount": "50"}
    assert code_of(lambda: back(row)) == "wrong_state"
    proposals.reject(proposal_id=refused.public_id, actor=checker, reason="wait")
    approve(back(row), checker)
    policy.refresh_from_db()
    assert policy.min_amount == Decimal(50)
    assert code_of(lambda: back(row)) == "wrong_state"


def test_a_new_row_is_proposed_too(policy: Policy, maker: Actor, checker: Actor) -> None:
    values = {"operation": "WITHDRAWAL", "account_type": "business", "max_amount": "500"}
    row = proposals.propose(target=POLICY, target_id="", values=values, reason="shops", actor=maker)
    assert not Policy.objects.filter(account_type="business").exists()
    done = approve(row, checker)
    made = Policy.objects.get(account_type="business")
    assert (done.target_id, made.max_amount, made.operation) == (str(made.pk), Decimal(500), "WITHDRAWAL")
    again = proposals.propose
    code = code_of(lambda: again(target=POLICY, target_id="", values=values, reason="shops", actor=maker))
    assert code == "validation_error"  # the scope exists
    code = code_of(
        lambda: again(target="order_core.order", target_id="1", values={}, reason="x", actor=maker)
    )
    assert code == "not_found"


@pytest.mark.django_db(transaction=True)
def test_two_deciders_apply_once(policy: Policy, maker: Actor, operator: Callable[..., Actor]) -> None:
    row = propose(policy, maker, min_amount="60")
    deciders = [operator("Senior") for _ in range(4)]
    said = together(4, lambda number: code_of(lambda: approve(row, deciders[number])))
    assert sorted(said) == ["ok", "wrong_state", "wrong_state", "wrong_state"]
    assert policy.history.count() == 2


def test_a_switch_is_off_by_one_and_on_by_two(maker: Actor, checker: Actor, house: None) -> None:
    def off(**fields: Any) -> Switch:
        return switches.switch_off(
            **{"code": "withdrawal", "reason": "stolen key", "expires_at": None, "actor": maker, **fields}
        )

    assert code_of(lambda: off(reason=" ")) == "validation_error"
    assert code_of(lambda: off(expires_at=clock.now())) == "validation_error"
    assert code_of(lambda: off(code="nonsense")) == "not_found"
    assert code_of(lambda: off(code="currency:XXX")) == "not_found"
    assert switch_is_on("withdrawal")
    off()
    assert not switch_is_on("withdrawal")
    assert [event.payload["reason"] for event in events("switch.off")] == ["stolen key"]
    row = switches.switch_on_propose(code="withdrawal", reason="key replaced", actor=maker)
    assert not switch_is_on("withdrawal")
    assert code_of(lambda: approve(row, maker)) == "forbidden"
    assert code_of(lambda: approve(row, checker)) == "totp_required"
    assert not switch_is_on("withdrawal")
    proposals.approve(proposal_id=row.public_id, actor=checker, code=six_digits(checker))
    assert switch_is_on("withdrawal")


def test_a_switch_comes_back_by_itself(maker: Actor, house: None) -> None:
    end = clock.now() + timedelta(hours=1)
    switches.switch_off(code="currency:UAH", reason="bank is down", expires_at=end, actor=maker)
    assert not switch_is_on("currency:UAH")
    with clock.standing_at(end):
        # On at once, though nobody has written it down yet.
        assert switch_is_on("currency:UAH")
        assert (switches.switches_expire(SYSTEM), switches.switches_expire(SYSTEM)) == (1, 0)
    assert Switch.objects.get(code="currency:UAH").is_on
    assert len(events("switch.on")) == 1


def test_who_may_switch_off(house: None, operator: Callable[..., Actor]) -> None:
    allowed = {
        role
        for role in ("Support", "Compliance", "Treasury", "Finance", "Senior", "Administrator", "Auditor")
        if code_of(
            lambda role=role: switches.switch_off(
                code="deposit", reason="r", expires_at=None, actor=operator(role)
            )
        )
        == "ok"
    }
    assert allowed == {"Treasury", "Senior", "Administrator"}

"""A lost phone: two others take an operator's second factor off, in time, and nobody for themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from kauri.account import factor_reset
from kauri.account.limits import limits_set
from kauri.account.models import CustomerGroup, FactorReset, RecoveryCode, TOTPDevice, User
from kauri.account.sessions import session_begin
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from kauri.notification.alerts import alert_text
from kauri.notification.channels import letters
from tests.moves import code_of, events, six_digits, together

LIFE = timedelta(hours=72)
TICK = timedelta(microseconds=1)


@pytest.fixture
def lost(operator: Callable[..., Actor]) -> User:
    """An operator with an authenticator that they have no more."""
    user = User.objects.get(pk=int(operator("Support").id))
    six_digits(user)
    return user


@pytest.fixture
def maker(operator: Callable[..., Actor]) -> Actor:
    return operator("Administrator")


@pytest.fixture
def checker(operator: Callable[..., Actor]) -> Actor:
    return operator("Administrator")


def propose(whose: User, actor: Actor, reason: str = "phone stolen", code: str | None = None) -> FactorReset:
    return factor_reset.factor_reset_propose(
        operator_id=whose.public_id,
        reason=reason,
        code=six_digits(actor) if code is None else code,
        actor=actor,
    )


def approve(row: FactorReset, actor: Actor, code: str | None = None) -> FactorReset:
    return factor_reset.factor_reset_approve(
        reset_id=row.public_id, code=six_digits(actor) if code is None else code, actor=actor
    )


def has_factor(user: User) -> bool:
    return TOTPDevice.objects.filter(user=user, confirmed=True).exists()


def letters_to(user: User) -> list[str]:
    told = []
    for event in events("letter"):
        if event.payload["to"] == user.email:
            params = json.loads(crypto.decrypt(event.payload["sealed"]))
            named = {"letter": event.payload["letter"], "language": "en", "params": params}
            told.append("\n".join(letters.render(crypto.encrypt(json.dumps(named)))))
    return told


def test_one_proposes_and_another_takes_it_off(lost: User, maker: Actor, checker: Actor) -> None:
    RecoveryCode.objects.create(user=lost, code_hash="0" * 64)
    epoch = lost.token_epoch
    session_begin(lost, ip="", user_agent="")
    row = propose(lost, maker)
    assert (row.state, row.expires_at - row.proposed_at) == ("pending", LIFE)
    assert has_factor(lost)
    [event] = events("factor_reset.waiting")
    assert alert_text(event.kind, event.payload, "https://office.example") == (
        f"🔑 {maker.label} proposes to take the second factor of {lost.email} off\nWhy: phone stolen\n"
        f"https://office.example/account/factorreset/{row.public_id}/"
    )
    done = approve(row, checker)
    assert (done.state, done.decided_by_id) == ("done", int(checker.id))
    assert not TOTPDevice.objects.filter(user=lost).exists()
    assert not RecoveryCode.objects.filter(user=lost).exists()
    lost.refresh_from_db()
    assert lost.token_epoch > epoch
    assert lost.security_changed_at is not None
    assert not lost.sessions.filter(ended_at__isnull=True).exists()
    asked, told = letters_to(lost)
    assert maker.label in asked
    assert "Your second factor was taken off" in told
    assert f"{maker.label}, {checker.label}" in told
    verbs = AuditEntry.objects.filter(object_type="factor_reset").order_by("id")
    assert [(entry.verb, entry.actor_id) for entry in verbs] == [
        ("factor_reset_propose", maker.id),
        ("factor_reset_approve", checker.id),
    ]
    assert code_of(lambda: approve(row, checker)) == "wrong_state"
    assert code_of(lambda: propose(lost, maker)) == "wrong_state"


def test_nobody_for_themselves_and_nobody_alone(
    lost: User, maker: Actor, checker: Actor, operator: Callable[..., Actor]
) -> None:
    me = User.objects.get(pk=int(maker.id))
    six_digits(me)
    assert code_of(lambda: propose(me, maker)) == "forbidden"
    row = propose(lost, maker)
    assert code_of(lambda: approve(row, maker)) == "forbidden"
    # The operator in question may have the right as well.
    lost.groups.add(Group.objects.get(name="Administrator"))
    theirs = User.objects.get(pk=lost.pk).as_actor()
    assert code_of(lambda: approve(row, theirs)) == "forbidden"
    assert (
        code_of(lambda: factor_reset.factor_reset_reject(reset_id=row.public_id, reason="no", actor=theirs))
        == "forbidden"
    )
    support = operator("Support")
    assert [code_of(lambda: propose(me, support)), code_of(lambda: approve(row, support))] == [
        "forbidden",
        "forbidden",
    ]
    assert has_factor(lost)
    assert code_of(lambda: propose(lost, checker)) == "conflict"


def test_not_by_whoever_sees_a_part_only(
    lost: User, maker: Actor, checker: Actor, operator: Callable[..., Actor]
) -> None:
    row = propose(lost, maker)
    group = CustomerGroup.objects.create(code="few", title="Few")
    boss = operator("Administrator")
    limits_set(
        operator_id=int(checker.id),
        limits={"groups": [group.pk]},
        reason="a part",
        code=six_digits(boss),
        actor=boss,
    )
    assert code_of(lambda: approve(row, checker)) == "forbidden"
    other = User.objects.get(pk=int(maker.id))
    assert code_of(lambda: propose(other, checker)) == "forbidden"


def test_a_superusers_is_for_superusers(lost: User, maker: Actor, checker: Actor) -> None:
    row = propose(lost, maker)
    User.objects.filter(pk=lost.pk).update(is_superuser=True)
    assert code_of(lambda: approve(row, checker)) == "forbidden"
    factor_reset.factor_reset_withdraw(reset_id=row.public_id, actor=maker)
    assert code_of(lambda: propose(lost, maker)) == "forbidden"
    User.objects.filter(pk__in=[int(maker.id), int(checker.id)]).update(is_superuser=True)
    assert approve(propose(lost, maker), checker).state == "done"


@pytest.mark.parametrize(("code", "refusal"), [("", "totp_required"), ("000000", "totp_invalid")])
def test_both_give_a_code(lost: User, maker: Actor, checker: Actor, code: str, refusal: str) -> None:
    six_digits(maker)
    assert code_of(lambda: propose(lost, maker, code=code)) == refusal
    assert not FactorReset.objects.exists()
    row = propose(lost, maker)
    assert code_of(lambda: approve(row, checker, code=code)) == refusal
    assert has_factor(lost)


def test_a_reason_is_needed(lost: User, maker: Actor, checker: Actor) -> None:
    assert code_of(lambda: propose(lost, maker, reason="  ")) == "validation_error"
    row = propose(lost, maker)
    reject = factor_reset.factor_reset_reject
    assert code_of(lambda: reject(reset_id=row.public_id, reason=" ", actor=checker)) == "validation_error"
    assert reject(reset_id=row.public_id, reason="not them", actor=checker).state == "rejected"
    assert code_of(lambda: approve(row, checker)) == "wrong_state"
    assert has_factor(lost)


def test_after_72_hours_it_is_over_to_the_moment(lost: User, maker: Actor, checker: Actor) -> None:
    row = propose(lost, maker)
    with clock.standing_at(row.expires_at - TICK):
        # Codes are those of now: that one is asked for says that the time is not over.
        assert code_of(lambda: approve(row, checker, code="")) == "totp_required"
        assert factor_reset.factor_resets_expire() == 0
    with clock.standing_at(row.expires_at):
        assert code_of(lambda: approve(row, checker, code="")) == "wrong_state"
        assert factor_reset.factor_resets_expire() == 1
        assert factor_reset.factor_resets_expire() == 0
    row.refresh_from_db()
    assert (row.state, has_factor(lost)) == ("expired", True)
    assert AuditEntry.objects.get(verb="factor_reset_expire").object_id == str(row.public_id)
    # What is over stands in no new one's way, swept or not.
    second = propose(lost, maker)
    FactorReset.objects.filter(pk=second.pk).update(
        proposed_at=second.proposed_at - LIFE - TICK, expires_at=second.expires_at - LIFE - TICK
    )
    third = propose(lost, maker)
    assert approve(third, checker).state == "done"
    second.refresh_from_db()
    assert second.state == "expired"


def test_another_authenticator_is_not_what_was_decided_about(
    lost: User, maker: Actor, checker: Actor
) -> None:
    row = propose(lost, maker)
    TOTPDevice.objects.filter(user=lost).delete()
    TOTPDevice.objects.create(user=lost, name="authenticator", confirmed=True)
    assert code_of(lambda: approve(row, checker)) == "wrong_state"
    assert has_factor(lost)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {"state": "done", "decided_by_id": row.proposed_by_id, "decided_at": row.proposed_at},
        lambda row: {"state": "done", "decided_by_id": row.operator_id, "decided_at": row.proposed_at},
        lambda row: {"state": "done"},
        lambda row: {"state": "done", "decided_by_id": 1, "decided_at": row.expires_at},
        lambda row: {"proposed_by_id": row.operator_id},
        lambda row: {"reason": ""},
    ],
)
def test_the_database_holds_the_same(
    lost: User, maker: Actor, change: Callable[[FactorReset], dict[str, object]]
) -> None:
    row = propose(lost, maker)
    with pytest.raises(IntegrityError, match="factor_reset_"), transaction.atomic():
        FactorReset.objects.filter(pk=row.pk).update(**change(row))


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does(
    lost: User, maker: Actor, checker: Actor, operator: Callable[..., Actor]
) -> None:
    row = propose(lost, maker)
    deciders = [checker, operator("Administrator")]
    codes = [six_digits(actor) for actor in deciders]
    results = together(2, lambda number: code_of(lambda: approve(row, deciders[number], codes[number])))
    assert sorted(results) == ["ok", "wrong_state"]
    assert AuditEntry.objects.filter(verb="factor_reset_approve").count() == 1

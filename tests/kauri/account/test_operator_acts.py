"""What makes an operator asks for the code again: roles, what a role may do, limits, keys, a stop lifted, a chat tied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission

from kauri.account import telegram
from kauri.account.limits import limits_set
from kauri.account.models import TelegramLink, User
from kauri.account.operators import (
    operator_disable,
    operator_enable,
    operator_roles_set,
    operator_telegram_assign,
    operator_telegram_unassign,
)
from kauri.account.second_factor import WRONG_CODES
from kauri.common.actor import Actor
from kauri.core import proposals, switches
from kauri.core.models import AuditEntry, Currency, Proposal, Provider, Switch
from kauri.core.selectors import switch_is_on
from kauri.order_core.models import OperatorLimit
from tests.moves import code_of, six_digits

Op = Callable[..., Actor]


@dataclass
class Scene:
    """Who acts, on whom, and what stands before."""

    actor: Actor
    other: User
    absent: User
    role: Group
    lifted: Proposal
    limit: Proposal


@pytest.fixture
def found(operator: Op, settings: Any) -> Scene:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_bot": "example_bot"})
    maker, actor = operator("Administrator"), operator("Administrator")
    Group.objects.get(name="Administrator").permissions.add(Permission.objects.get(codename="add_group"))
    other = User.objects.get(pk=int(operator("Support").id))
    absent = User.objects.get(pk=int(operator("Support").id))
    User.objects.filter(pk=absent.pk).update(is_active=False, disabled_reason="left")
    switches.switch_off(code="withdrawal", reason="a theft", expires_at=None, actor=maker)
    return Scene(
        actor,
        other,
        absent,
        Group.objects.create(name="Night"),
        switches.switch_on_propose(code="withdrawal", reason="over", actor=maker),
        proposals.propose(
            target="order_core.operatorlimit",
            target_id="",
            values={"operator": other.pk, "per_day": "10"},
            reason="new",
            code=six_digits(maker),
            actor=maker,
        ),
    )


def _propose_limit(found: Scene, code: str) -> object:
    return proposals.propose(
        target="order_core.operatorlimit",
        target_id="",
        values={"role": found.role.pk, "per_day": "1000"},
        reason="new",
        code=code,
        actor=found.actor,
    )


def _limit(found: Scene, code: str) -> object:
    usdt = Currency.objects.get(code="USDT").pk
    return limits_set(
        operator_id=found.other.pk, limits={"currencies": [usdt]}, reason="part", code=code, actor=found.actor
    )


def _roles(found: Scene, code: str) -> object:
    return operator_roles_set(
        operator_id=found.other.pk, roles=[found.role.pk], reason="nights", code=code, actor=found.actor
    )


def _no_roles(found: Scene, code: str) -> object:
    return operator_roles_set(
        operator_id=found.other.pk, roles=[], reason="left", code=code, actor=found.actor
    )


def _shut_out(found: Scene, code: str) -> object:
    return operator_disable(operator_id=found.other.pk, reason="left", code=code, actor=found.actor)


def _let_in(found: Scene, code: str) -> object:
    return operator_enable(operator_id=found.absent.pk, reason="is back", code=code, actor=found.actor)


def _propose(target: str, target_id: object, actor: Actor, code: str, **values: Any) -> Proposal:
    return proposals.propose(
        target=target, target_id=str(target_id), values=values, reason="why", code=code, actor=actor
    )


def _role(found: Scene, code: str) -> object:
    wanted = [Permission.objects.get(codename="note_order").pk]
    return _propose("auth.group", found.role.pk, found.actor, code, permissions=wanted)


def _new_role(found: Scene, code: str) -> object:
    return _propose("auth.group", "", found.actor, code, name="Day", permissions=[])


def _credentials(found: Scene, code: str) -> object:
    sandbox = Provider.objects.get(code="sandbox").pk
    secret = json.dumps({"key": "secret"})
    return _propose("core.provider", sandbox, found.actor, code, credentials_secret=secret)


def _lift(found: Scene, code: str) -> object:
    return proposals.approve(proposal_id=found.lifted.public_id, code=code, actor=found.actor)


def _approve_limit(found: Scene, code: str) -> object:
    return proposals.approve(proposal_id=found.limit.public_id, code=code, actor=found.actor)


def _tie(found: Scene, code: str) -> object:
    return operator_telegram_assign(actor=found.actor, code=code)


def _untie(found: Scene, code: str) -> object:
    User.objects.filter(pk=found.other.pk).update(telegram_id=77)
    return operator_telegram_unassign(operator_id=found.other.pk, code=code, reason="left", actor=found.actor)


def _state(found: Scene) -> tuple[Any, ...]:
    """All that the acts above change."""
    other = User.objects.get(pk=found.other.pk)
    return (
        sorted(other.groups.values_list("name", flat=True)),
        other.scope,
        other.is_active,
        found.role.permissions.count(),
        Group.objects.count(),
        Provider.objects.get(code="sandbox").credentials,
        switch_is_on("withdrawal"),
        OperatorLimit.objects.count(),
        Proposal.objects.count(),
        TelegramLink.objects.count(),
    )


ACTS: dict[str, tuple[Callable[[Scene, str], object], str]] = {
    "propose a limit": (_propose_limit, "proposal_make"),
    "approve a limit": (_approve_limit, "proposal_approve"),
    "limit the view": (_limit, "operator_limits_change"),
    "give roles": (_roles, "proposal_make"),
    "take roles away": (_no_roles, "operator_roles_change"),
    "shut out": (_shut_out, "operator_disable"),
    "let in": (_let_in, "proposal_make"),
    "change a role": (_role, "proposal_make"),
    "make a role": (_new_role, "proposal_make"),
    "store credentials": (_credentials, "proposal_make"),
    "lift a stop": (_lift, "proposal_approve"),
    "tie a chat": (_tie, "telegram_assign"),
    "untie another's chat": (_untie, "telegram_unassign"),
}


@pytest.mark.parametrize("name", ACTS)
def test_the_service_asks_for_the_code_and_uses_it_up(found: Scene, name: str) -> None:
    act, verb = ACTS[name]
    before = _state(found)
    assert code_of(lambda: act(found, "")) == "totp_required"
    assert _state(found) == before
    assert AuditEntry.objects.filter(verb="code_refused").count() == 0
    six_digits(found.actor)  # an authenticator there is
    assert code_of(lambda: act(found, "00000x")) == "totp_invalid"
    assert _state(found) == before
    refused = AuditEntry.objects.get(verb="code_refused")
    assert (refused.actor_id, refused.after) == (found.actor.id, {"act": verb})
    code = six_digits(found.actor)
    assert code_of(lambda: act(found, code)) == "ok"
    assert name == "untie another's chat" or _state(found) != before
    # Used up: by nothing else can it be given again.
    assert code_of(lambda: _tie(found, code)) == "totp_invalid"


@pytest.mark.parametrize("name", ACTS)
def test_codes_are_not_guessed(found: Scene, name: str) -> None:
    act, _verb = ACTS[name]
    six_digits(found.actor)
    for _ in range(WRONG_CODES):
        assert code_of(lambda: act(found, "00000x")) == "totp_invalid"
    before = _state(found)
    assert code_of(lambda: act(found, six_digits(found.actor))) == "rate_limited"
    assert _state(found) == before


def test_a_code_of_an_act_that_is_refused_is_not_used_up(found: Scene) -> None:
    code = six_digits(found.actor)
    own = lambda: operator_roles_set(  # noqa: E731
        operator_id=int(found.actor.id), roles=[], reason="x", code=code, actor=found.actor
    )
    assert code_of(own) == "forbidden"
    assert code_of(lambda: _roles(found, code)) == "ok"


def test_what_nobody_may(found: Scene, operator: Op, customer: Callable[..., User]) -> None:
    support = found.other.as_actor()
    own = Group.objects.get(name="Administrator")
    refused = {
        "not one's own roles": lambda: operator_roles_set(
            operator_id=int(found.actor.id), roles=[], reason="x", code="", actor=found.actor
        ),
        "not a role of one's own": lambda: _propose(
            "auth.group", own.pk, found.actor, "", name="Administrator", permissions=[]
        ),
        "not without the right": lambda: operator_roles_set(
            operator_id=int(found.actor.id), roles=[], reason="x", code="", actor=support
        ),
        "nor a role": lambda: _propose("auth.group", found.role.pk, support, "", name="x"),
        "nor another's chat": lambda: operator_telegram_unassign(
            operator_id=int(found.actor.id), code="", reason="x", actor=support
        ),
        "nor keys": lambda: _propose(
            "core.provider",
            Provider.objects.get(code="sandbox").pk,
            support,
            "",
            credentials_secret=json.dumps({"key": "x"}),
        ),
        "no customer": lambda: operator_telegram_assign(actor=customer().as_actor(), code=""),
        "no customer by the door of operators": lambda: telegram.telegram_assign(user=found.other, ip=""),
    }
    assert {name: code_of(act) for name, act in refused.items()} == dict.fromkeys(refused, "forbidden")
    set_roles = partial(operator_roles_set, reason="x", code="", actor=found.actor)
    assert code_of(lambda: set_roles(operator_id=customer().pk, roles=[])) == "not_found"
    other = found.other.pk
    assert code_of(lambda: set_roles(operator_id=other, roles=[10**6])) == "validation_error"
    assert code_of(lambda: set_roles(operator_id=other, roles=[], reason=" ")) == "validation_error"
    kept = list(found.other.groups.values_list("pk", flat=True))
    assert code_of(lambda: set_roles(operator_id=other, roles=kept)) == "conflict"
    taken = lambda: _propose("auth.group", found.role.pk, found.actor, "", name="Support")  # noqa: E731
    assert code_of(taken) == "validation_error"
    absent = lambda: _propose("auth.group", found.role.pk, found.actor, "", permissions=[10**6])  # noqa: E731
    assert code_of(absent) == "validation_error"
    assert not User.objects.get(pk=found.other.pk).scope.is_limited


def test_an_operator_ties_and_unties_their_own_chat(found: Scene) -> None:
    actor = found.other.as_actor("198.51.100.9")
    made = operator_telegram_assign(actor=actor, code=six_digits(actor))
    assert made.url == f"https://t.me/example_bot?start={made.code}"
    again = operator_telegram_assign(actor=actor, code=six_digits(actor))
    by_others = lambda: telegram.telegram_verify(  # noqa: E731
        code=again.code, telegram_id=5, username="", ip=""
    )
    assert code_of(by_others) == "wrong_code"
    verify = partial(telegram.telegram_verify, is_own_bot=True)
    assert code_of(lambda: verify(code=made.code, telegram_id=5, username="", ip="")) == "wrong_code"
    verify(code=again.code, telegram_id=5, username="night", ip="")
    assert code_of(lambda: verify(code=again.code, telegram_id=6, username="", ip="")) == "wrong_code"
    other = User.objects.get(pk=found.other.pk)
    assert (other.telegram_id, other.telegram_username) == (5, "night")
    assert code_of(lambda: _assign(actor)) == "wrong_state"
    operator_telegram_unassign(operator_id=other.pk, code=six_digits(actor), actor=actor)
    other.refresh_from_db()
    assert (other.telegram_id, other.telegram_username) == (None, "")
    told = AuditEntry.objects.filter(object_type="user", object_id=str(other.pk)).order_by("id")
    assert [row.verb for row in told] == [
        "telegram_assign",
        "telegram_assign",
        "telegram_verify",
        "telegram_unassign",
    ]
    assert told[3].before == {"telegram_id": 5, "telegram_username": "night"}
    assert code_of(lambda: _unassign(actor, other)) == "wrong_state"


def test_a_chat_is_one_accounts(found: Scene, customer: Callable[..., User]) -> None:
    person = customer(telegram_id=5)
    actor = found.other.as_actor()
    made = operator_telegram_assign(actor=actor, code=six_digits(actor))
    verify = partial(telegram.telegram_verify, is_own_bot=True)
    assert code_of(lambda: verify(code=made.code, telegram_id=5, username="", ip="")) == "conflict"
    with pytest.raises(Exception, match="account_user_telegram_id"):
        User.objects.filter(pk=found.other.pk).update(telegram_id=person.telegram_id)


def test_a_switch_that_is_lifted_is_named_in_the_audit(found: Scene) -> None:
    _lift(found, six_digits(found.actor))
    assert Switch.objects.get(code="withdrawal").is_on
    assert AuditEntry.objects.filter(verb="proposal_approve", actor_id=found.actor.id).count() == 1


def _assign(actor: Actor) -> object:
    return operator_telegram_assign(actor=actor, code=six_digits(actor))


def _unassign(actor: Actor, operator: User) -> object:
    return operator_telegram_unassign(operator_id=operator.pk, code=six_digits(actor), actor=actor)

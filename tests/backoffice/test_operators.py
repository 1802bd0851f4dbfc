"""Operators come by the host's command, are shut out by one person, and let in again by two."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from kauri.account.models import User
from kauri.account.operators import operator_disable, operator_enable
from kauri.common.actor import Actor
from kauri.common.admin import page_url
from kauri.core import proposals
from kauri.core.models import AuditEntry, Proposal
from tests.backoffice.test_acts import SENT, dialog
from tests.moves import code_of, six_digits

pytestmark = pytest.mark.usefixtures("house")

PASSWORD = "a-long-word-of-nobody-9"
Op = Callable[..., Actor]


def make(monkeypatch: Any, *words: str, password: str = PASSWORD) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    out = io.StringIO()
    call_command("operator_make", *words, stdout=out)
    return out.getvalue()


def test_the_host_makes_an_operator_who_signs_in(monkeypatch: Any, client: Client) -> None:
    said = make(monkeypatch, "Night@Example.com", "--name", "Night", "--role", "Support", "--role", "Finance")
    assert said == "night@example.com is an operator: Finance, Support.\n"
    made = User.objects.get(email="night@example.com")
    assert (made.is_staff, made.is_superuser, made.username) == (True, False, "Night")
    assert sorted(made.groups.values_list("name", flat=True)) == ["Finance", "Support"]
    entry = AuditEntry.objects.get(verb="operator_make")
    assert (entry.actor_kind, entry.after) == ("system", {"roles": ["Finance", "Support"]})
    client.post(reverse("admin:login"), {"email": "night@example.com", "password": PASSWORD})
    # Nobody is in without a second factor.
    answer = client.get(reverse("admin:login_code"))
    assert answer.headers["Location"] == reverse("admin:login_enrol")


@pytest.mark.parametrize(
    ("words", "password", "said"),
    [
        (("night@example.com", "--role", "Nobody"), PASSWORD, "validation_error: roles: not there"),
        (("no address",), PASSWORD, "validation_error: email"),
        (("night@example.com",), "12345", "validation_error: password"),
        (("night@example.com",), "", "validation_error: password"),
        (("taken@example.com",), PASSWORD, "conflict"),
    ],
)
def test_what_makes_no_operator(
    monkeypatch: Any, words: tuple[str, ...], password: str, said: str, customer: Callable[..., User]
) -> None:
    customer(email="taken@example.com")
    before = User.objects.count()
    with pytest.raises(CommandError, match=said):
        make(monkeypatch, *words, password=password)
    assert User.objects.count() == before
    assert not AuditEntry.objects.filter(verb="operator_make").exists()


def test_one_person_shuts_out_and_two_let_in(at_desk: Callable[..., Client], operator: Op) -> None:
    victim = at_desk("Treasury")
    assert victim.get(reverse("admin:index")).status_code == 200
    admin, row = at_desk("Administrator"), victim.person.user
    given = {**SENT, "reason": "their laptop is gone"}
    admin.post(dialog("account_user_shut_out", row.public_id), given)
    row.refresh_from_db()
    assert row.is_active  # without a code
    admin.post(
        dialog("account_user_shut_out", row.public_id), {**given, "code": six_digits(admin.person.user)}
    )
    row.refresh_from_db()
    assert (row.is_active, row.disabled_reason) == (False, "their laptop is gone")
    assert victim.get(reverse("admin:index")).status_code == 302
    entry = AuditEntry.objects.get(verb="operator_disable")
    assert (entry.reason, entry.object_id) == ("their laptop is gone", str(row.pk))
    page = admin.get(page_url(row)).content.decode()
    assert "Let in again" in page
    assert "their laptop is gone" in page
    code = six_digits(admin.person.user)
    admin.post(dialog("account_user_let_in", row.public_id), {**SENT, "reason": "a new laptop", "code": code})
    row.refresh_from_db()
    assert not row.is_active
    change, other = Proposal.objects.get(), operator("Senior")
    done = proposals.approve(proposal_id=change.public_id, actor=other, code=six_digits(other))
    row.refresh_from_db()
    assert (done.state, row.is_active, row.disabled_reason) == ("applied", True, "")


def test_who_shuts_out_nobody(operator: Op, customer: Callable[..., User]) -> None:
    admin, support, person = operator("Administrator"), operator("Support"), customer()
    off, on = operator_disable, operator_enable
    given: dict[str, Any] = {"reason": "x", "code": ""}
    said = {
        "oneself": code_of(lambda: off(operator_id=int(admin.id), actor=admin, **given)),
        "by support": code_of(lambda: off(operator_id=int(admin.id), actor=support, **given)),
        "a customer": code_of(lambda: off(operator_id=person.pk, actor=admin, **given)),
        "no reason": code_of(
            lambda: off(operator_id=int(support.id), actor=admin, **{**given, "reason": " "})
        ),
        "in already": code_of(lambda: on(operator_id=int(support.id), actor=admin, **given)),
        "in, by support": code_of(lambda: on(operator_id=int(admin.id), actor=support, **given)),
    }
    assert said == {
        "oneself": "forbidden",
        "by support": "forbidden",
        "a customer": "not_found",
        "no reason": "validation_error",
        "in already": "conflict",
        "in, by support": "forbidden",
    }
    code = six_digits(admin)
    assert code_of(lambda: off(operator_id=int(support.id), actor=admin, reason="x", code=code)) == "ok"
    again = six_digits(admin)
    said_again = code_of(lambda: off(operator_id=int(support.id), actor=admin, reason="x", code=again))
    assert said_again == "wrong_state"


def test_a_customer_is_nobodys_to_make_an_operator(operator: Op, customer: Callable[..., User]) -> None:
    person, admin = customer(), operator("Administrator")
    for values in ({"is_staff": True}, {"is_superuser": True}, {"groups": [1]}, {"email": "x@example.com"}):
        said = code_of(
            lambda values=values: proposals.propose(
                target="account.user",
                target_id=str(person.pk),
                values=values,
                reason="x",
                actor=admin,
                code=six_digits(admin),
            )
        )
        assert said in {"validation_error", "not_found", "forbidden"}, values
    assert not Proposal.objects.exists()

"""People's decisions on accounts, and the small guards at the door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account import api_keys, services, sessions, tokens
from kauri.account.models import ApiKey, UsedNonce, User, VerificationDecision
from kauri.common import clock, throttle
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from tests.api.client import ApiClient
from tests.moves import balance_of, code_of, give

BALANCE = "/api/v1/user/balance"


def verify(user: User, actor: Actor, level: int = 2, reason: str = "passport seen") -> str:
    return code_of(lambda: services.customer_verify(user_id=user.pk, level=level, reason=reason, actor=actor))


def test_verification_keeps_both_levels_the_reason_and_the_author(
    customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user, who = customer(verification_level=0), operator("Compliance")
    assert verify(user, who) == "ok"
    assert verify(user, who, 1, "  expired  ") == "ok"
    rows = VerificationDecision.objects.order_by("id")
    assert [(r.from_level, r.to_level, r.reason, r.actor_id) for r in rows] == [
        (0, 2, "passport seen", who.id),
        (2, 1, "expired", who.id),
    ]
    user.refresh_from_db()
    assert user.verification_level == 1
    entries = AuditEntry.objects.filter(verb="customer_verify").order_by("id")
    assert [(e.before, e.after) for e in entries] == [
        ({"verification_level": 0}, {"verification_level": 2}),
        ({"verification_level": 2}, {"verification_level": 1}),
    ]


@pytest.fixture
def verifier(operator: Callable[..., Actor]) -> Actor:
    return operator("Compliance")


@pytest.mark.parametrize(
    ("level", "reason", "code"),
    [(4, "x", "validation_error"), (-1, "x", "validation_error"), (1, " ", "validation_error")],
)
def test_a_decision_is_within_levels_and_has_a_reason(
    customer: Callable[..., User], verifier: Actor, level: int, reason: str, code: str
) -> None:
    user = customer(verification_level=0)
    assert verify(user, verifier, level, reason) == code
    assert VerificationDecision.objects.count() == 0


def test_who_may_not_verify(
    customer: Callable[..., User], operator: Callable[..., Actor], verifier: Actor
) -> None:
    user = customer(verification_level=0)
    for who in (user.as_actor(), operator("Auditor")):
        assert verify(user, who) == "forbidden"
    # Operators are no customers: neither themselves nor each other.
    assert verify(User.objects.get(pk=int(verifier.id)), verifier) == "not_found"
    forged = Actor(kind=verifier.kind, id=str(user.pk), label="me")
    assert verify(user, forged) == "forbidden"
    user.refresh_from_db()
    assert user.verification_level == 0


def test_a_disabled_account_is_out_at_once_and_keeps_its_money(
    customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    give(user, "UAH", "100")
    key = ApiKey.objects.create(
        user=user, name="k", key="signer", secret="s" * 20, scopes=["read"], state="active"
    )
    clients = [ApiClient(token=tokens.issue(user)), ApiClient(key=key.key, secret=key.secret)]
    assert [client.get(BALANCE).status_code for client in clients] == [200, 200]
    who = operator("Compliance")
    refused = code_of(
        lambda: services.account_disable(user_id=user.pk, reason="stolen", actor=operator("Support"))
    )
    assert refused == "forbidden"
    blank = code_of(lambda: services.account_disable(user_id=user.pk, reason=" ", actor=who))
    assert blank == "validation_error"
    services.account_disable(user_id=user.pk, reason="stolen", actor=who)
    answers = [client.get(BALANCE) for client in clients]
    assert [answer.json()["code"] for answer in answers] == ["unauthenticated", "account_disabled"]
    signed_in = code_of(
        lambda: sessions.obtain_token(
            email=user.email, password="a long enough passphrase", ip="127.0.0.1", user_agent=""
        )
    )
    assert signed_in == "account_disabled"
    assert balance_of(user, "UAH") == (100, 0)
    again = code_of(lambda: services.account_disable(user_id=user.pk, reason="stolen", actor=who))
    assert again == "wrong_state"
    services.account_enable(user_id=user.pk, reason="given back", actor=who)
    # The old token stays dead; the key works again.
    answers = [client.get(BALANCE) for client in clients]
    assert [answer.status_code for answer in answers] == [401, 200]
    verbs = AuditEntry.objects.filter(object_id=str(user.pk), object_type="user").order_by("id")
    assert [entry.verb for entry in verbs] == ["account_disable", "account_enable"]


def test_nonces_are_forgotten_only_when_no_window_could_take_them(customer: Callable[..., User]) -> None:
    user = customer()
    key = ApiKey.objects.create(
        user=user, name="k", key="k", secret="s" * 20, scopes=["read"], state="active", window_ms=60_000
    )
    now = clock.now()
    for minutes in (0, 2, 4, 6, 600):
        UsedNonce.objects.create(key=key, nonce=f"nonce-{minutes:06}", at=now - timedelta(minutes=minutes))
    assert (api_keys.nonces_forget(), api_keys.nonces_forget()) == (2, 0)
    assert UsedNonce.objects.count() == 3


def test_a_key_may_not_widen_its_window(customer: Callable[..., User]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        ApiKey.objects.create(
            user=customer(), name="k", key="k", secret="s", scopes=["read"], window_ms=60_001
        )


def test_throttles_count_every_try_of_one_window(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_700_000_000
    monkeypatch.setattr(throttle.time, "time", lambda: moment)
    windows = [throttle.hit("door", 3, 60) for _ in range(5)]
    assert [window.remaining for window in windows] == [2, 1, 0, -1, -2]
    assert [window.exceeded for window in windows] == [False, False, False, True, True]
    assert {window.reset for window in windows} == {60 - moment % 60}
    assert throttle.hit("another", 3, 60).remaining == 2
    moment += 60
    assert throttle.hit("door", 3, 60).remaining == 2
    assert throttle.forget(3600) == 0
    assert throttle.hit("door", 3, 60).remaining == 1


def test_the_database_keeps_decisions_as_they_were(customer: Callable[..., User], verifier: Actor) -> None:
    verify(customer(verification_level=0), verifier)
    for sql in ("update core_auditentry set verb = 'x'", "delete from core_auditentry"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    assert AuditEntry.objects.filter(verb="customer_verify").count() == 1

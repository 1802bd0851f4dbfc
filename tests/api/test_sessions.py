"""Sessions over HTTP: a pair of tokens, rotated; a copy that is used ends them all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from kauri.account import sessions, tokens
from kauri.account.models import RefreshToken, Session, SignIn, User
from kauri.account.services import account_disable, account_enable
from kauri.common import clock
from kauri.core.models import AuditEntry
from tests.api.account_moves import SIGN_IN, claims, code, opens, refresh, sign_in, subjects
from tests.api.client import ApiClient
from tests.house import PASSWORD
from tests.moves import code_of, later

LIST = "/api/v1/user/sessions"
END = "/api/v1/user/sessions/end"


def test_a_pair_is_rotated_and_the_sign_ins_moment_survives(customer: Callable[..., User]) -> None:
    user = customer()
    first = sign_in(user)
    assert set(first) == {"status", "username", "token", "refresh"}
    answer = refresh(refresh=first["refresh"])
    assert answer.status_code == 200
    second = answer.json()
    assert set(second) == {"status", "token", "refresh"}
    old, new = claims(first["token"]), claims(second["token"])
    assert (old["orig_iat"], old["sid"], old["user_id"]) == (new["orig_iat"], new["sid"], str(user.public_id))
    assert old["jti"] != new["jti"]
    assert (old["otp_device_id"], new["otp_device_id"]) == (None, None)
    assert opens(second["token"]) == "ok"
    assert Session.objects.get().ended_at is None


def test_an_old_client_refreshes_by_its_access_token(customer: Callable[..., User]) -> None:
    first = sign_in(customer())
    second = refresh(token=first["token"]).json()
    third = refresh(token=second["token"]).json()
    assert claims(third["token"])["orig_iat"] == claims(first["token"])["orig_iat"]
    assert opens(third["token"]) == "ok"
    # The pair was one: its refresh token is used up with it.
    assert code(refresh(refresh=first["refresh"])) == (401, "unauthenticated")
    assert opens(third["token"]) == "unauthenticated"


@pytest.mark.parametrize("by", ["refresh", "token"])
def test_a_stolen_token_used_again_ends_the_session_and_tells(
    customer: Callable[..., User], drain: Callable[..., int], by: str
) -> None:
    user = customer()
    first, other = sign_in(user), sign_in(user)
    second = refresh(**{by: first[by]}).json()
    assert opens(second["token"]) == "ok"
    assert code(refresh(**{by: first[by]})) == (401, "unauthenticated")
    # Whoever came first has nothing either; the customer's other session goes on.
    assert opens(second["token"]) == "unauthenticated"
    assert code(refresh(refresh=second["refresh"])) == (401, "unauthenticated")
    assert opens(other["token"]) == "ok"
    ended = Session.objects.get(public_id=claims(first["token"])["sid"])
    assert ended.end_reason == Session.End.REUSED
    assert AuditEntry.objects.filter(verb="session_reuse").count() == 1
    drain()
    assert subjects(user) == ["A copy of your session was used"]


@pytest.mark.parametrize(
    "body",
    [{}, {"refresh": "x", "token": "y"}],
)
def test_one_of_the_two_is_needed(house: None, body: dict[str, str]) -> None:
    assert code(refresh(**body)) == (400, "validation_error")


def test_what_is_no_token_refreshes_nothing(customer: Callable[..., User]) -> None:
    user = customer()
    assert code(refresh(refresh="made up")) == (401, "unauthenticated")
    assert code(refresh(token="made.up.too")) == (401, "unauthenticated")
    # A token that was issued without a pair can't be refreshed.
    assert code(refresh(token=tokens.issue(user))) == (401, "unauthenticated")
    with clock.standing_at(later(hours=-1)):
        old = sign_in(user)
    assert code(refresh(token=old["token"])) == (401, "unauthenticated")
    assert refresh(refresh=old["refresh"]).status_code == 200


def test_only_hashes_are_kept(customer: Callable[..., User]) -> None:
    made = sign_in(customer())
    row = RefreshToken.objects.get()
    kept = str(RefreshToken.objects.values().get()) + str(Session.objects.values().get())
    assert made["refresh"] not in kept
    assert len(row.token_hash) == 64


def test_the_database_keeps_one_unused_token_and_a_reason(customer: Callable[..., User]) -> None:
    sign_in(customer())
    session = Session.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        RefreshToken.objects.create(session=session, token_hash="h", jti="j")
    for fields in ({"ended_at": clock.now()}, {"end_reason": "expired"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Session.objects.update(**fields)


def test_idle_and_absolute_life(customer: Callable[..., User], settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"refresh_idle_hours": 2, "refresh_life_days": 1})
    user = customer()
    began = clock.now()

    def at(**after: float) -> Any:
        return clock.standing_at(began + timedelta(**after))

    with at():
        idle, busy = sign_in(user), sign_in(user)
    for hours in range(1, 24):
        with at(hours=hours):
            busy = refresh(refresh=busy["refresh"]).json()
    with at(hours=2, seconds=1):
        assert code(refresh(refresh=idle["refresh"])) == (401, "unauthenticated")
    with at(days=1, seconds=1):
        assert code(refresh(refresh=busy["refresh"])) == (401, "unauthenticated")
    assert list(Session.objects.values_list("end_reason", flat=True)) == ["expired", "expired"]


def test_a_customer_sees_and_ends_their_own_sessions_only(customer: Callable[..., User]) -> None:
    user = customer()
    here = ApiClient(token=sign_in(user, **{"User-Agent": "phone"})["token"])
    there = sign_in(user)["token"]
    foreign = sign_in(customer())["token"]
    shown = here.get(LIST).json()["sessions"]
    assert [(row["device"], row["is_current"], row["second_factor"]) for row in shown] == [
        ("", False, False),
        ("phone", True, False),
    ]
    assert code(here.post(END, {"session_id": claims(foreign)["sid"]})) == (404, "not_found")
    assert here.post(END, {"session_id": claims(there)["sid"]}).status_code == 200
    assert (opens(there), opens(here.token), opens(foreign)) == ("unauthenticated", "ok", "ok")
    assert here.post(END, {}).status_code == 200
    assert opens(here.token) == "unauthenticated"
    reasons = Session.objects.filter(user=user).values_list("end_reason", flat=True)
    assert set(reasons) == {"signed_out"}


def test_a_disabled_accounts_session_stays_ended(
    customer: Callable[..., User], operator: Callable[..., Any]
) -> None:
    user, who = customer(), operator("Compliance")
    made = sign_in(user)
    account_disable(user_id=user.pk, reason="looked at", actor=who)
    assert opens(made["token"]) == "unauthenticated"
    assert code(refresh(refresh=made["refresh"])) == (401, "unauthenticated")
    account_enable(user_id=user.pk, reason="all is well", actor=who)
    assert opens(made["token"]) == "unauthenticated"
    assert code(refresh(refresh=made["refresh"])) == (401, "unauthenticated")
    assert Session.objects.get().end_reason == "disabled"


def test_a_session_begun_while_all_were_ended_is_none(customer: Callable[..., User]) -> None:
    """A sign-in that had checked the password before it was changed must not outlive the change."""
    user = customer()
    stale = User.objects.get(pk=user.pk)
    made = sign_in(user)
    User.objects.filter(pk=user.pk).update(token_epoch=5)
    assert stale.token_epoch == 0
    assert opens(tokens.issue(stale)) == "unauthenticated"
    assert code(refresh(refresh=made["refresh"])) == (401, "unauthenticated")


def test_an_operator_signs_a_customer_out(
    customer: Callable[..., User], operator: Callable[..., Any]
) -> None:
    user = customer()
    made, other = sign_in(user), sign_in(customer())

    def act(role: str, reason: str = "asked by phone") -> str:
        return code_of(
            lambda: sessions.account_sign_out(user_id=user.pk, reason=reason, actor=operator(role))
        )

    assert (act("Support"), act("Compliance", " ")) == ("forbidden", "validation_error")
    assert opens(made["token"]) == "ok"
    assert act("Compliance") == "ok"
    assert (opens(made["token"]), opens(other["token"])) == ("unauthenticated", "ok")


def test_an_unknown_address_costs_the_same_work(
    customer: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many hashes and the same kinds of query, whether the account exists or not."""
    user = customer()
    sign_in(user)
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return str(encode(self, password, salt))

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    work = []
    for email in (user.email, "nobody@example.com"):
        hashed.clear()
        with CaptureQueriesContext(connection) as captured:
            answer = ApiClient().post(SIGN_IN, {"email": email, "password": "wrong"})
        verbs = [query["sql"].split()[0] for query in captured.captured_queries]
        work.append((code(answer), len(hashed), verbs))
    assert work[0] == work[1]
    assert work[0][:2] == ((401, "invalid_credentials"), 1)


def test_a_registration_costs_the_same_work_too(customer: Callable[..., User]) -> None:
    user = customer()
    work = []
    for email in ("new@example.com", user.email):
        with CaptureQueriesContext(connection) as captured:
            answer = ApiClient().post(
                "/api/v1/user/create", {"email": email, "password": PASSWORD, "username": "x"}
            )
        assert answer.status_code == 201
        verbs = [query["sql"].split()[0] for query in captured.captured_queries]
        work.append(len([verb for verb in verbs if verb in {"SELECT", "INSERT", "UPDATE"}]))
    assert work[0] == work[1]


def test_tries_are_stopped_per_address_too(customer: Callable[..., User], settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"sign_in_tries_per_address": 3})
    user = customer()
    for number in range(3):
        ApiClient().post(SIGN_IN, {"email": f"guess{number}@example.com", "password": "x"})
    assert sign_in(user)["code"] == "rate_limited"
    assert SignIn.objects.filter(user=user).count() == 0


def test_used_up_tokens_are_forgotten_and_sessions_kept(customer: Callable[..., User]) -> None:
    user = customer()
    lives, ends = sign_in(user), sign_in(user)
    refresh(refresh=lives["refresh"])
    ApiClient(token=ends["token"]).post(END, {})
    assert sessions.refresh_tokens_forget() == 1
    assert (Session.objects.count(), RefreshToken.objects.count()) == (2, 2)
    with clock.standing_at(later(days=40)):
        assert sessions.refresh_tokens_forget() == 2
    assert Session.objects.count() == 2

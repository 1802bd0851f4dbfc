"""One refresh token, many hands at once: one next pair, and then the session is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kauri.account import sessions
from kauri.account.models import OneTimeLink, RecoveryCode, RefreshToken, Session, User
from kauri.account.passwords import set_new_password
from kauri.account.second_factor import enable_2fa, second_factor_verify, totp_qr_code
from kauri.account.services import account_freeze, link_issue, totp_verify
from kauri.common.errors import KauriError
from kauri.core.models import OutboxEvent
from tests.api.account_moves import phone, with_factor
from tests.house import PASSWORD
from tests.moves import code_of, together

pytestmark = pytest.mark.django_db(transaction=True)


def test_simultaneous_refreshes_have_one_winner(customer: Callable[..., User]) -> None:
    user = customer()
    made = sessions.obtain_token(email=user.email, password=PASSWORD, ip="127.0.0.1", user_agent="")
    results = together(6, lambda _: sessions.refresh_token(refresh=made.refresh, token="", ip="127.0.0.1"))
    won = [result for result in results if isinstance(result, sessions.SignedIn)]
    lost = [result.code for result in results if isinstance(result, KauriError)]
    assert (len(won), lost) == (1, ["unauthenticated"] * 5)
    session = Session.objects.get()
    assert session.end_reason == Session.End.REUSED
    assert RefreshToken.objects.filter(used_at__isnull=True).count() == 1, "the winner's: of an ended session"
    assert OutboxEvent.objects.filter(kind="letter").count() == 1


def test_one_code_at_once_from_many_is_used_once(customer: Callable[..., User]) -> None:
    user = customer()
    secret = with_factor(user).secret
    code = phone(secret)
    results = together(6, lambda _: totp_verify(user_id=user.pk, code=code) is not None)
    assert sorted(results) == [False] * 5 + [True]


def test_one_recovery_code_at_once_passes_one_session(customer: Callable[..., User]) -> None:
    user = customer()

    def signed_in() -> Session:
        return sessions.obtain_token(
            email=user.email, password=PASSWORD, ip="127.0.0.1", user_agent=""
        ).session

    secret = totp_qr_code(user=user).secret
    _, codes = enable_2fa(user=user, session=signed_in(), code=phone(secret), ip="")
    waiting = [signed_in() for _ in range(4)]
    results = together(
        4,
        lambda number: code_of(
            lambda: second_factor_verify(
                user=user, session=waiting[number], code="", recovery_code=codes[0], ip=""
            )
        ),
    )
    assert sorted(results) == ["ok"] + ["totp_invalid"] * 3
    assert RecoveryCode.objects.filter(used_at__isnull=False).count() == 1
    assert (
        Session.objects.filter(pk__in=[row.pk for row in waiting], second_factor__isnull=False).count() == 1
    )


def test_one_link_at_once_is_used_once(customer: Callable[..., User]) -> None:
    user = customer()
    token = link_issue(user, OneTimeLink.Purpose.RESET)
    results = together(
        4,
        lambda number: code_of(
            lambda: set_new_password(token=token, password=f"passphrase number {number}", ip="127.0.0.1")
        ),
    )
    assert sorted(results) == ["ok"] + ["wrong_code"] * 3
    user.refresh_from_db()
    assert user.check_password(f"passphrase number {results.index('ok')}")
    assert user.token_epoch == 1
    freeze = link_issue(user, OneTimeLink.Purpose.FREEZE)
    results = together(4, lambda _: code_of(lambda: account_freeze(token=freeze, ip="127.0.0.1")))
    assert sorted(results) == ["ok"] + ["wrong_code"] * 3
    assert OutboxEvent.objects.filter(kind="account.frozen").count() == 1

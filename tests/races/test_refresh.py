"""One refresh token, many hands at once: one next pair, and then the session is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kauri.account import sessions
from kauri.account.models import RefreshToken, Session, User
from kauri.account.services import totp_verify
from kauri.common.errors import KauriError
from kauri.core.models import OutboxEvent
from tests.api.account_moves import phone, with_factor
from tests.house import PASSWORD
from tests.moves import together

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

"""What tests of sign-in share: signing in over HTTP, letters as they were sent, codes of a phone."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pyotp
from django.core import mail

from kauri.account import tokens
from kauri.account.models import Session, TOTPDevice, User
from tests.api.client import ApiClient
from tests.house import PASSWORD

SIGN_IN = "/api/v1/user/obtain_token"
REFRESH = "/api/v1/user/refresh_token"
VERIFY = "/api/v1/user/totp/verify"
BALANCE = "/api/v1/user/balance"


def sign_in(user: User, password: str = PASSWORD, **headers: str) -> dict[str, Any]:
    """The answer of obtain_token."""
    answer = ApiClient().post(SIGN_IN, {"email": user.email, "password": password}, **headers)
    return dict(answer.json())


def refresh(**body: str) -> Any:
    return ApiClient().post(REFRESH, body)


def claims(token: str) -> dict[str, Any]:
    """What a token says, unchecked."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def opens(token: str) -> str:
    """'ok', or why the token does not open the balance."""
    return str(ApiClient(token=token).get(BALANCE).json().get("code", "ok"))


def phone(secret: str, step: int = 0) -> str:
    """The code that a phone fed with the secret shows, now or in a neighbouring half minute."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * step)


def with_factor(user: User) -> TOTPDevice:
    """Put an authenticator on the account."""
    return TOTPDevice.objects.create(user=user, name="phone", confirmed=True)


def rested(user: User) -> None:
    """The wait after wrong codes is over."""
    TOTPDevice.objects.filter(user=user).update(throttling_failure_count=0, throttling_failure_timestamp=None)


def subjects(user: User) -> list[str]:
    """The letters that the customer got, oldest first."""
    return [letter.subject for letter in mail.outbox if letter.to == [user.email]]


def last_letter() -> str:
    return str(mail.outbox[-1].body)


def passed(user: User) -> str:
    """A token of a session that has passed the account's second factor."""
    device = TOTPDevice.objects.get(user=user)
    session = Session.objects.create(user=user, epoch=user.token_epoch, second_factor=device)
    return tokens.issue(user, session)

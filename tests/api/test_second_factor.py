"""The second factor over HTTP: set up, asked for at every sign-in, taken off; codes are good once."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyotp
import pytest
from django.db import IntegrityError, connection, transaction

from kauri.account.models import ApiKey, RecoveryCode, Session, TOTPDevice, User
from kauri.account.second_factor import WRONG_CODES
from kauri.core.models import AuditEntry
from tests.api.account_moves import (
    BALANCE,
    REFRESH,
    VERIFY,
    claims,
    code,
    last_letter,
    opens,
    phone,
    refresh,
    rested,
    sign_in,
    subjects,
)
from tests.api.client import ApiClient

QR = "/api/v1/user/totp/qr_code"
ENABLE = "/api/v1/user/enable_2fa"
DISABLE = "/api/v1/user/disable_2fa"


@dataclass
class Guarded:
    """A customer whose account has an authenticator, and what they were shown."""

    user: User
    secret: str
    token: str
    refresh: str
    recovery_codes: list[str]

    def half(self) -> ApiClient:
        """Signed in by the password alone."""
        return ApiClient(token=sign_in(self.user)["token"])


@pytest.fixture
def guarded(customer: Callable[..., User]) -> Guarded:
    """The code of the half minute before was used to enable it: the present one is good."""
    user = customer()
    api = ApiClient(token=sign_in(user)["token"])
    secret = api.get(QR).json()["secret"]
    answer = api.post(ENABLE, {"totp_code": phone(secret, -1)}).json()
    return Guarded(user, secret, answer["token"], answer["refresh"], answer["recovery_codes"])


def test_the_qr_code_says_what_the_uri_says(customer: Callable[..., User]) -> None:
    user = customer(email="a+b@example.com")
    api = ApiClient(token=sign_in(user)["token"])
    answer = api.get(QR)
    shown = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(shown) == {"status", "secret", "uri", "qr"}
    assert base64.b64decode(shown["qr"])[:8] == b"\x89PNG\r\n\x1a\n"
    read = pyotp.parse_uri(shown["uri"])
    assert isinstance(read, pyotp.TOTP)
    assert (read.name, read.issuer, read.secret) == ("a+b@example.com", "Kauri", shown["secret"])
    assert shown["uri"].startswith("otpauth://totp/Kauri:a%2Bb%40example.com?")
    assert len(base64.b32decode(shown["secret"])) == 20
    # Shown is not in force, and is forgotten when another is shown.
    assert opens(api.token) == "ok"
    newer = api.get(QR).json()["secret"]
    assert code(api.post(ENABLE, {"totp_code": phone(shown["secret"])})) == (403, "totp_invalid")
    rested(user)
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert api.post(ENABLE, {"totp_code": phone(newer)}).status_code == 200


def test_rfc_6238_vectors() -> None:
    device = TOTPDevice(key=base64.b32decode("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").hex())
    for moment, shown in (
        (59, "287082"),
        (1111111109, "081804"),
        (1234567890, "005924"),
        (2000000000, "279037"),
    ):
        assert device._is_code_of(moment // 30, shown)
        assert not device._is_code_of(moment // 30 + 1, shown)


def test_enabling_shows_ten_codes_once_and_asks_the_other_sessions(
    customer: Callable[..., User], mailoutbox: list[Any], drain: Callable[..., int]
) -> None:
    user = customer()
    here, there = ApiClient(token=sign_in(user)["token"]), ApiClient(token=sign_in(user)["token"])
    assert code(here.post(ENABLE, {"totp_code": "123456"})) == (409, "wrong_state")
    secret = here.get(QR).json()["secret"]
    shown = here.post(ENABLE, {"totp_code": phone(secret)}).json()
    assert len(set(shown["recovery_codes"])) == 10
    assert {len(code) for code in shown["recovery_codes"]} == {19}
    device = TOTPDevice.objects.get()
    assert claims(shown["token"])["otp_device_id"] == str(device.public_id)
    assert claims(shown["token"])["sid"] == claims(here.token)["sid"]
    assert opens(shown["token"]) == "ok"
    # Neither the token from before nor another session has passed it.
    assert (opens(here.token), opens(there.token)) == ("two_factor_required", "two_factor_required")
    assert code(ApiClient(token=shown["token"]).get(QR)) == (409, "wrong_state")
    drain()
    assert subjects(user) == ["Two-factor sign-in is on"]
    assert AuditEntry.objects.filter(verb="enable_2fa").count() == 1


def test_the_secret_and_the_codes_lie_sealed(guarded: Guarded) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select key from account_totpdevice")
        [(stored,)] = cursor.fetchall()
        cursor.execute("select code_hash from account_recoverycode")
        hashes = {row[0] for row in cursor.fetchall()}
    device = TOTPDevice.objects.get()
    assert stored != device.key
    assert stored.startswith("gAAAA")
    assert device.secret == guarded.secret
    assert len(hashes) == 10
    assert not hashes & {shown.replace("-", "") for shown in guarded.recovery_codes}


def test_the_password_alone_opens_nothing_but_the_second_door(guarded: Guarded) -> None:
    half = guarded.half()
    assert claims(half.token)["otp_device_id"] is None
    for method, path, body in (
        ("GET", BALANCE, None),
        ("GET", QR, None),
        ("POST", DISABLE, {"totp_code": phone(guarded.secret)}),
        ("POST", "/api/v1/user/sessions/end", {}),
        ("POST", "/api/v1/user/api_keys/create", {"name": "x", "scopes": ["read"]}),
        ("POST", "/api/v1/user/change_password", {"old_password": "x", "new_password": "y"}),
        ("POST", "/api/v1/withdrawal", {"currency": "UAH", "amount": "1", "wallet_to": "x"}),
    ):
        assert code(half.request(method, path, body)) == (403, "two_factor_required"), path
    assert ApiKey.objects.count() == 0
    answer = half.post(VERIFY, {"totp_code": phone(guarded.secret)})
    assert answer.status_code == 200
    passed = answer.json()
    assert opens(passed["token"]) == "ok"
    # It is the token that has passed: the one from before, wherever its copies are, has not.
    assert opens(half.token) == "two_factor_required"
    again = refresh(refresh=passed["refresh"]).json()
    assert claims(again["token"])["otp_device_id"] == claims(passed["token"])["otp_device_id"]
    assert opens(again["token"]) == "ok"


def test_a_refresh_does_not_pass_the_second_factor(guarded: Guarded) -> None:
    half = sign_in(guarded.user)
    for body in ({"refresh": half["refresh"]},):
        half = ApiClient().post(REFRESH, body).json()
    half = refresh(token=half["token"]).json()
    assert opens(half["token"]) == "two_factor_required"


@pytest.mark.parametrize("path", ["/api//v1/user/balance/", "/api/v1/user/totp/verify/../../balance"])
def test_another_spelling_of_a_path_is_no_way_round(guarded: Guarded, path: str) -> None:
    assert guarded.half().get(path).status_code in {403, 404}


def test_a_code_is_used_once_across_all_doors(guarded: Guarded) -> None:
    shown = phone(guarded.secret)
    assert guarded.half().post(VERIFY, {"totp_code": shown}).status_code == 200
    second = guarded.half()
    assert code(second.post(VERIFY, {"totp_code": shown})) == (403, "totp_invalid")
    rested(guarded.user)
    api = ApiClient(token=guarded.token)
    assert code(api.post(DISABLE, {"totp_code": shown})) == (403, "totp_invalid")
    rested(guarded.user)
    # An older one is no better than a used one.
    assert code(second.post(VERIFY, {"totp_code": phone(guarded.secret, -1)})) == (403, "totp_invalid")
    assert opens(second.token) == "two_factor_required"


def test_guessing_stops_and_the_right_code_waits_too(guarded: Guarded) -> None:
    half = guarded.half()
    right = phone(guarded.secret)
    wrong = [f"{(int(right) + 7 * number) % 10**6:06d}" for number in range(1, WRONG_CODES + 1)]
    for guess in wrong:
        rested(guarded.user)
        assert code(half.post(VERIFY, {"totp_code": guess})) == (403, "totp_invalid")
    rested(guarded.user)
    assert code(half.post(VERIFY, {"totp_code": right})) == (429, "rate_limited")
    # Neither another session nor the recovery codes are a way round the count.
    assert code(guarded.half().post(VERIFY, {"totp_code": right})) == (429, "rate_limited")
    answer = half.post(VERIFY, {"recovery_code": guarded.recovery_codes[0]})
    assert code(answer) == (429, "rate_limited")
    assert RecoveryCode.objects.filter(used_at__isnull=True).count() == 10


def test_each_wrong_code_makes_the_next_wait(guarded: Guarded) -> None:
    half = guarded.half()
    assert code(half.post(VERIFY, {"totp_code": "00000x"})) == (403, "totp_invalid")
    assert code(half.post(VERIFY, {"totp_code": phone(guarded.secret)})) == (403, "totp_invalid")
    rested(guarded.user)
    assert half.post(VERIFY, {"totp_code": phone(guarded.secret)}).status_code == 200


@pytest.mark.parametrize("text", ["", " ", "１２３４５６", "-12345", "1234567"])
def test_what_is_no_code_is_refused(guarded: Guarded, text: str) -> None:
    expected = "totp_required" if not text else "totp_invalid"
    assert code(guarded.half().post(VERIFY, {"totp_code": text}))[1] == expected


def test_a_recovery_code_passes_once(
    guarded: Guarded, mailoutbox: list[Any], drain: Callable[..., int]
) -> None:
    first, second = guarded.recovery_codes[:2]
    passed = guarded.half().post(VERIFY, {"recovery_code": first.upper().replace("-", " ")})
    assert passed.status_code == 200
    assert opens(passed.json()["token"]) == "ok"
    assert code(guarded.half().post(VERIFY, {"recovery_code": first})) == (403, "totp_invalid")
    assert RecoveryCode.objects.filter(used_at__isnull=False).count() == 1
    drain()
    assert subjects(guarded.user)[-1] == "A recovery code was used"
    assert "left: 9." in last_letter()
    assert guarded.half().post(VERIFY, {"recovery_code": second}).status_code == 200


def test_another_customers_recovery_code_is_wrong(guarded: Guarded, customer: Callable[..., User]) -> None:
    other = customer()
    TOTPDevice.objects.create(user=other, name="phone", confirmed=True)
    half = ApiClient(token=sign_in(other)["token"])
    stolen = {"recovery_code": guarded.recovery_codes[0]}
    assert code(half.post(VERIFY, stolen)) == (403, "totp_invalid")
    assert RecoveryCode.objects.filter(used_at__isnull=True).count() == 10


def test_disabling_needs_a_code_and_starts_the_cooling_off(
    guarded: Guarded, mailoutbox: list[Any], drain: Callable[..., int]
) -> None:
    api = ApiClient(token=guarded.token)
    assert code(api.post(DISABLE, {})) == (403, "totp_required")
    assert code(api.post(DISABLE, {"totp_code": "000000"})) == (403, "totp_invalid")
    assert User.objects.get(pk=guarded.user.pk).security_changed_at is None
    rested(guarded.user)
    assert api.post(DISABLE, {"totp_code": phone(guarded.secret)}).status_code == 200
    assert (TOTPDevice.objects.count(), RecoveryCode.objects.count()) == (0, 0)
    assert User.objects.get(pk=guarded.user.pk).security_changed_at is not None
    assert opens(sign_in(guarded.user)["token"]) == "ok"
    assert opens(guarded.token) == "ok"
    assert code(api.post(DISABLE, {"totp_code": "000000"})) == (409, "wrong_state")
    assert code(api.post(VERIFY, {"totp_code": "000000"})) == (409, "wrong_state")
    drain()
    assert subjects(guarded.user)[-1] == "Two-factor sign-in is off"


def test_a_token_of_an_authenticator_from_before_has_not_passed_todays(guarded: Guarded) -> None:
    api = ApiClient(token=guarded.token)
    api.post(DISABLE, {"recovery_code": guarded.recovery_codes[0]})
    there = sign_in(guarded.user)["token"]
    secret = ApiClient(token=there).get(QR).json()["secret"]
    ApiClient(token=there).post(ENABLE, {"totp_code": phone(secret)})
    assert opens(guarded.token) == "two_factor_required"


def test_a_key_sets_up_nothing(customer: Callable[..., User]) -> None:
    user = customer()
    key = ApiKey.objects.create(
        user=user, name="k", key="signer", secret="s" * 20, scopes=["read"], state="active"
    )
    signed = ApiClient(key=key.key, secret=key.secret)
    assert code(signed.get(QR)) == (403, "forbidden")
    for path in (ENABLE, VERIFY, DISABLE):
        assert code(signed.post(path, {"totp_code": "123456"})) == (403, "forbidden")
    assert TOTPDevice.objects.count() == Session.objects.count() == 0


def test_an_account_has_one_authenticator(guarded: Guarded) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        TOTPDevice.objects.create(user=guarded.user, name="second", confirmed=True)

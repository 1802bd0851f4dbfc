"""The customer's second factor: set up, proven at sign-in and before what matters, taken off."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.utils.crypto import salted_hmac

from kauri.account.models import RecoveryCode, Session, TOTPDevice, User
from kauri.account.selectors import has_second_factor
from kauri.account.services import notice, totp_verify
from kauri.account.sessions import SignedIn, session_passed
from kauri.common import clock, throttle
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.qr import png_base64
from kauri.core.audit import audit

#: Wrong codes of an account in so many seconds; the calls that move money count under the same name.
WRONG_CODES: Final = 5
CODES_SECONDS: Final = 900
RECOVERY_CODES: Final = 10


@dataclass(frozen=True, slots=True)
class Setup:
    """What an authenticator is fed with. ``qr`` is a PNG in base64."""

    secret: str
    uri: str
    qr: str


@transaction.atomic
def totp_qr_code(*, user: User) -> Setup:
    """A new secret, not in force until :func:`enable_2fa` proves that it arrived.

    Every call makes another and forgets the last: a secret that somebody else has seen is worth
    nothing. ``wrong_state`` when the account has an authenticator: that one is never shown again.
    """
    lock(User.objects.filter(pk=user.pk)).get()
    if has_second_factor(user):
        raise KauriError("wrong_state", "two-factor sign-in is on")
    TOTPDevice.objects.filter(user=user, confirmed=False).delete()
    device = TOTPDevice.objects.create(user=user, name="authenticator", confirmed=False)
    return Setup(device.secret, device.config_url, png_base64(device.config_url))


def enable_2fa(*, user: User, session: Session, code: str, ip: str) -> tuple[SignedIn, list[str]]:
    """Put the shown secret in force; gives the session's new pair and the recovery codes, this once.

    From here on the account's other sessions must pass the second factor too. Raises
    ``wrong_state``, ``totp_invalid``, ``rate_limited``.
    """
    must_not_guess(user.pk)
    with transaction.atomic():
        lock(User.objects.filter(pk=user.pk)).get()
        device = lock(TOTPDevice.objects.filter(user=user, confirmed=False)).last()
        if has_second_factor(user) or device is None:
            raise KauriError("wrong_state", "ask for the QR code first; an authenticator can't be replaced")
        good = device.verify_token(code)
        if good:
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            codes = _new_recovery_codes(user)
            _audited(user, "enable_2fa", ip)
            notice(user, "second_factor_on", ip=ip)
            return session_passed(session.pk, device), codes
    count_wrong_code(user.pk)
    raise KauriError("totp_invalid")


def second_factor_verify(*, user: User, session: Session, code: str, recovery_code: str, ip: str) -> SignedIn:
    """Pass the second factor with an authenticator's code or a recovery code: the session's new pair.

    Raises ``wrong_state`` (none is set up), ``totp_required``, ``totp_invalid``, ``rate_limited``.
    """
    if not has_second_factor(user):
        raise KauriError("wrong_state", "two-factor sign-in is off")
    with transaction.atomic():
        device = _proven(user, code, recovery_code, ip)
        if device is not None:
            return session_passed(session.pk, device)
    count_wrong_code(user.pk)
    raise KauriError("totp_invalid")


def disable_2fa(*, user: User, code: str, recovery_code: str, ip: str) -> None:
    """Take the second factor off; what leaves the account soon after is looked at by an operator.

    Raises as :func:`second_factor_verify`.
    """
    if not has_second_factor(user):
        raise KauriError("wrong_state", "two-factor sign-in is off")
    with transaction.atomic():
        row = lock(User.objects.filter(pk=user.pk)).get()
        good = _proven(user, code, recovery_code, ip) is not None
        if good:
            TOTPDevice.objects.filter(user=user).delete()
            RecoveryCode.objects.filter(user=user).delete()
            row.security_changed_at = clock.now()
            row.save(update_fields=["security_changed_at"])
            _audited(user, "disable_2fa", ip)
            notice(user, "second_factor_off", ip=ip)
    if not good:
        count_wrong_code(user.pk)
        raise KauriError("totp_invalid")


def codes_name(user_id: int) -> str:
    """The counter of an account's wrong one-time codes, wherever it gives them."""
    return f"totp:{user_id}"


def must_not_guess(user_id: int) -> None:
    """Raise ``rate_limited`` when the account has given too many wrong one-time codes lately."""
    if throttle.peek(codes_name(user_id), WRONG_CODES, CODES_SECONDS).remaining <= 0:
        raise KauriError("rate_limited")


def count_wrong_code(user_id: int) -> None:
    """One more wrong one-time code; outside the transaction that it undid."""
    throttle.hit(codes_name(user_id), WRONG_CODES, CODES_SECONDS)


def totp_require(user: User, code: str) -> None:
    """Use up a one-time code where the account has an authenticator; call it outside a transaction.

    Raises ``totp_required``, ``totp_invalid``, ``rate_limited``; wrong codes are counted for good.
    """
    if not has_second_factor(user):
        return
    if not code:
        raise KauriError("totp_required")
    totp_prove(user, code)


def totp_prove(user: User, code: str) -> None:
    """As :func:`totp_require`, but an account without an authenticator is refused too (``totp_invalid``)."""
    must_not_guess(user.pk)
    if totp_verify(user_id=user.pk, code=code) is None:
        count_wrong_code(user.pk)
        raise KauriError("totp_invalid")


def totp_require_inside(user: User, code: str) -> None:
    """As :func:`totp_require`, inside a transaction that a refusal undoes: the caller counts wrong codes."""
    if not has_second_factor(user):
        return
    if not code:
        raise KauriError("totp_required")
    if totp_verify(user_id=user.pk, code=code) is None:
        raise KauriError("totp_invalid")


@contextmanager
def code_again(actor: Actor, code: str, act: str, *, object_type: str, object_id: object) -> Iterator[None]:
    """Around the transaction of an operator's act that may use up a code of theirs (:func:`operator_code`).

    A wrong code is counted and audited for good, whatever the transaction loses. ``rate_limited`` after
    too many of them.
    """
    if code:
        must_not_guess(int(actor.id))
    try:
        yield
    except KauriError as error:
        if code and error.code == "totp_invalid":
            count_wrong_code(int(actor.id))
            audit(actor, "code_refused", object_type=object_type, object_id=object_id, after={"act": act})
        raise


def operator_code(actor: Actor, code: str) -> None:
    """Use up an operator's code, for the act of this transaction alone: undone with it, good once.

    Raises ``totp_required``, ``totp_invalid``.
    """
    if not code:
        raise KauriError("totp_required")
    if totp_verify(user_id=int(actor.id), code="".join(code.split())) is None:
        raise KauriError("totp_invalid")


def _proven(user: User, code: str, recovery_code: str, ip: str) -> TOTPDevice | None:
    """The account's authenticator, if either code is right: it is used up in the caller's transaction."""
    if not code and not recovery_code:
        raise KauriError("totp_required")
    must_not_guess(user.pk)
    if code:
        return totp_verify(user_id=user.pk, code=code)
    unused = RecoveryCode.objects.filter(user=user, code_hash=_hash(recovery_code), used_at__isnull=True)
    if unused.update(used_at=clock.now()) != 1:
        return None
    left = RecoveryCode.objects.filter(user=user, used_at__isnull=True).count()
    _audited(user, "recovery_code_use", ip)
    notice(user, "recovery_code_used", ip=ip, left=str(left))
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def _new_recovery_codes(user: User) -> list[str]:
    """Ten codes of 80 bits; the ones before them are worth nothing."""
    RecoveryCode.objects.filter(user=user).delete()
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, code_hash=_hash(code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]


def _hash(recovery_code: str) -> str:
    plain = "".join(char for char in recovery_code.lower() if char.isalnum())
    return salted_hmac("kauri.account.recovery", plain, algorithm="sha256").hexdigest()


def _audited(user: User, verb: str, ip: str) -> None:
    audit(user.as_actor(ip), verb, object_type="user", object_id=user.pk, label=user.email)

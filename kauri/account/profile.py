"""The account's own settings, and the one-time code that guards what it may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from kauri.account.models import User
from kauri.account.services import totp_verify
from kauri.common import throttle
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.urls import check_callback_url
from kauri.core.audit import audit

#: Wrong one-time codes of an account, in so many seconds, wherever it gives them.
WRONG_CODES: Final = 5
CODES_SECONDS: Final = 900


def codes_name(user_id: int) -> str:
    """The counter of an account's wrong one-time codes."""
    return f"totp:{user_id}"


def must_not_guess(user_id: int) -> None:
    """Raise ``rate_limited`` when the account has given too many wrong one-time codes lately."""
    if throttle.peek(codes_name(user_id), WRONG_CODES, CODES_SECONDS).remaining <= 0:
        raise KauriError("rate_limited")


def count_wrong_code(user_id: int) -> None:
    """One more wrong one-time code; outside the transaction that it undid."""
    throttle.hit(codes_name(user_id), WRONG_CODES, CODES_SECONDS)


def prove_by_totp(user: User, code: str) -> None:
    """Use up a one-time code of the account's authenticator; outside any transaction that may be undone.

    Raises ``totp_invalid`` (wrong, used before, or no authenticator) and, after some of them, ``rate_limited``.
    """
    must_not_guess(user.pk)
    if totp_verify(user_id=user.pk, code=code) is None:
        count_wrong_code(user.pk)
        raise KauriError("totp_invalid")


def require_totp(user: User, code: str) -> None:
    """Use up a one-time code where the account has an authenticator; the caller counts wrong ones.

    Raises ``totp_required`` and ``totp_invalid``.
    """
    if not has_totp(user):
        return
    if not code:
        raise KauriError("totp_required")
    if totp_verify(user_id=user.pk, code=code) is None:
        raise KauriError("totp_invalid")


def has_totp(user: User) -> bool:
    """Whether the account has a confirmed authenticator."""
    return bool(TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists())


def _language(value: str) -> str:
    code = value.strip().lower()
    code = "uk" if code == "ua" else code  # the old clients' word
    known = {choice for choice, _ in User._meta.get_field("language").choices or ()}
    if code not in known:
        raise KauriError("validation_error", fields={"value": f"choose from {', '.join(sorted(known))}"})
    return code


def _callback(value: str) -> str:
    check_callback_url(value, "value")
    return value


#: Name of a setting -> (the account's field, what makes a given value one of its own).
SETTINGS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "language": ("language", _language),
    "callback_url": ("callback_url", _callback),
}


def settings_of(user: User) -> dict[str, Any]:
    """Every setting as it stands."""
    return {name: getattr(user, column) for name, (column, _) in SETTINGS.items()}


@transaction.atomic
def account_setting_set(*, user: User, name: str, value: str, actor: Actor) -> User:
    """Change one setting of the account. Raises ``validation_error`` for an unknown name or value."""
    if name not in SETTINGS:
        raise KauriError("validation_error", fields={"name": f"choose from {', '.join(SETTINGS)}"})
    column, read = SETTINGS[name]
    good = read(value)
    row = lock(User.objects.filter(pk=user.pk)).get()
    before = getattr(row, column)
    if before != good:
        setattr(row, column, good)
        row.save(update_fields=[column])
        audit(
            actor,
            "account_setting_set",
            object_type="user",
            object_id=row.pk,
            label=row.email,
            before={name: before},
            after={name: good},
        )
    return row

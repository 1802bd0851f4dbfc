"""Passwords, changed by who knows them or reset by a letter; and the phrase that proves our letters."""

from __future__ import annotations

import hashlib
from typing import Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from kauri.account.models import OneTimeLink, Session, User
from kauri.account.second_factor import totp_require
from kauri.account.services import letter, link_find, link_issue, link_use, notice, sessions_end
from kauri.common import clock, throttle
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.tasks import enqueue
from kauri.core.audit import audit

SEND_TASK: Final = "kauri.account.tasks.reset_link_send"
#: Letters with a reset link to one address, and wrong old passwords of one account.
LETTERS: Final = 5
LETTERS_SECONDS: Final = 3600
WRONG_PASSWORDS: Final = 5
WRONG_SECONDS: Final = 900


def change_password(
    *, user: User, session: Session, old_password: str, new_password: str, totp_code: str, ip: str
) -> None:
    """Set a new password with the old one (and a one-time code, where the account has an authenticator).

    The other sessions end. Raises ``validation_error`` naming the field, ``rate_limited``, and the
    one-time code's refusals.
    """
    name = f"password:{user.pk}"
    if throttle.peek(name, WRONG_PASSWORDS, WRONG_SECONDS).remaining <= 0:
        raise KauriError("rate_limited")
    if not user.check_password(old_password):
        throttle.hit(name, WRONG_PASSWORDS, WRONG_SECONDS)
        raise KauriError("validation_error", fields={"old_password": "wrong"})
    _require_strong(new_password, user, "new_password")
    totp_require(user, totp_code)
    with transaction.atomic():
        row = lock(User.objects.filter(pk=user.pk)).get()
        if row.password != user.password:
            raise KauriError("conflict", "the password was changed this very moment")
        row.set_password(new_password)
        row.save(update_fields=["password"])
        ended = sessions_end(row, Session.End.PASSWORD, keep=session)
        audit(
            row.as_actor(ip),
            "change_password",
            object_type="user",
            object_id=row.pk,
            label=row.email,
            after={"sessions": ended},
        )
        notice(row, "password_changed", ip=ip)


def reset_ask(*, email: str) -> None:
    """Ask for a reset link. Everything that depends on whether the account exists happens in a worker."""
    email = email.strip().lower()
    digest = hashlib.sha256(email.encode()).hexdigest()
    if not throttle.hit(f"reset:{digest}", LETTERS, LETTERS_SECONDS).exceeded:
        enqueue(SEND_TASK, email)


@transaction.atomic
def reset_send(email: str) -> None:
    """Write to the customer of this address, if there is one: a link good for an hour, the last one only."""
    user = lock(User.objects.filter(email=email, is_staff=False, is_active=True)).first()
    if user is None:
        return
    OneTimeLink.objects.filter(user=user, purpose=OneTimeLink.Purpose.RESET, used_at__isnull=True).update(
        used_at=clock.now()
    )
    audit(SYSTEM, "reset_link_send", object_type="user", object_id=user.pk, label=user.email)
    letter(user, "password_reset", {"link_token": link_issue(user, OneTimeLink.Purpose.RESET)})


def set_new_password(*, token: str, password: str, ip: str) -> None:
    """Set a password by a letter's link, once. Every session ends; money that leaves soon is looked at.

    Raises ``wrong_code`` (used, old or made up), ``validation_error`` (the link stays good).
    """
    found = link_find(token, OneTimeLink.Purpose.RESET)
    if found is None or not found.user.is_active:
        raise KauriError("wrong_code")
    _require_strong(password, found.user, "password")
    with transaction.atomic():
        user = lock(User.objects.filter(pk=found.user_id, is_active=True)).first()
        if user is None or not link_use(found):
            raise KauriError("wrong_code")
        user.set_password(password)
        user.security_changed_at = clock.now()
        user.save(update_fields=["password", "security_changed_at"])
        ended = sessions_end(user, Session.End.PASSWORD)
        audit(
            user.as_actor(ip),
            "set_new_password",
            object_type="user",
            object_id=user.pk,
            label=user.email,
            after={"sessions": ended},
        )
        notice(user, "password_changed", ip=ip)


def anti_phishing_code_set(*, user: User, phrase: str, totp_code: str, ip: str) -> None:
    """Set the phrase that every letter to the customer shows from now on; an empty one takes it off."""
    phrase = " ".join(phrase.split())
    if not phrase.isprintable():
        raise KauriError("validation_error", fields={"phrase": "only characters that can be read"})
    totp_require(user, totp_code)
    with transaction.atomic():
        row = lock(User.objects.filter(pk=user.pk)).get()
        row.anti_phishing_code = phrase
        row.save(update_fields=["anti_phishing_code"])
        audit(
            row.as_actor(ip),
            "anti_phishing_code_set",
            object_type="user",
            object_id=row.pk,
            label=row.email,
            after={"is_set": bool(phrase)},
        )


def _require_strong(password: str, user: User, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise KauriError("validation_error", fields={field: " ".join(exc.messages)}) from None

"""Accounts: registration, e-mail, sign-in, verification by hand, switching off."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django_otp.plugins.otp_totp.models import TOTPDevice

from kauri.account import tokens
from kauri.account.models import CustomerGroup, SignIn, User, VerificationDecision
from kauri.account.selectors import require_permission
from kauri.common import clock, crypto
from kauri.common.actor import SYSTEM, Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.core.selectors import switch_is_on

EMAIL_SALT: Final = "kauri.account.email"
EMAIL_LINK_AGE: Final = timedelta(days=1)
THROTTLE_WINDOW: Final = timedelta(minutes=15)
MAX_LEVEL: Final = 3


@transaction.atomic
def totp_verify(*, user_id: int, code: str) -> TOTPDevice | None:
    """The authenticator of ``user_id`` that made ``code``; None when none did. A code is good once.

    Under the lock wrong codes slow down the next, however many come at once; a caller whose
    transaction may be rolled back counts them elsewhere as well.
    """
    for device in lock(TOTPDevice.objects.filter(user_id=user_id, confirmed=True)):
        if device.verify_token(code):
            found: TOTPDevice = device
            return found
    return None


def user_create(*, email: str, password: str, username: str, language: str, ip: str) -> tuple[str, str]:
    """Register a customer; returns (username, e-mail) as the caller gave them.

    A known e-mail answers exactly like a new one, so that nobody learns who has an account: its
    owner gets a letter instead.
    """
    if not switch_is_on("registration"):
        raise KauriError("operation_disabled")
    email = email.strip().lower()
    try:
        validate_email(email)
        if not email.isascii():
            raise ValidationError("only ASCII")
    except ValidationError:
        raise KauriError("validation_error", fields={"email": "not a valid e-mail address"}) from None
    candidate = User(email=email, username=username.strip()[:64], language=language)
    try:
        validate_password(password, candidate)
    except ValidationError as exc:
        raise KauriError("validation_error", fields={"password": " ".join(exc.messages)}) from None
    candidate.set_password(password)
    candidate.webhook_secret = _webhook_secret()
    with transaction.atomic():
        known = User.objects.filter(email=email).first()
        if known is not None:
            letter(known, "already_registered", {})
            return candidate.username, email
        candidate.group = CustomerGroup.objects.filter(code="default").first()
        try:
            with transaction.atomic():
                candidate.save(force_insert=True)
        except IntegrityError:  # the same e-mail, registered this very moment
            return candidate.username, email
        audit(
            candidate.as_actor(ip),
            "user_create",
            object_type="user",
            object_id=candidate.pk,
            label=email,
            after={"email": email, "language": language},
        )
        letter(candidate, "confirm_email", {"link_token": email_token(candidate)})
    return candidate.username, email


def email_token(user: User) -> str:
    """The signed token of the confirmation link: good for a day, for this address only."""
    return signing.dumps({"user": user.pk, "email": user.email}, salt=EMAIL_SALT)


def email_verify(*, token: str, ip: str) -> User:
    """Confirm the e-mail a token names; a second use changes nothing."""
    try:
        data = signing.loads(token, salt=EMAIL_SALT, max_age=EMAIL_LINK_AGE)
    except signing.BadSignature:
        raise KauriError("wrong_code") from None
    with transaction.atomic():
        user = lock(User.objects.filter(pk=data["user"], email=data["email"])).first()
        if user is None:
            raise KauriError("wrong_code")
        if user.email_verified_at is None:
            user.email_verified_at = clock.now()
            user.save(update_fields=["email_verified_at"])
            audit(user.as_actor(ip), "email_verify", object_type="user", object_id=user.pk, label=user.email)
    return user


def obtain_token(*, email: str, password: str, ip: str, user_agent: str) -> tuple[User, str]:
    """Sign in; returns the user and an access token.

    Wrong e-mail and wrong password are one answer, in the same time. ``rate_limited`` after too
    many failures of one account or address in 15 minutes.
    """
    email = email.strip().lower()
    throttle_sign_in(email=email, ip=ip, door=SignIn.Door.API)
    user = User.objects.filter(email=email).first()
    if user is None:
        make_password(password)  # the same work as checking one
    good = user is not None and user.check_password(password)
    sign_in_record(user=user, email=email, door=SignIn.Door.API, succeeded=good, ip=ip, user_agent=user_agent)
    if user is None or not good:
        raise KauriError("invalid_credentials")
    if not user.is_active:
        raise KauriError("account_disabled")
    if user.is_staff:
        raise KauriError("forbidden", "operators use the back office")
    if user.email_verified_at is None:
        raise KauriError("email_not_verified")
    return user, tokens.issue(user)


def throttle_sign_in(*, email: str, ip: str, door: SignIn.Door) -> None:
    """Raise ``rate_limited`` after too many recent failures of the account or from the address."""
    since = clock.now() - THROTTLE_WINDOW
    failed = SignIn.objects.filter(at__gt=since, succeeded=False, door=door)
    if (
        failed.filter(email=email).count() >= settings.KAURI.sign_in_tries
        or failed.filter(ip=ip or None).count() >= settings.KAURI.sign_in_tries_per_address
    ):
        raise KauriError("rate_limited")


def sign_in_record(
    *, user: User | None, email: str, door: SignIn.Door, succeeded: bool, ip: str, user_agent: str
) -> SignIn:
    """Keep a sign-in or a refusal."""
    return SignIn.objects.create(
        user=user,
        email=email[:254],
        door=door,
        succeeded=succeeded,
        ip=ip or None,
        user_agent=user_agent[:300],
    )


@transaction.atomic
def customer_verify(*, user_id: int, level: int, reason: str, actor: Actor) -> VerificationDecision:
    """An operator sets a customer's verification level; both levels and the reason are kept."""
    require_permission(actor, "account.verify_user")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    if not 0 <= level <= MAX_LEVEL:
        raise KauriError("validation_error", fields={"level": f"0 to {MAX_LEVEL}"})
    user = _customer(user_id)
    if actor.id == str(user.pk):
        raise KauriError("forbidden", "nobody verifies themselves")
    return level_set(user=user, level=level, reason=reason.strip(), actor=actor)


def level_set(*, user: User, level: int, reason: str, actor: Actor) -> VerificationDecision:
    """Set the level of a locked customer in the caller's transaction, which has checked who may."""
    decision = VerificationDecision(
        user=user, from_level=user.verification_level, to_level=level, reason=reason, at=clock.now()
    )
    decision.stamp(actor, request_id.get())
    decision.save(force_insert=True)
    audit(
        actor,
        "customer_verify",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        before={"verification_level": user.verification_level},
        after={"verification_level": level},
        reason=reason,
    )
    user.verification_level = level
    user.save(update_fields=["verification_level"])
    emit(
        "customer.verified",
        subject_type="user",
        subject_id=user.public_id,
        payload={"user_id": str(user.public_id), "level": level},
    )
    return decision


@transaction.atomic
def account_disable(*, user_id: int, reason: str, actor: Actor) -> User:
    """Stop an account: no sign-in, no keys, sessions ended. The money stays where it is."""
    return _switch_account(user_id, reason, actor, active=False)


@transaction.atomic
def account_enable(*, user_id: int, reason: str, actor: Actor) -> User:
    """Let a stopped account work again."""
    return _switch_account(user_id, reason, actor, active=True)


def letter(user: User, name: str, params: dict[str, str]) -> None:
    """Ask for a letter in the caller's transaction. ``params`` may hold codes: kept sealed."""
    emit(
        "letter",
        subject_type="user",
        subject_id=user.public_id,
        owner_id=user.pk,
        payload={
            "letter": name,
            "to": user.email,
            "language": user.language,
            "sealed": crypto.encrypt(json.dumps(params)),
            "id": uuid.uuid4().hex,
        },
    )


@transaction.atomic
def demo_customer_create(
    *, email: str, password: str | None, username: str, language: str, level: int
) -> User:
    """A customer of the demo: confirmed and verified from the start."""
    if settings.KAURI.env == "prod":
        raise KauriError("forbidden", "no demo customers in production")
    user = User(
        email=email,
        username=username,
        language=language,
        verification_level=level,
        email_verified_at=clock.now(),
        group=CustomerGroup.objects.filter(code="default").first(),
        webhook_secret=_webhook_secret(),
        password=make_password(password),
    )
    user.save(force_insert=True)
    audit(SYSTEM, "user_create", object_type="user", object_id=user.pk, label=email, after={"demo": True})
    return user


def _switch_account(user_id: int, reason: str, actor: Actor, *, active: bool) -> User:
    require_permission(actor, "account.disable_user")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    user = _customer(user_id)
    if user.is_active == active:
        raise KauriError("wrong_state", "it is already so")
    audit(
        actor,
        "account_enable" if active else "account_disable",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        before={"is_active": user.is_active},
        after={"is_active": active},
        reason=reason.strip(),
    )
    user.is_active = active
    user.disabled_reason = "" if active else reason.strip()[:300]
    user.token_epoch = F("token_epoch") + 1
    user.save(update_fields=["is_active", "disabled_reason", "token_epoch"])
    user.refresh_from_db()
    return user


def _customer(user_id: int) -> User:
    user = lock(User.objects.filter(pk=user_id, is_staff=False)).first()
    if user is None:
        raise KauriError("not_found")
    return user


def _webhook_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

"""Accounts: registration, e-mail, verification by hand, switching off, freezing; letters and their links."""

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

from kauri.account.models import (
    ApiKey,
    CustomerGroup,
    OneTimeLink,
    Session,
    TOTPDevice,
    User,
    VerificationDecision,
)
from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock, crypto
from kauri.common.actor import SYSTEM, Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.core.selectors import switch_is_on

EMAIL_SALT: Final = "kauri.account.email"
#: The address of an account that was born in Telegram: a name that no mail server ever has (RFC 2606).
TELEGRAM_DOMAIN: Final = "@telegram.invalid"
EMAIL_LINK_AGE: Final = timedelta(days=1)
MAX_LEVEL: Final = 3
#: How long the links of letters are good.
LINK_LIFE: Final = {
    OneTimeLink.Purpose.RESET: timedelta(hours=1),
    OneTimeLink.Purpose.FREEZE: timedelta(days=7),
}


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
        if not email.isascii() or email.endswith(TELEGRAM_DOMAIN):
            raise ValidationError("only ASCII, only addresses that can be written to")
    except ValidationError:
        raise KauriError("validation_error", fields={"email": "not a valid e-mail address"}) from None
    candidate = User(email=email, username=username.strip()[:64], language=language)
    try:
        validate_password(password, candidate)
    except ValidationError as exc:
        raise KauriError("validation_error", fields={"password": " ".join(exc.messages)}) from None
    candidate.set_password(password)
    candidate.webhook_secret = new_webhook_secret()
    with transaction.atomic():
        candidate.group = CustomerGroup.objects.filter(code="default").first()
        try:
            with transaction.atomic():
                candidate.save(force_insert=True)
        except IntegrityError:
            # Known: found out by the same work as a new one, so that the time tells nothing either.
            letter(User.objects.get(email=email), "already_registered", {})
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


@transaction.atomic
def customer_verify(*, user_id: int, level: int, reason: str, actor: Actor) -> VerificationDecision:
    """An operator sets a customer's verification level; both levels and the reason are kept."""
    require_permission(actor, "account.verify_user")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    if not 0 <= level <= MAX_LEVEL:
        raise KauriError("validation_error", fields={"level": f"0 to {MAX_LEVEL}"})
    user = _customer(user_id)
    require_scope(actor, user)
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


def account_freeze(*, token: str, ip: str) -> User:
    """What the link of a letter does, once, for whoever holds it: everything stops until an operator looks.

    Sessions end, API keys are revoked, the password opens nothing any more, and payouts that were
    not sent wait (``withdrawal_order``). ``wrong_code`` for a link that is used, old or made up.
    """
    found = link_find(token, OneTimeLink.Purpose.FREEZE)
    if found is None:
        raise KauriError("wrong_code")
    with transaction.atomic():
        user = lock(User.objects.filter(pk=found.user_id)).get()
        if not link_use(found):
            raise KauriError("wrong_code")
        if not user.is_active:
            return user
        now = clock.now()
        user.is_active = False
        user.frozen_at = now
        user.disabled_reason = "frozen by the customer, by the link of a letter"
        # Whoever knows it may not be the customer: after thawing, the way in is a link by e-mail.
        user.set_unusable_password()
        user.save(update_fields=["is_active", "frozen_at", "disabled_reason", "password"])
        sessions_end(user, Session.End.FROZEN)
        keys = ApiKey.objects.filter(user=user).exclude(state=ApiKey.State.REVOKED)
        revoked = keys.update(state=ApiKey.State.REVOKED, revoked_at=now)
        audit(
            user.as_actor(ip),
            "account_freeze",
            object_type="user",
            object_id=user.pk,
            label=user.email,
            after={"is_active": False, "api_keys_revoked": revoked},
        )
        emit(
            "account.frozen",
            subject_type="user",
            subject_id=user.public_id,
            payload={"user_id": str(user.public_id), "customer": user.email},
        )
        letter(user, "account_frozen", {})
    return user


def sessions_end(user: User, why: Session.End, *, keep: Session | None = None) -> int:
    """End the account's sessions, but ``keep``; the caller holds the user's row. Returns how many ended.

    The epoch also catches a session that a sign-in under way is about to begin.
    """
    user.token_epoch += 1
    user.save(update_fields=["token_epoch"])
    living = Session.objects.filter(user=user, ended_at__isnull=True)
    if keep is not None:
        living.filter(pk=keep.pk).update(epoch=user.token_epoch)
        living = living.exclude(pk=keep.pk)
    return living.update(ended_at=clock.now(), end_reason=why)


def link_issue(user: User, purpose: OneTimeLink.Purpose) -> str:
    """The token of a link for a letter to ``user``, in the caller's transaction."""
    expires_at = clock.now() + LINK_LIFE[purpose]
    row = OneTimeLink.objects.create(user=user, purpose=purpose, expires_at=expires_at)
    return signing.dumps(row.public_id.hex, salt=f"kauri.account.{purpose}")


def link_find(token: str, purpose: OneTimeLink.Purpose) -> OneTimeLink | None:
    """The unused link behind ``token``, without using it."""
    try:
        public_id = uuid.UUID(signing.loads(token, salt=f"kauri.account.{purpose}"))
    except (signing.BadSignature, ValueError):
        return None
    unused = OneTimeLink.objects.filter(used_at__isnull=True, expires_at__gt=clock.now())
    return unused.select_related("user").filter(public_id=public_id, purpose=purpose).first()


def link_use(found: OneTimeLink) -> bool:
    """Use the link up; False when somebody was first."""
    now = clock.now()
    unused = OneTimeLink.objects.filter(pk=found.pk, used_at__isnull=True, expires_at__gt=now)
    return unused.update(used_at=now) == 1


def notice(user: User, what: str, **params: str) -> None:
    """Tell the owner by letter what was changed, with the link that freezes the account."""
    freeze = link_issue(user, OneTimeLink.Purpose.FREEZE)
    letter(user, what, {**params, "freeze_token": freeze, "at": f"{clock.now():%Y-%m-%d %H:%M} UTC"})


def letter(user: User, name: str, params: dict[str, str]) -> None:
    """Ask for a letter in the caller's transaction. ``params`` may hold codes: kept sealed.

    The customer's own phrase goes along: a letter without it is not ours. Who came by Telegram has no
    address yet, and gets none.
    """
    if not user.email.endswith(TELEGRAM_DOMAIN):
        _post(user, name, params, channel="email", to=user.email)


def reached_by(user: User) -> str:
    """How a code reaches the customer: ``email``; ``telegram`` for who has no address; else ''."""
    if not user.email.endswith(TELEGRAM_DOMAIN):
        return "email"
    return "telegram" if user.telegram_id is not None and settings.KAURI.telegram_token else ""


def secure_letter(user: User, name: str, params: dict[str, str]) -> None:
    """As :func:`notice`, about money that may leave: by Telegram to a customer who has no address."""
    channel = reached_by(user)
    if not channel:
        return
    freeze = link_issue(user, OneTimeLink.Purpose.FREEZE)
    told = {**params, "freeze_token": freeze, "at": f"{clock.now():%Y-%m-%d %H:%M} UTC"}
    _post(user, name, told, channel=channel, to=user.email if channel == "email" else str(user.telegram_id))


def _post(user: User, name: str, params: dict[str, str], *, channel: str, to: str) -> None:
    emit(
        "letter",
        subject_type="user",
        subject_id=user.public_id,
        owner_id=user.pk,
        payload={
            "letter": name,
            "channel": channel,
            "to": to,
            "language": user.language,
            "sealed": crypto.encrypt(json.dumps({**params, "phrase": user.anti_phishing_code})),
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
        webhook_secret=new_webhook_secret(),
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
    require_scope(actor, user)
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
    if user.frozen_at is not None:
        # It was frozen for a reason: what leaves next is looked at.
        user.frozen_at, user.security_changed_at = None, clock.now()
    user.is_active = active
    user.disabled_reason = "" if active else reason.strip()[:300]
    user.save(update_fields=["is_active", "disabled_reason", "frozen_at", "security_changed_at"])
    sessions_end(user, Session.End.DISABLED)
    return user


def _customer(user_id: int) -> User:
    user = lock(User.objects.filter(pk=user_id, is_staff=False)).first()
    if user is None:
        raise KauriError("not_found")
    return user


def new_webhook_secret() -> str:
    """A secret for the signatures of an account's webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

"""Accounts and Telegram: born there, tied to it by a one-time link, untied by their owner."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from kauri.account.models import CustomerGroup, SignIn, TelegramLink, User
from kauri.account.second_factor import totp_require
from kauri.account.selectors import account_ip_allowed
from kauri.account.services import TELEGRAM_DOMAIN, new_webhook_secret, notice
from kauri.account.sessions import SignedIn, session_begin, sign_in_record
from kauri.common import clock, throttle
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.telegram import TelegramUser
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.core.selectors import switch_is_on

LINK_LIFE: Final = timedelta(minutes=15)
#: What Telegram signed longer ago is no proof of who is there now.
LOGIN_AGE: Final = timedelta(minutes=5)
LOGIN_SKEW: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DeepLink:
    """Opened in Telegram it sends ``code`` to the bot."""

    url: str
    code: str
    expires_at: datetime


def create_from_telegram(
    *, who: TelegramUser, language: str, ip: str, user_agent: str
) -> tuple[SignedIn, bool]:
    """Sign in the account of a Telegram user, made now if there is none; whether it was.

    ``who`` is what Telegram signed (:mod:`kauri.common.telegram`): good for five minutes, once.
    """
    require_fresh(who)
    user = User.objects.filter(telegram_id=who.id).first()
    is_new = user is None
    if user is None:
        user = _born(who, language, ip)
    if not user.is_active:
        raise KauriError("account_disabled")
    if user.is_staff:
        raise KauriError("forbidden", "operators use the back office")
    if not account_ip_allowed(user, ip):
        raise KauriError("ip_not_allowed")
    sign_in_record(
        user=user, email=user.email, door=SignIn.Door.API, succeeded=True, ip=ip, user_agent=user_agent
    )
    return session_begin(user, ip=ip, user_agent=user_agent), is_new


def require_fresh(who: TelegramUser) -> None:
    """``replayed_request`` for what was signed too long ago, or was shown before."""
    age = clock.now() - who.at
    if not -LOGIN_SKEW <= age <= LOGIN_AGE:
        raise KauriError("replayed_request", "signed by Telegram too long ago")
    window = throttle.hit(f"telegram:{who.mark}", 1, int((LOGIN_AGE + LOGIN_SKEW).total_seconds()) * 2)
    if window.exceeded:
        raise KauriError("replayed_request", "this was used already")


@transaction.atomic
def telegram_assign(*, user: User, ip: str) -> DeepLink:
    """A link that ties the account to whoever opens it in Telegram within 15 minutes. An older one ends."""
    user = lock(User.objects.filter(pk=user.pk)).get()
    if user.is_staff:
        raise KauriError("forbidden", "operators ask for it in the back office")
    return link_make(user, user.as_actor(ip))


def link_make(user: User, actor: Actor) -> DeepLink:
    """The link of :func:`telegram_assign` for a locked account; nobody's right to it is asked here.

    Raises ``operation_disabled`` (there is no bot), ``wrong_state`` (tied already).
    """
    bot = settings.KAURI.telegram_bot
    if not bot:
        raise KauriError("operation_disabled", "no Telegram bot is set up here")
    if user.telegram_id is not None:
        raise KauriError("wrong_state", "the account has a Telegram user already: unassign it first")
    now = clock.now()
    TelegramLink.objects.filter(user=user, used_at__isnull=True, expires_at__gt=now).update(expires_at=now)
    code = secrets.token_urlsafe(32)
    link = TelegramLink.objects.create(user=user, code_hash=_hash(code), expires_at=now + LINK_LIFE)
    audit(actor, "telegram_assign", object_type="user", object_id=user.pk, label=user.email)
    return DeepLink(f"https://t.me/{bot}?start={code}", code, link.expires_at)


@transaction.atomic
def telegram_verify(*, code: str, telegram_id: int, username: str, ip: str, is_own_bot: bool = False) -> User:
    """Tie the account that made ``code`` to this Telegram user; the caller has proof of who it is.

    An operator's code is taken by the house's own bot only. Raises ``wrong_code`` (unknown, used or old), ``conflict`` when the Telegram user has another account.
    """
    link = lock(
        TelegramLink.objects.filter(
            code_hash=_hash(code.strip()), used_at__isnull=True, expires_at__gt=clock.now()
        )
    ).first()
    if link is None:
        raise KauriError("wrong_code")
    user = lock(User.objects.filter(pk=link.user_id, is_active=True, telegram_id__isnull=True)).first()
    if user is None or (user.is_staff and not is_own_bot):
        raise KauriError("wrong_code")
    if User.objects.filter(telegram_id=telegram_id).exists():
        raise KauriError("conflict", "this Telegram user has an account already")
    link.used_at = clock.now()
    link.save(update_fields=["used_at"])
    try:
        with transaction.atomic():
            _tie(user, telegram_id, username)
    except IntegrityError:
        raise KauriError("conflict", "this Telegram user is being tied elsewhere: try again") from None
    audit(
        user.as_actor(ip),
        "telegram_verify",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        after={"telegram_id": telegram_id, "telegram_username": username},
    )
    notice(user, "telegram_assigned", ip=ip, who=f"@{username}" if username else str(telegram_id))
    if user.is_staff:
        emit("operator.tied", subject_type="user", subject_id=user.public_id, payload={})
    return user


def telegram_unassign(*, user: User, totp_code: str, ip: str) -> User:
    """Untie the account from Telegram; asks for a one-time code where the account has an authenticator.

    An account that was born in Telegram has no other way in, and keeps it. Raises ``wrong_state``.
    """
    totp_require(user, totp_code)
    with transaction.atomic():
        user = lock(User.objects.filter(pk=user.pk)).get()
        if user.telegram_id is None:
            raise KauriError("wrong_state", "the account has no Telegram user")
        if user.email.endswith(TELEGRAM_DOMAIN):
            raise KauriError("wrong_state", "this account has no other way to sign in")
        number, username = user.telegram_id, user.telegram_username
        user.telegram_id, user.telegram_username = None, ""
        user.save(update_fields=["telegram_id", "telegram_username"])
        audit(
            user.as_actor(ip),
            "telegram_unassign",
            object_type="user",
            object_id=user.pk,
            label=user.email,
            before={"telegram_id": number, "telegram_username": username},
        )
        notice(user, "telegram_unassigned", ip=ip, who=f"@{username}" if username else str(number))
    return user


def _born(who: TelegramUser, language: str, ip: str) -> User:
    """A new account without password and e-mail: Telegram is its way in."""
    if not switch_is_on("registration"):
        raise KauriError("operation_disabled")
    user = User(
        email=f"telegram-{who.id}{TELEGRAM_DOMAIN}",
        username=who.name or who.username,
        language=language,
        webhook_secret=new_webhook_secret(),
        group=CustomerGroup.objects.filter(code="default").first(),
    )
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            _tie(user, who.id, who.username)
            audit(
                user.as_actor(ip),
                "create_from_telegram",
                object_type="user",
                object_id=user.pk,
                label=user.email,
                after={"telegram_id": who.id, "language": language},
            )
    except IntegrityError:  # the same person, or somebody of the same name, at this very moment
        known = User.objects.filter(telegram_id=who.id).first()
        if known is None:
            raise KauriError("conflict", "somebody else is being tied to this name: try again") from None
        return known
    return user


def _tie(user: User, telegram_id: int, username: str) -> None:
    """A Telegram name can change hands: the newest proof of it counts."""
    if username:
        User.objects.filter(telegram_username__iexact=username).update(telegram_username="")
    user.telegram_id, user.telegram_username = telegram_id, username
    user.save(update_fields=["telegram_id", "telegram_username"])


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()

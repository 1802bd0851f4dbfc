"""Reading accounts: who may do what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Subquery

from kauri.account.models import ApiKey, Session, TOTPDevice, User, WhiteIp
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import is_account_number
from kauri.common.scopes import EVERYTHING, Scope, narrow

#: Digits of a bigint that can't overflow one.
_LONGEST_ID: Final = 19


def recipient(addressed_by: str, addressed_to: str) -> User | None:
    """The customer that another names by ``email``, ``number`` or ``telegram`` (id or @name).

    None for nobody, an operator, a disabled account and an unconfirmed e-mail alike: an address that
    nobody has proven to read may be anybody's.
    """
    text = addressed_to.strip()
    people = User.objects.filter(is_staff=False, is_active=True)
    if addressed_by == "email":
        return people.filter(email=text.lower(), email_verified_at__isnull=False).first()
    if addressed_by == "number":
        number = text.replace(" ", "").upper()
        return people.filter(number=number).first() if is_account_number(number) else None
    if text.isdecimal() and text.isascii() and len(text) < _LONGEST_ID:
        return people.filter(telegram_id=int(text)).first()
    name = text.removeprefix("@")
    return people.filter(telegram_username__iexact=name).exclude(telegram_username="").first()


def require_permission(actor: Actor, permission: str) -> User:
    """The operator behind ``actor``; ``forbidden`` unless they are one, active, and may do this."""
    operator = User.objects.filter(pk=int(actor.id)).first() if actor.is_operator else None
    if operator is None or not (operator.is_staff and operator.is_active and operator.has_perm(permission)):
        raise KauriError("forbidden", f"{actor.label} lacks {permission}")
    return operator


def require_scope(actor: Actor, *rows: Model | None) -> None:
    """``not_found`` unless an operator who acts sees each of ``rows``: what is outside is not there for them.

    The same table decides as in lists and on pages; a row that is None is left out.
    """
    scope = scope_of(actor)
    if not scope.is_limited:
        return
    for row in rows:
        if row is not None and not narrow(type(row)._default_manager.filter(pk=row.pk), scope).exists():
            raise KauriError("not_found")


def require_whole(actor: Actor) -> None:
    """``forbidden`` for an operator who is limited in anything: the act is about the whole house."""
    if scope_of(actor).is_limited:
        raise KauriError("forbidden", f"{actor.label} sees a part of the house only")


def scope_of(actor: Actor) -> Scope:
    """What an operator who acts is limited to; everybody else is judged by other laws."""
    operator = User.objects.filter(pk=int(actor.id)).first() if actor.is_operator else None
    return EVERYTHING if operator is None else operator.scope


def account_ip_allowed(user: User, ip: str) -> bool:
    """Whether the account may be used from ``ip``: it names no addresses, or this one too. One query."""
    return User.objects.filter(_ip_allowed("pk", ip), pk=user.pk).exists()


def has_second_factor(user: User) -> bool:
    """Whether the account is guarded by an authenticator."""
    return _authenticators(user).exists()


def with_second_factor(people: QuerySet[User]) -> QuerySet[User]:
    """The same people, each with ``has_factor``: whether the account is guarded by an authenticator."""
    return people.annotate(has_factor=Exists(_authenticators(OuterRef("pk"))))


def _authenticators(user: User | OuterRef) -> QuerySet[TOTPDevice]:
    return TOTPDevice.objects.filter(user=user, confirmed=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """The session behind a token, with its user, and what else the door asks about the account."""

    session: Session
    otp_device_id: str | None
    ip_allowed: bool


def session_named(session_id: uuid.UUID, user_id: int, ip: str) -> Caller | None:
    """A session that lives, and what its account asks of the caller at ``ip``. One query.

    None when it has ended, or began before the account's sessions were last ended.
    """
    factor = TOTPDevice.objects.filter(user=OuterRef("user"), confirmed=True).values("public_id")[:1]
    session = (
        Session.objects.select_related("user")
        .annotate(factor=Subquery(factor), ip_allowed=_ip_allowed("user", ip))
        .filter(public_id=session_id, user=user_id, ended_at__isnull=True)
        .first()
    )
    if session is None or session.epoch != session.user.token_epoch:
        return None
    return Caller(session, None if session.factor is None else str(session.factor), session.ip_allowed)


def key_named(text: str, ip: str) -> tuple[ApiKey, bool, bool] | None:
    """A key with its user; whether its account may be used from ``ip``, and whether it lists addresses. One query."""
    listed = WhiteIp.objects.filter(user=OuterRef("user"), confirmed_at__isnull=False)
    key = (
        ApiKey.objects.select_related("user")
        .annotate(ip_allowed=_ip_allowed("user", ip), lists_ips=Exists(listed))
        .filter(key=text)
        .first()
    )
    return None if key is None else (key, key.ip_allowed, key.lists_ips)


def cooling_until(user: User) -> datetime | None:
    """Until when what leaves the account is looked at by people; None when nothing was changed lately."""
    if user.security_changed_at is None:
        return None
    until = user.security_changed_at + timedelta(hours=settings.KAURI.cooling_off_hours)
    return until if until > clock.now() else None


def _ip_allowed(user: str, ip: str) -> Q:
    """As a condition on rows whose ``user`` column names the account."""
    listed = WhiteIp.objects.filter(user=OuterRef(user), confirmed_at__isnull=False)
    return ~Q(Exists(listed)) | Q(Exists(listed.filter(ip=ip or None)))

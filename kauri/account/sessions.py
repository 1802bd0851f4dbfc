"""Signing in, and the sessions that follow: refreshed by rotation, ended by their owner or for them."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import QuerySet

from kauri.account import tokens
from kauri.account.models import RefreshToken, Session, SignIn, TOTPDevice, User
from kauri.account.selectors import account_ip_allowed, require_permission, require_scope
from kauri.account.services import notice, sessions_end
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit

THROTTLE_WINDOW: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session's new pair: the access token, and the refresh token that is good for one next pair."""

    user: User
    session: Session
    token: str
    refresh: str


def obtain_token(*, email: str, password: str, ip: str, user_agent: str) -> SignedIn:
    """Sign in; begins a session that has not passed the second factor.

    Wrong e-mail and wrong password are one answer, in the same time. ``rate_limited`` after too
    many failures of one account or address in 15 minutes. A right password on an unknown device or
    from an unknown address is told to the owner, even if the account lets nobody in from there.
    """
    email = email.strip().lower()
    throttle_sign_in(email=email, ip=ip, door=SignIn.Door.API)
    user = User.objects.filter(email=email).first()
    if user is None:
        make_password(password)  # the same work as checking one
    good = user is not None and user.check_password(password)
    if user is None or not good:
        sign_in_record(
            user=user, email=email, door=SignIn.Door.API, succeeded=False, ip=ip, user_agent=user_agent
        )
        raise KauriError("invalid_credentials")
    with transaction.atomic():
        is_new = _is_new_place(user, ip, user_agent)
        sign_in_record(
            user=user, email=email, door=SignIn.Door.API, succeeded=True, ip=ip, user_agent=user_agent
        )
        if is_new and user.is_active and not user.is_staff and user.email_verified_at is not None:
            device = " ".join(user_agent.split())[:120]
            notice(user, "new_sign_in", ip=ip, device=device or "–")
    if not user.is_active:
        raise KauriError("account_disabled")
    if user.is_staff:
        raise KauriError("forbidden", "operators use the back office")
    if user.email_verified_at is None:
        raise KauriError("email_not_verified")
    if not account_ip_allowed(user, ip):
        raise KauriError("ip_not_allowed")
    return session_begin(user, ip=ip, user_agent=user_agent)


@transaction.atomic
def session_begin(user: User, *, ip: str, user_agent: str) -> SignedIn:
    """A new session of somebody who has proven who they are, with its first pair."""
    now = clock.now()
    session = Session.objects.create(
        user=user,
        epoch=user.token_epoch,
        ip=ip or None,
        user_agent=user_agent[:300],
        started_at=now,
        seen_at=now,
    )
    return _next_pair(session, user)


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


def refresh_token(*, refresh: str, token: str, ip: str) -> SignedIn:
    """The next pair of a session, for its refresh token or, from old clients, its newest access token.

    Each of the two is good for one next pair, once. Used again, somebody has a copy: the whole
    session ends and its owner is told. ``unauthenticated`` for whatever is no good.
    """
    if refresh:
        named = RefreshToken.objects.filter(token_hash=_hash(refresh))
    else:
        named = RefreshToken.objects.filter(jti=tokens.read(token).jti)
    found = named.values_list("pk", "session").first()
    if found is None:
        raise KauriError("unauthenticated")
    with transaction.atomic():
        session = lock(Session.objects.select_related("user", "second_factor").filter(pk=found[1])).get()
        given = RefreshToken.objects.get(pk=found[0])
        user = session.user
        if session.ended_at is not None or session.epoch != user.token_epoch:
            refused = "unauthenticated"
        elif given.used_at is not None:
            refused = "unauthenticated"
            _end(session, Session.End.REUSED)
            audit(
                user.as_actor(ip),
                "session_reuse",
                object_type="session",
                object_id=session.public_id,
                label=user.email,
            )
            notice(user, "session_reused", ip=ip)
        elif _is_over(session):
            refused = "unauthenticated"
            _end(session, Session.End.EXPIRED)
        elif not account_ip_allowed(user, ip):
            refused = "ip_not_allowed"
        else:
            return next_pair(session, user)
    raise KauriError(refused)


def next_pair(session: Session, user: User) -> SignedIn:
    """Use up the session's pair and make the next; the caller holds the session's row."""
    now = clock.now()
    RefreshToken.objects.filter(session=session, used_at__isnull=True).update(used_at=now)
    session.seen_at = now
    session.save(update_fields=["seen_at"])
    return _next_pair(session, user)


def session_passed(session_id: int, device: TOTPDevice) -> SignedIn:
    """The session's next pair, with the second factor passed; in the caller's transaction.

    Raises ``unauthenticated`` when the session has ended meanwhile.
    """
    session = lock(Session.objects.select_related("user").filter(pk=session_id)).get()
    if session.ended_at is not None or session.epoch != session.user.token_epoch:
        raise KauriError("unauthenticated")
    session.second_factor = device
    session.save(update_fields=["second_factor"])
    return next_pair(session, session.user)


@transaction.atomic
def session_end(*, user: User, session_id: uuid.UUID, ip: str) -> Session:
    """A customer ends a session of theirs; a second time changes nothing."""
    session = lock(Session.objects.filter(public_id=session_id, user=user)).first()
    if session is None:
        raise KauriError("not_found")
    if session.ended_at is None:
        _end(session, Session.End.SIGNED_OUT)
        audit(
            user.as_actor(ip),
            "session_end",
            object_type="session",
            object_id=session.public_id,
            label=user.email,
        )
    return session


@transaction.atomic
def account_sign_out(*, user_id: int, reason: str, actor: Actor) -> int:
    """An operator ends all sessions of a customer; returns how many lived."""
    require_permission(actor, "account.secure_user")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    user = lock(User.objects.filter(pk=user_id, is_staff=False)).first()
    if user is None:
        raise KauriError("not_found")
    require_scope(actor, user)
    ended = sessions_end(user, Session.End.OPERATOR)
    audit(
        actor,
        "account_sign_out",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        after={"sessions": ended},
        reason=reason.strip(),
    )
    return ended


def living_sessions(user: User) -> QuerySet[Session]:
    """The sessions that the customer could go on with, newest first."""
    since = clock.now() - timedelta(hours=settings.KAURI.refresh_idle_hours)
    return user.sessions.filter(ended_at__isnull=True, epoch=user.token_epoch, seen_at__gt=since)


def refresh_tokens_forget() -> int:
    """Delete the tokens of sessions that ended or can't be refreshed any more; the sessions stay."""
    oldest = clock.now() - timedelta(days=settings.KAURI.refresh_life_days + 1)
    ended, _ = RefreshToken.objects.filter(session__ended_at__isnull=False).delete()
    old, _ = RefreshToken.objects.filter(session__started_at__lt=oldest).delete()
    return ended + old


def _next_pair(session: Session, user: User) -> SignedIn:
    refresh, jti = secrets.token_urlsafe(32), uuid.uuid4().hex
    RefreshToken.objects.create(session=session, token_hash=_hash(refresh), jti=jti)
    return SignedIn(user, session, tokens.issue(user, session, jti), refresh)


def _end(session: Session, why: Session.End) -> None:
    session.ended_at, session.end_reason = clock.now(), why
    session.save(update_fields=["ended_at", "end_reason"])


def _is_over(session: Session) -> bool:
    now, limits = clock.now(), settings.KAURI
    idle = now - session.seen_at > timedelta(hours=limits.refresh_idle_hours)
    return idle or now - session.started_at > timedelta(days=limits.refresh_life_days)


def _is_new_place(user: User, ip: str, user_agent: str) -> bool:
    """Whether the account was used before, but never from this address or never on this device."""
    before = SignIn.objects.filter(user=user, succeeded=True, door=SignIn.Door.API)
    if not before.exists():
        return False
    known_ip = before.filter(ip=ip or None).exists()
    return not known_ip or not before.filter(user_agent=user_agent[:300]).exists()


def _hash(secret: str) -> str:
    """Of 256 random bits: nobody guesses those, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()

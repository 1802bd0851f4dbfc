"""Addresses that an account may be used from. Both ways are confirmed: a thief must not open or lock the door."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Final

from django.db import transaction

from kauri.account.codes import code_make, code_use
from kauri.account.models import User, WhiteIp
from kauri.account.second_factor import totp_require
from kauri.account.selectors import has_second_factor, require_permission, require_scope
from kauri.account.services import letter, notice
from kauri.common import clock, throttle
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit

MAX_ADDRESSES: Final = 50
CODE_LIFE: Final = timedelta(minutes=15)
LETTERS: Final = 5
LETTERS_SECONDS: Final = 3600
ADD: Final = "white_ip_add"
DELETE: Final = "white_ip_delete"


def white_ip_create(*, user: User, address: str, totp_code: str, code: str, ip: str) -> WhiteIp:
    """Allow an address. With an authenticator its code confirms; without one, a letter's.

    The first call without ``code`` sends the letter and leaves the address pending; a second one with
    it confirms. Raises ``validation_error``, ``limit_exceeded``, ``wrong_code``, ``rate_limited`` and
    the one-time code's refusals.
    """
    wanted = _parsed(address)
    totp_require(user, totp_code)
    with transaction.atomic():
        lock(User.objects.filter(pk=user.pk)).get()
        row = WhiteIp.objects.filter(user=user, ip=wanted).first()
        if row is not None and row.confirmed_at is not None:
            return row
        if row is None:
            if WhiteIp.objects.filter(user=user).count() >= MAX_ADDRESSES:
                raise KauriError("limit_exceeded", f"at most {MAX_ADDRESSES} addresses")
            row = WhiteIp.objects.create(user=user, ip=wanted)
        confirmed = _confirmed(user, row, ADD, code)
        if confirmed:
            row.confirmed_at = clock.now()
            row.save(update_fields=["confirmed_at"])
            _audited(user, "white_ip_create", row, ip)
            notice(user, "white_ip_changed", ip=ip, address=wanted)
    if not confirmed and code:
        raise KauriError("wrong_code")
    return row


def white_ip_delete(*, user: User, address: str, totp_code: str, code: str, ip: str) -> bool:
    """Take an address off the list, confirmed like :func:`white_ip_create`; whether it is gone now.

    ``not_found`` when the list does not have it. With the last one gone the account is used from
    anywhere.
    """
    wanted = _parsed(address)
    if not WhiteIp.objects.filter(user=user, ip=wanted).exists():
        raise KauriError("not_found")
    totp_require(user, totp_code)
    with transaction.atomic():
        lock(User.objects.filter(pk=user.pk)).get()
        row = WhiteIp.objects.filter(user=user, ip=wanted).first()
        if row is None:
            return True
        # What was never confirmed allows nothing: no code is needed to forget it.
        confirmed = row.confirmed_at is None or _confirmed(user, row, DELETE, code)
        if confirmed:
            row.delete()
            _audited(user, "white_ip_delete", row, ip)
            notice(user, "white_ip_changed", ip=ip, address=wanted)
    if not confirmed and code:
        raise KauriError("wrong_code")
    return confirmed


@transaction.atomic
def white_ips_lift(*, user_id: int, reason: str, actor: Actor) -> int:
    """An operator empties the list of a customer who locked themselves out; returns how many there were."""
    require_permission(actor, "account.secure_user")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    user = lock(User.objects.filter(pk=user_id, is_staff=False)).first()
    if user is None:
        raise KauriError("not_found")
    require_scope(actor, user)
    rows = WhiteIp.objects.filter(user=user)
    addresses = sorted(row.ip for row in rows)
    rows.delete()
    audit(
        actor,
        "white_ips_lift",
        object_type="user",
        object_id=user.pk,
        label=user.email,
        before={"addresses": addresses},
        reason=reason.strip(),
    )
    notice(user, "white_ip_changed", ip="–", address=", ".join(addresses))
    return len(addresses)


def _parsed(address: str) -> str:
    try:
        return str(ip_address(address.strip()))
    except ValueError:
        raise KauriError("validation_error", fields={"ip": "not an address"}) from None


def _confirmed(user: User, row: WhiteIp, purpose: str, code: str) -> bool:
    """Whether the change of ``row`` is confirmed. Without a code a letter with one goes out.

    A wrong code costs one of five tries, also when the answer is lost.
    """
    if has_second_factor(user):
        return True  # its code was asked for at the door
    if code:
        return code_use(user, purpose, row.public_id, code)
    if throttle.hit(f"white_ip:{user.pk}", LETTERS, LETTERS_SECONDS).exceeded:
        raise KauriError("rate_limited")
    made = code_make(user, purpose, row.public_id, clock.now() + CODE_LIFE)
    letter(user, "white_ip_code", {"code": made, "address": str(row.ip)})
    return False


def _audited(user: User, verb: str, row: WhiteIp, ip: str) -> None:
    audit(
        user.as_actor(ip),
        verb,
        object_type="user",
        object_id=user.pk,
        label=user.email,
        after={"address": str(row.ip)},
    )

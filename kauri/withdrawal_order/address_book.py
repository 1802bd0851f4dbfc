"""A customer's saved destinations, and the switch "only to saved addresses": each change is proven, and told."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from kauri.account.codes import code_make, code_use
from kauri.account.models import User
from kauri.account.second_factor import totp_require
from kauri.account.selectors import has_second_factor
from kauri.account.services import reached_by, secure_letter
from kauri.common import clock, throttle
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.withdrawal_order import destinations
from kauri.withdrawal_order.known import saved_destinations, whitelist
from kauri.withdrawal_order.models import SavedDestination, WhitelistChange
from kauri.withdrawal_order.steps import shortened

MAX_SAVED: Final = 200
CODE_LIFE: Final = timedelta(minutes=15)
LETTERS: Final = 5
LETTERS_SECONDS: Final = 3600
SAVE: Final = "saved_destination"
ON: Final = "whitelist_on"
OFF: Final = "whitelist_off"


@dataclass(frozen=True, slots=True)
class Whitelist:
    """The switch as it stands. ``asked``: a letter with a code is on its way, and nothing was turned yet."""

    is_on: bool
    off_from: datetime | None
    asked: bool = False


def destination_save(
    *,
    user_id: int,
    currency_code: str,
    network: str,
    address: str,
    label: str,
    totp_code: str,
    actor: Actor,
) -> SavedDestination:
    """Keep a destination. An authenticator's code confirms at once; without one a letter with a code goes out.

    One that is kept already is given back; one that waits for its code gets another letter. Raises
    ``validation_error``, ``invalid_destination``, ``operation_disabled``, ``provider_unavailable``,
    ``limit_exceeded``, ``rate_limited``, ``confirmation_unavailable`` and the one-time code's refusals.
    """
    currency = Currency.objects.filter(code=currency_code).first()
    if currency is None:
        raise KauriError("validation_error", fields={"currency": "unknown currency"})
    kept = destinations.kept(currency, network, address, user_id)
    totp_require(User.objects.get(pk=user_id), totp_code)
    with transaction.atomic():
        user = lock(User.objects.filter(pk=user_id)).get()
        book = saved_destinations(user_id)
        row = book.filter(currency=currency, network=kept.network, destination=kept.text).first()
        if row is not None and row.confirmed_at is not None:
            return row
        if row is None:
            if book.count() >= MAX_SAVED:
                raise KauriError("limit_exceeded", f"at most {MAX_SAVED} addresses")
            row = SavedDestination.objects.create(
                customer=user,
                currency=currency,
                network=kept.network,
                destination=kept.text,
                label=label,
            )
        if has_second_factor(user):
            _confirmed(row, user, actor)
        else:
            _send_code(user, SAVE, row.public_id, {**_named(row), "change": "added"}, actor)
    return row


def destination_confirm(*, user_id: int, saved_id: uuid.UUID, code: str, actor: Actor) -> SavedDestination:
    """Confirm a saved destination with the code of its letter. One that is confirmed stays as it is.

    Not to be called inside a transaction: a wrong code is counted though it is refused. Raises
    ``not_found``, ``wrong_code``.
    """
    with transaction.atomic():
        user = lock(User.objects.filter(pk=user_id)).get()
        row = saved_destinations(user_id).filter(public_id=saved_id).first()
        if row is None:
            raise KauriError("not_found")
        if row.confirmed_at is not None:
            return row
        good = code_use(user, SAVE, row.public_id, code)
        if good:
            _confirmed(row, user, actor)
    if not good:
        raise KauriError("wrong_code")
    return row


@transaction.atomic
def destination_remove(*, user_id: int, saved_id: uuid.UUID, actor: Actor) -> SavedDestination:
    """Forget a saved destination: saved again, it waits its cooling-off again. Removed, it stays so. ``not_found``."""
    user = lock(User.objects.filter(pk=user_id)).get()
    row = SavedDestination.objects.filter(customer=user, public_id=saved_id).first()
    if row is None:
        raise KauriError("not_found")
    if row.removed_at is not None:
        return row
    row.removed_at = clock.now()
    row.save(update_fields=["removed_at"])
    _audited(actor, "saved_destination_remove", user, row.destination)
    if row.confirmed_at is not None:
        secure_letter(
            user, "address_book_changed", {**_named(row), "change": "removed", "ip": actor.ip or "–"}
        )
    return row


def whitelist_set(*, user_id: int, is_on: bool, totp_code: str, code: str, actor: Actor) -> Whitelist:
    """Turn "only to saved addresses": on at once, off a cooling-off later. What stands already stays.

    Confirmed like :func:`destination_save`: without an authenticator the first call sends a letter, a second
    one with its ``code`` turns the switch. Not to be called inside a transaction. Raises ``wrong_code``,
    ``rate_limited``, ``confirmation_unavailable`` and the one-time code's refusals.
    """
    if _stands(whitelist(user_id, clock.now()), is_on=is_on):
        return whitelist_of(user_id)
    totp_require(User.objects.get(pk=user_id), totp_code)
    with transaction.atomic():
        user = lock(User.objects.filter(pk=user_id)).get()
        if _stands(whitelist(user_id, clock.now()), is_on=is_on):
            return whitelist_of(user_id)
        purpose, change = (ON, "on") if is_on else (OFF, "off")
        good = has_second_factor(user) or bool(code and code_use(user, purpose, user.public_id, code))
        if good:
            _turned(user, is_on=is_on, change=change, actor=actor)
        elif not code:
            _send_code(user, purpose, user.public_id, {"change": change}, actor)
    if not good and code:
        raise KauriError("wrong_code")
    now = whitelist_of(user_id)
    return now if good else Whitelist(now.is_on, now.off_from, asked=True)


def whitelist_of(user_id: int) -> Whitelist:
    """The switch as it stands now."""
    return Whitelist(*whitelist(user_id, clock.now()))


def _stands(state: tuple[bool, datetime | None], *, is_on: bool) -> bool:
    """Whether the switch is there, or on its way there, already."""
    on_now, off_from = state
    return (on_now and off_from is None) if is_on else (not on_now or off_from is not None)


def _turned(user: User, *, is_on: bool, change: str, actor: Actor) -> None:
    now = clock.now()
    row = WhitelistChange(customer=user, is_on=is_on, at=now, effective_from=now if is_on else _cooled(now))
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)
    _audited(actor, f"whitelist_{change}", user, f"{row.effective_from:%Y-%m-%d %H:%M} UTC")
    secure_letter(
        user,
        "address_book_changed",
        {"change": change, "from": f"{row.effective_from:%Y-%m-%d %H:%M} UTC", "ip": actor.ip or "–"},
    )


def _confirmed(row: SavedDestination, user: User, actor: Actor) -> None:
    row.confirmed_at = clock.now()
    row.usable_from = _cooled(row.confirmed_at)
    row.save(update_fields=["confirmed_at", "usable_from"])
    _audited(actor, "saved_destination_confirm", user, row.destination)
    told = {**_named(row), "change": "added", "from": f"{row.usable_from:%Y-%m-%d %H:%M} UTC"}
    secure_letter(user, "address_book_changed", {**told, "ip": actor.ip or "–"})


def _cooled(moment: datetime) -> datetime:
    return moment + timedelta(hours=settings.KAURI.address_cooling_hours)


def _send_code(user: User, purpose: str, subject_id: uuid.UUID, params: dict[str, str], actor: Actor) -> None:
    if not reached_by(user):
        raise KauriError("confirmation_unavailable")
    if throttle.hit(f"address_book:{user.pk}", LETTERS, LETTERS_SECONDS).exceeded:
        raise KauriError("rate_limited")
    made = code_make(user, purpose, subject_id, clock.now() + CODE_LIFE)
    secure_letter(user, "address_book_code", {**params, "code": made, "ip": actor.ip or "–"})


def _named(row: SavedDestination) -> dict[str, str]:
    return {"currency": row.currency.code, "destination": shortened(row.destination)}


def _audited(actor: Actor, verb: str, user: User, what: str) -> None:
    audit(
        actor,
        verb,
        object_type="user",
        object_id=user.pk,
        label=user.email,
        after={"what": what},
    )

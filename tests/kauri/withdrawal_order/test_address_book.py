"""The address book: proven before it counts, cooled before it is paid, and what the switch keeps in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, IntegrityError, transaction

from kauri.account.models import User
from kauri.common import clock
from kauri.core.models import AuditEntry, Currency
from kauri.order_core.models import Approval, Order
from kauri.withdrawal_order import address_book
from kauri.withdrawal_order.address_book import Whitelist
from kauri.withdrawal_order.models import ReviewRule, SavedDestination, WhitelistChange
from tests.api.account_moves import phone, with_factor
from tests.kauri.withdrawal_order.conftest import ask, code_sent, rules_of, status
from tests.moves import as_owner, balance_of, code_of

HERE = "sandbox:success"


def save(user: User, address: str = HERE, **fields: Any) -> SavedDestination:
    values = {"currency_code": "UAH", "network": "", "label": "till", "totp_code": "", **fields}
    return address_book.destination_save(
        user_id=user.pk, address=address, actor=user.as_actor("203.0.113.7"), **values
    )


def confirm(user: User, row: SavedDestination, code: str) -> SavedDestination:
    return address_book.destination_confirm(
        user_id=user.pk, saved_id=row.public_id, code=code, actor=user.as_actor()
    )


def turn(user: User, is_on: bool, code: str = "", totp_code: str = "") -> Whitelist:
    return address_book.whitelist_set(
        user_id=user.pk, is_on=is_on, totp_code=totp_code, code=code, actor=user.as_actor()
    )


def wait(monkeypatch: pytest.MonkeyPatch, **time: float) -> None:
    now = clock.now() + timedelta(**time)
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.fixture
def saved(user: User) -> Callable[..., SavedDestination]:
    """A destination that was confirmed so many hours ago."""

    def make(address: str = HERE, hours: int = 25) -> SavedDestination:
        then = clock.now() - timedelta(hours=hours)
        return SavedDestination.objects.create(
            customer=user,
            currency=Currency.objects.get(code="UAH"),
            destination=address,
            confirmed_at=then,
            usable_from=then + timedelta(hours=24),
        )

    return make


@pytest.fixture
def only(user: User) -> User:
    """A customer who is paid at saved addresses only."""
    now = clock.now()
    row = WhitelistChange(customer=user, is_on=True, at=now, effective_from=now)
    row.stamp(user.as_actor(), "")
    row.save()
    return user


def test_a_letters_code_confirms_and_the_cooling_off_begins(user: User, drain: Callable[..., int]) -> None:
    row = save(user, " SANDBOX:Success ")
    assert (row.destination, row.confirmed_at, row.usable_from) == (HERE, None, None)
    drain()
    [letter] = mail.outbox
    for said in ("UAH", "sandbo…uccess", "203.0.113.7", "/freeze/"):
        assert said in letter.body
    code = code_sent()
    for _ in range(2):
        assert code_of(lambda: confirm(user, row, "00000000")) == "wrong_code"
    before = clock.now()
    row = confirm(user, row, code)
    assert row.confirmed_at is not None
    assert row.usable_from == row.confirmed_at + timedelta(hours=24)
    assert row.confirmed_at >= before
    assert confirm(user, row, "anything") == row, "confirmed is confirmed"
    drain()
    assert "was saved; it is payable from" in mail.outbox[-1].body
    assert AuditEntry.objects.filter(verb="saved_destination_confirm").count() == 1


def test_five_wrong_codes_and_the_right_one_is_worth_nothing(user: User, drain: Callable[..., int]) -> None:
    row = save(user)
    drain()
    code = code_sent()
    for _ in range(5):
        assert code_of(lambda: confirm(user, row, "00000000")) == "wrong_code"
    assert code_of(lambda: confirm(user, row, code)) == "wrong_code"
    assert save(user) == row, "asked again: the same row, another letter"
    drain()
    assert code_of(lambda: confirm(user, row, code_sent())) == "ok"
    assert SavedDestination.objects.count() == 1


def test_an_authenticator_confirms_at_once(user: User) -> None:
    device = with_factor(user)
    assert code_of(lambda: save(user)) == "totp_required"
    assert code_of(lambda: save(user, totp_code="000000")) == "totp_invalid"
    assert SavedDestination.objects.count() == 0
    device.throttle_reset()
    row = save(user, totp_code=phone(device.secret))
    assert row.confirmed_at is not None
    assert save(user, totp_code=phone(device.secret, 1)) == row


def test_who_can_not_be_written_to_has_no_address_book(user: User) -> None:
    User.objects.filter(pk=user.pk).update(email="telegram-7@telegram.invalid")
    assert code_of(lambda: save(user)) == "confirmation_unavailable"
    assert code_of(lambda: turn(user, True)) == "confirmation_unavailable"
    assert (SavedDestination.objects.count(), WhitelistChange.objects.count()) == (0, 0)


def test_what_is_no_destination_is_not_saved(user: User) -> None:
    assert code_of(lambda: save(user, "nonsense")) == "invalid_destination"
    assert code_of(lambda: save(user, currency_code="NONE")) == "validation_error"
    assert SavedDestination.objects.count() == 0


def test_removed_is_forgotten_and_saved_again_begins_anew(
    user: User, saved: Callable[..., SavedDestination], drain: Callable[..., int]
) -> None:
    row = saved()
    for _ in range(2):
        address_book.destination_remove(user_id=user.pk, saved_id=row.public_id, actor=user.as_actor())
    drain()
    assert "was removed" in mail.outbox[-1].body
    assert len(mail.outbox) == 1
    again = save(user)
    assert again.pk != row.pk
    assert again.confirmed_at is None


def test_the_switch_pays_saved_addresses_only(
    only: User, saved: Callable[..., SavedDestination], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(lambda: ask(only)) == "destination_not_allowed"
    fresh = saved(hours=23)
    assert code_of(lambda: ask(only)) == "destination_not_allowed", "its cooling-off is not over"
    pending = save(only, "sandbox:fail")
    assert pending.confirmed_at is None
    assert code_of(lambda: ask(only, to="sandbox:fail")) == "destination_not_allowed"
    assert (Order.objects.count(), balance_of(only, "UAH")) == (0, (Decimal(1000), Decimal(0)))
    wait(monkeypatch, hours=1, seconds=1)
    assert status(ask(only)) == "PAYMENT_IN_PROGRESS"
    address_book.destination_remove(user_id=only.pk, saved_id=fresh.public_id, actor=only.as_actor())
    assert code_of(lambda: ask(only)) == "destination_not_allowed"


def test_somebody_elses_book_and_another_currency_do_not_count(
    only: User, customer: Callable[..., User]
) -> None:
    then = clock.now() - timedelta(days=9)
    for who, code in ((customer(), "UAH"), (only, "USD")):
        SavedDestination.objects.create(
            customer=who,
            currency=Currency.objects.get(code=code),
            destination=HERE,
            confirmed_at=then,
            usable_from=then,
        )
    assert code_of(lambda: ask(only)) == "destination_not_allowed"


def test_on_at_once_and_off_a_cooling_off_later(
    user: User, drain: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert turn(user, False) == Whitelist(False, None), "it is off: nothing to turn"
    assert turn(user, True) == Whitelist(False, None, asked=True)
    assert status(ask(user)) == "PAYMENT_IN_PROGRESS"
    drain()
    assert code_of(lambda: turn(user, True, "00000000")) == "wrong_code"
    assert turn(user, True, code_sent()) == Whitelist(True, None)
    assert code_of(lambda: ask(user)) == "destination_not_allowed"
    assert turn(user, False) == Whitelist(True, None, asked=True)
    drain()
    off = turn(user, False, code_sent())
    assert off.is_on
    assert off.off_from == WhitelistChange.objects.latest("id").effective_from
    assert turn(user, False) == off, "on its way already"
    assert code_of(lambda: ask(user)) == "destination_not_allowed"
    wait(monkeypatch, hours=24, seconds=1)
    assert address_book.whitelist_of(user.pk) == Whitelist(False, None)
    assert status(ask(user)) == "PAYMENT_IN_PROGRESS"
    assert [row.is_on for row in WhitelistChange.objects.all()] == [True, False]
    assert AuditEntry.objects.filter(verb__in=["whitelist_on", "whitelist_off"]).count() == 2


def test_a_code_to_turn_it_on_turns_nothing_off(only: User, user: User, drain: Callable[..., int]) -> None:
    turn(only, False)
    drain()
    code = code_sent()
    row = save(only)
    assert code_of(lambda: confirm(only, row, code)) == "wrong_code"
    assert code_of(lambda: turn(only, False, code)) == "ok"


def test_turned_on_again_it_does_not_end(only: User, monkeypatch: pytest.MonkeyPatch) -> None:
    device = with_factor(only)
    turn(only, False, totp_code=phone(device.secret))
    assert address_book.whitelist_of(only.pk).off_from is not None
    assert turn(only, True, totp_code=phone(device.secret, 1)) == Whitelist(True, None)
    wait(monkeypatch, hours=30)
    assert address_book.whitelist_of(only.pk) == Whitelist(True, None)


def test_a_saved_destination_is_not_new(user: User, saved: Callable[..., SavedDestination]) -> None:
    ReviewRule.objects.update(is_enabled=True)
    saved("sandbox:fail", hours=23)
    assert rules_of(ask(user, to="sandbox:fail")) == ["new_destination"]
    saved()
    assert status(ask(user)) == "PAYMENT_IN_PROGRESS"
    assert Approval.objects.count() == 1


def test_the_database_keeps_what_was_confirmed(only: User, saved: Callable[..., SavedDestination]) -> None:
    row = saved()
    others = {
        "destination": "sandbox:fail",
        "usable_from": clock.now() - timedelta(days=9),
        "confirmed_at": None,
        "customer": None,
    }
    for name, value in others.items():
        with pytest.raises(DatabaseError), transaction.atomic():
            SavedDestination.objects.filter(pk=row.pk).update(**{name: value})
    with pytest.raises(IntegrityError, match="saved_destination_once"), transaction.atomic():
        saved()
    for values in (
        {"usable_from": clock.now()},
        {"confirmed_at": clock.now()},
        {"confirmed_at": clock.now(), "usable_from": clock.now() - timedelta(1)},
    ):
        with pytest.raises(IntegrityError, match="saved_destination_confirmed"), transaction.atomic():
            SavedDestination.objects.create(
                customer=only, currency=row.currency, destination="sandbox:lost", **values
            )
    SavedDestination.objects.filter(pk=row.pk).update(removed_at=clock.now())
    with pytest.raises(DatabaseError, match="keeps what was confirmed"), transaction.atomic():
        SavedDestination.objects.filter(pk=row.pk).update(removed_at=None)


def test_the_switchs_history_is_written_once(only: User) -> None:
    now = clock.now()
    for is_on, effective in ((True, now + timedelta(1)), (False, now - timedelta(1))):
        with pytest.raises(IntegrityError, match="whitelist_change_on_at_once"), transaction.atomic():
            row = WhitelistChange(customer=only, is_on=is_on, at=now, effective_from=effective)
            row.stamp(only.as_actor(), "")
            row.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        WhitelistChange.objects.update(is_on=False)
    for statement in (
        "update withdrawal_order_whitelistchange set is_on = false",
        "delete from withdrawal_order_whitelistchange",
    ):
        with pytest.raises(DatabaseError, match="append"), transaction.atomic(), as_owner() as cursor:
            cursor.execute(statement)
    assert WhitelistChange.objects.get().is_on

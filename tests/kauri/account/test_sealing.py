"""Authenticators of installations from before: moved, sealed, and gone from where they lay in clear."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection, transaction
from django_otp.oath import totp

from kauri.account.models import TOTPDevice, User
from kauri.common import clock
from tests.moves import as_owner

KEY = "3132333435363738393031323334353637383930"
OLD_TABLE = (
    "create table otp_totp_totpdevice (id serial primary key, user_id bigint, name text, confirmed boolean,"
    " key varchar(80), last_t bigint)"
)


class Editor:
    """What the migration needs of a schema editor, within the test's transaction."""

    connection = connection


@pytest.mark.django_db
def test_the_newest_confirmed_one_moves_and_the_table_goes(customer: Callable[..., User]) -> None:
    first, second, none = customer(), customer(), customer()
    seal = import_module("kauri.account.migrations.0004_authenticators_sealed").seal
    with transaction.atomic(), as_owner() as cursor:
        cursor.execute(OLD_TABLE)
        cursor.executemany(
            "insert into otp_totp_totpdevice (user_id, name, confirmed, key, last_t) values (%s, %s, %s, %s, %s)",
            [
                (first.pk, "old", True, "00" * 20, 1),
                (first.pk, "phone", True, KEY, 7),
                (second.pk, "tablet", True, "11" * 20, -1),
                (none.pk, "unproven", False, "22" * 20, -1),
            ],
        )
        seal(apps, Editor)
        seal(apps, Editor)  # nothing is left to do
        cursor.execute("select to_regclass('otp_totp_totpdevice') is null")
        assert cursor.fetchone()[0]
        cursor.execute("select user_id, key from account_totpdevice")
        stored = dict(cursor.fetchall())
    assert set(stored) == {first.pk, second.pk}
    assert all(value.startswith("gAAAA") for value in stored.values())
    device = TOTPDevice.objects.get(user=first)
    assert (device.name, device.key, device.last_t, device.confirmed) == ("phone", KEY, 7, True)
    assert device.verify_token(f"{totp(bytes.fromhex(KEY), t0=0):06d}")
    assert TOTPDevice.objects.get(user=first).last_t > clock.now().timestamp() // 30 - 2

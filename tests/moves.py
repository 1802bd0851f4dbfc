"""Small moves that tests of money share: giving, asking, running what is due, reading the books."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django_otp.oath import totp
from django_q.models import OrmQ

from kauri.account.models import TOTPDevice, User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.models import Transfer
from kauri.balance.selectors import customer_balances
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.core.models import Currency, OutboxEvent, Provider
from kauri.deposit_order.addresses import deposit_address
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.services import WithdrawalRequest, withdrawal_approve, withdrawal_create

DESTINATION = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
SANDBOX_SECRET = "sandbox-callback-secret"


class Crash(Exception):
    """What a killed process looks like to the code that was running."""


class Killed(BaseException):
    """Like Crash, but past every handler: what kill -9 leaves of a worker."""


@contextmanager
def as_owner() -> Iterator[CursorWrapper]:
    """A cursor with the rights of the schema's owner, whom nothing but the triggers stops."""
    back = f"set role {settings.KAURI.database_role}"
    with connection.cursor() as cursor:
        cursor.execute("set role none")
        try:
            yield cursor
        except BaseException:
            # Inside a transaction the rollback that follows puts the role back.
            if not connection.in_atomic_block:
                cursor.execute(back)
            raise
        cursor.execute(back)


def give(user: User, code: str, amount: str) -> None:
    """Money from nowhere, honestly booked against the house's capital."""
    currency = Currency.objects.get(code=code)
    ledger.post(
        ledger_key("test", user.pk, code, amount),
        TransferKind.OPENING,
        [
            Leg(AccountKind.CAPITAL, currency, -Decimal(amount)),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
    )


def balance_of(user: User, code: str = "USDT") -> tuple[Decimal, Decimal]:
    """(available, held) now."""
    return next((r.available, r.held) for r in customer_balances(user.pk) if r.currency.code == code)


def address_of(user: User, callback_url: str = "") -> str:
    """The customer's USDT deposit address."""
    answer = deposit_address(
        user=user,
        currency_code="USDT",
        network="ERC20",
        amount=None,
        callback_url=callback_url,
        return_url="",
        external_id="",
    )
    return str(answer["addr"])


def withdraw(
    user: User, amount: str, *, currency: str = "USDT", to: str = DESTINATION, **fields: Any
) -> Order:
    """Ask for a withdrawal as its customer."""
    request = WithdrawalRequest(user_id=user.pk, currency=currency, amount=amount, destination=to, **fields)
    return withdrawal_create(request=request, actor=user.as_actor())


def approved(user: User, actor: Actor, amount: str, **fields: Any) -> tuple[Order, Payout]:
    """A withdrawal that an operator has approved: its payout waits for a worker."""
    order = withdrawal_approve(order_id=withdraw(user, amount, **fields).public_id, actor=actor)
    return order, Payout.objects.get(order_id=order.public_id)


def sandbox_on(**fields: Any) -> Provider:
    """The sandbox, switched on, with a secret for its callbacks."""
    provider = Provider.objects.get(code="sandbox")
    provider.is_enabled = True
    provider.credentials_secret = f'{{"secret": "{SANDBOX_SECRET}"}}'
    for name, value in fields.items():
        setattr(provider, name, value)
    provider.save()
    return provider


def six_digits(who: Actor | User) -> str:
    """What the operator's authenticator shows, as if for the first time: one that they get here if they have none."""
    user_id = int(who.id) if isinstance(who, Actor) else who.pk
    device = TOTPDevice.objects.filter(user_id=user_id, confirmed=True).first()
    if device is None:
        device = TOTPDevice.objects.create(user_id=user_id, name="authenticator", confirmed=True)
    TOTPDevice.objects.filter(pk=device.pk).update(last_t=-1)
    return f"{totp(device.bin_key, step=device.step, t0=device.t0, digits=device.digits):06d}"


def events(kind: str) -> list[OutboxEvent]:
    """What was told to the outside under this name, oldest first."""
    return list(OutboxEvent.objects.filter(kind=kind).order_by("id"))


def transfers(kind: TransferKind) -> int:
    """How many transfers of this kind the ledger has."""
    return Transfer.objects.filter(kind=kind).count()


def queued(task: str) -> list[tuple[Any, ...]]:
    """The arguments of the queued tasks of this name."""
    return [row.task["args"] for row in OrmQ.objects.order_by("id") if row.task["func"].endswith(task)]


def forget_queue() -> None:
    """What a lost queue leaves behind: nothing."""
    OrmQ.objects.all().delete()


def later(seconds: float = 0, **more: float) -> datetime:
    """A moment so long after now."""
    return clock.now() + timedelta(seconds=seconds, **more)


def code_of(act: Callable[[], Any]) -> str:
    """The code of the refusal that ``act`` ends in; 'ok' when there is none."""
    try:
        act()
    except KauriError as exc:
        return exc.code
    return "ok"


def together(workers: int, act: Callable[[int], Any]) -> list[Any]:
    """Run ``act`` in threads that start at one moment; results or exceptions in order."""
    barrier = threading.Barrier(workers)
    results: list[Any] = [None] * workers

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = act(number)
        except Exception as exc:
            results[number] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results

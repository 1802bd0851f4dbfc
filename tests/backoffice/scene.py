"""What the screens show in tests: customers with money, withdrawals that wait, traffic in and out."""

from __future__ import annotations

import hashlib
import io
import itertools
import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone
from PIL import Image

from kauri.account import cases
from kauri.account.factor_reset import factor_reset_propose
from kauri.account.models import FactorReset, SignIn, TOTPDevice, User, VerificationCase
from kauri.balance import adjustments, ledger
from kauri.balance.adjustments import Place
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.services import self_check_run
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.documents import Document
from kauri.core import proposals
from kauri.core.models import Currency, Heartbeat, Provider, ScheduleRun
from kauri.deposit_order import crediting, opening
from kauri.deposit_order.services import screenings_sweep
from kauri.exchange_rate.services import usd_rate_set
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.notification.models import Delivery, DeliveryAttempt
from kauri.order_core.models import Approval, Order, Policy, ScreeningPolicy
from kauri.payment_provider.models import Channel, Payin, Payout
from kauri.withdrawal_order.closing import closing_propose
from kauri.withdrawal_order.models import Closing, WithdrawalPart
from kauri.withdrawal_order.screened import withdrawal_screen
from kauri.withdrawal_order.services import WithdrawalRequest, withdrawal_create
from tests.moves import as_owner, give, six_digits

PASSWORD = "a long enough passphrase"
DESTINATION = "0x8ba1f109551bD432803012645Ac136ddd64DBA72"
OTHER_DESTINATION = "0x52908400098527886E0F7030069857D2E4169EE7"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/141.0"
HOME_IP = "198.51.100.7"

_numbers = itertools.count(1)


@dataclass
class Person:
    """An operator who can sign in: the user and the second factor."""

    user: User
    device: TOTPDevice


def operator(role: str = "Treasury", email: str = "", password: str | None = None) -> Person:
    user = User.objects.create_user(
        email=email or f"{role.lower()}{next(_numbers)}@example.com", password=password, is_staff=True
    )
    user.groups.add(Group.objects.get(name=role))
    return Person(user, device_of(user))


def device_of(user: User) -> TOTPDevice:
    """An authenticator for somebody who has none."""
    return TOTPDevice.objects.create(user=user, name="authenticator", confirmed=True)


def provider() -> Provider:
    """The USDT provider, able to check addresses; no node is asked for that."""
    row = Provider.objects.get(code="usdt-node")
    row.settings = {
        **row.settings,
        "rpc_url": "http://127.0.0.1:9",
        "chain_id": 31337,
        "token_address": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "hot_address": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    }
    row.is_enabled = True
    row.save()
    return row


def customer(email: str, *, balance: str = "0", level: int = 1, days: int = 90, **fields: Any) -> User:
    user = User.objects.create_user(
        email=email,
        verification_level=level,
        email_verified_at=fields.pop("email_verified_at", clock.now() - timedelta(days=days)),
        created_at=clock.now() - timedelta(days=days),
        **fields,
    )
    SignIn.objects.create(
        user=user,
        email=email,
        door=SignIn.Door.API,
        succeeded=True,
        ip=HOME_IP,
        user_agent=AGENT,
        at=clock.now() - timedelta(days=min(days, 3)),
    )
    if Decimal(balance):
        fund(user, balance)
    return user


def fund(user: User, amount: str, code: str = "USDT") -> None:
    currency, house = Currency.objects.get(code=code), Provider.objects.get(code="usdt-node")
    ledger.post(
        uuid.uuid4(),
        TransferKind.DEPOSIT,
        [
            Leg(AccountKind.PROVIDER_FLOAT, currency, -Decimal(amount), provider_id=house.pk),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
        reference="scene",
    )


def withdrawal(
    user: User, amount: str, destination: str = DESTINATION, *, ip: str = HOME_IP, analysed: bool = True
) -> Order:
    """A withdrawal as the API makes it, its destination analysed; what the rules say decides whether it waits."""
    order = withdrawal_create(
        request=WithdrawalRequest(
            user_id=user.pk,
            currency="USDT",
            amount=amount,
            destination=destination,
            network="",
            external_id=f"client-{next(_numbers)}",
            ip=ip,
            user_agent=AGENT,
        ),
        actor=user.as_actor(ip),
    )
    if analysed:
        withdrawal_screen(order.pk)
    return order


def age_approval(order: Order, minutes: int) -> None:
    """Make the order wait since ``minutes`` ago."""
    Approval.objects.filter(order=order).update(created_at=timezone.now() - timedelta(minutes=minutes))


def payin(state: str = Payin.State.UNMATCHED, amount: str = "75") -> Payin:
    return Payin.objects.create(
        provider=Provider.objects.get(code="usdt-node"),
        currency=Currency.objects.get(code="USDT"),
        transaction="0x" + uuid.uuid4().hex * 2,
        address=OTHER_DESTINATION,
        amount=Decimal(amount),
        state=state,
        fault=Payin.Fault.NOT_GIVEN if state == Payin.State.UNMATCHED else "",
    )


def held(user: User) -> Payin:
    """A deposit that analysis holds, under a rule of its currency."""
    listed, _made = Provider.objects.get_or_create(
        code="list",
        defaults={
            "title": "Our list",
            "kind": Provider.Kind.SCREENING,
            "adapter": "local_list",
            "is_enabled": True,
            "settings": {"addresses": {"0xdubious": {"category": "mixer", "score": "0.6"}}},
        },
    )
    ScreeningPolicy.objects.get_or_create(
        currency=Currency.objects.get(code="USDT"), defaults={"provider": listed}
    )
    row = payin(Payin.State.SEEN)
    Payin.objects.filter(pk=row.pk).update(sender="0xDubious")
    row.refresh_from_db()
    with transaction.atomic():
        opening.open_order(row, user, opening.Wishes(), confirmations=1, actor=SYSTEM)
    crediting.settle(row.pk, actor=SYSTEM)
    screenings_sweep()
    row.refresh_from_db()
    return row


def payout(order: Order, state: str = Payout.State.UNKNOWN) -> Payout:
    row = Payout.objects.create(
        provider=Provider.objects.get(code="usdt-node"),
        currency=order.currency_out,
        order_id=order.public_id,
        amount=order.amount_out,
        destination=order.withdrawal.destination,
        state=state,
        payload="02f8",
        provider_reference="0x" + uuid.uuid4().hex * 2,
        attempts=3,
        last_error="the node did not answer",
        answer={"status": "pending", "confirmations": 0},
    )
    WithdrawalPart.objects.create(
        detail=order.withdrawal, ordinal=1, amount=order.amount_out, fee=order.fee, payout=row
    )
    return row


def closing(row: Payout) -> Closing:
    return closing_propose(
        payout_id=row.public_id,
        outcome=Closing.Outcome.PAID,
        reference=row.provider_reference,
        reason="the explorer shows it",
        document=Document("explorer.pdf", b"%PDF-1.7"),
        actor=operator("Treasury").user.as_actor(),
    )


def channel(number: int) -> Channel:
    made = Provider.objects.create(
        code=f"bank{number}", title=f"Bank {number}", kind="payment", adapter="sandbox", environment="test"
    )
    return Channel.objects.create(
        provider=made, currency=Currency.objects.get(code="UAH"), max_amount="29999", daily_cap="1000000"
    )


def callback(state: str = InboundCallback.State.FAILED) -> InboundCallback:
    return InboundCallback.objects.create(
        provider_code="sandbox",
        method="POST",
        path="/callbacks/sandbox",
        headers={"Content-Type": "application/json", "X-Signature": "not for the eye"},
        body=b'{"payment": "p-1", "status": "paid"}',
        remote_addr="203.0.113.9",
        state=state,
        outcome="the order is not there yet",
    )


def delivery(user: User, state: str = Delivery.State.DEAD, order: Order | None = None) -> Delivery:
    row = Delivery.objects.create(
        channel=Delivery.Channel.WEBHOOK,
        target="https://client.example/hooks/kauri",
        owner=user,
        subject_type="order" if order else "",
        subject_id=order.public_id if order else None,
        title="withdrawal.closed",
        body='{"type": "withdrawal.closed"}',
        dedupe_key=uuid.uuid4().hex,
        state=state,
        attempts=1,
    )
    DeliveryAttempt.objects.create(delivery=row, status=503, latency_ms=120, answer="down for repairs")
    return row


def verification(user: User, *, papers: bool = True) -> VerificationCase:
    """A case by hand: with its papers it waits for an operator."""
    case = cases.verification_start(user_id=user.pk, level=user.verification_level + 1, ip=HOME_IP)
    if papers:
        for kind in list(case.asked):
            cases.document_add(
                user_id=user.pk,
                case_id=case.public_id,
                kind=kind,
                data=picture(colour=user.email),
                ip=HOME_IP,
            )
    case.refresh_from_db()
    return case


def picture(colour: str = "navy") -> bytes:
    """A photo of somebody's paper; its colour is made of the text."""
    found = io.BytesIO()
    shade = tuple(hashlib.sha256(colour.encode()).digest()[:3])
    Image.new("RGB", (320, 200), shade).save(found, "JPEG")
    return found.getvalue()


def house_lives() -> None:
    """Heartbeats, schedules, a self-check and healthy providers."""
    now = clock.now()
    for cluster in ("money", "general"):
        Heartbeat.objects.update_or_create(cluster=cluster, defaults={"at": now})
    for name in ("payouts_sweep", "self_check_run"):
        ScheduleRun.objects.update_or_create(name=name, defaults={"enqueued_at": now, "finished_at": now})
    Provider.objects.filter(code="usdt-node").update(health="ok", health_at=now)
    self_check_run()


def two_people(number: int) -> None:
    """What one person proposed, a month and a day that are closed, a rate, a movement that waits."""
    maker = operator("Administrator").user.as_actor()
    policy = Policy.objects.create(operation="WITHDRAWAL", user=customer(f"ruled{number}@example.com"))
    proposals.propose(
        target="order_core.policy",
        target_id=str(policy.pk),
        values={"max_amount": "5000"},
        reason="a cautious customer",
        actor=maker,
    )
    uah = Currency.objects.get(code="UAH")
    adjustments.adjustment_propose(
        currency_id=uah.pk,
        amount="1",
        source=Place(AccountKind.SUSPENSE),
        target=Place(AccountKind.ROUNDING),
        reason="a kopek",
        document=Document("letter.pdf", b"%PDF-1.7"),
        actor=operator("Finance").user.as_actor(),
    )
    usd_rate_set(currency_id=uah.pk, price="0.025", source="bank", good_for=timedelta(hours=1), actor=SYSTEM)
    sender, recipient = customer(f"sends{number}@example.com"), customer(f"gets{number}@example.com")
    give(sender, "UAH", "900000")
    movement_create(
        request=MovementRequest(
            user_id=sender.pk,
            currency="UAH",
            amount="500000",
            addressed_by=MovementDetail.AddressedBy.EMAIL,
            addressed_to=recipient.email,
        ),
        actor=sender.as_actor(),
    )
    day = timezone.now() - timedelta(days=400 * number)
    with as_owner() as cursor:
        cursor.execute(
            "insert into ledger_day (day, entries, transfers, digest, closed_at) values (%s, 0, 0, '', now())",
            [day.date()],
        )
        cursor.execute(
            "insert into ledger_period (starts_at, ends_at, closed_at, actor) values (%s, %s, now(), 'test')",
            [day, day + timedelta(days=1)],
        )


def factor_reset(number: int) -> FactorReset:
    """A lost phone, and the proposal that waits."""
    maker, lost = operator("Administrator"), operator("Support", f"lost{number}@example.com")
    return factor_reset_propose(
        operator_id=lost.user.public_id,
        reason="phone stolen",
        code=six_digits(maker.user),
        actor=maker.user.as_actor(),
    )

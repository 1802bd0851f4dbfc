"""What payment systems tell us is stored before it is answered, believed only when signed, done once."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.callbacks import dispatch, services
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry, Provider
from kauri.deposit_order import services as deposits
from kauri.deposit_order.addresses import deposit_address
from kauri.order_core.models import Order
from kauri.payment_provider.gateways.sandbox import Sandbox, sign_callback
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import PaymentLink
from kauri.withdrawal_order import services as withdrawals
from tests.moves import (
    SANDBOX_SECRET,
    Crash,
    approved,
    balance_of,
    code_of,
    events,
    give,
    queued,
    sandbox_on,
    transfers,
)

Drain = Callable[..., int]
PATH = "/callbacks/sandbox"


@pytest.fixture
def http(settings: Any) -> Client:
    """A payment system's way in: the callbacks process and no other."""
    settings.ROOT_URLCONF = "backoffice.callbacks_urls"
    settings.MIDDLEWARE = [
        "backoffice.middleware.RequestContextMiddleware",
        "django.middleware.security.SecurityMiddleware",
    ]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = settings.KAURI.callback_body_limit
    return Client()


@pytest.fixture
def sandbox(house: None) -> Provider:
    return sandbox_on()


@pytest.fixture
def link(sandbox: Provider, customer: Callable[..., User]) -> Callable[..., PaymentLink]:
    """A customer's payment link in UAH."""

    def make(amount: str | None = "150.00") -> PaymentLink:
        deposit_address(
            user=customer(),
            currency_code="UAH",
            network="",
            amount=amount,
            callback_url="",
            return_url="",
            external_id="",
        )
        return PaymentLink.objects.get()

    return make


def message(reference: object, **fields: Any) -> bytes:
    body = {
        "event": "payin",
        "reference": str(reference),
        "provider_reference": "sbx-1",
        "status": "success",
        "currency": "UAH",
        "amount": "150.00",
        "timestamp": int(time.time()),
        **fields,
    }
    return json.dumps(body).encode()


def tell(http: Client, body: bytes, path: str = PATH, **headers: str) -> Any:
    try:
        stamp = json.loads(body)["timestamp"]
    except (ValueError, KeyError):
        stamp = 0
    signed = {"X-Sandbox-Signature": sign_callback(SANDBOX_SECRET, body, stamp), **headers}
    return http.generic("POST", path, body, content_type="application/json", headers=signed)


def only() -> InboundCallback:
    return InboundCallback.objects.get()


# -- at the door ------------------------------------------------------------------------------------


def test_stored_as_it_came_before_it_is_answered(http: Client, link: Callable[..., PaymentLink]) -> None:
    body = message(link().public_id)
    answer = tell(http, body, path=f"{PATH}/?x=1", Cookie="session=1")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    row = only()
    assert (row.state, row.attempts, row.order_id) == ("stored", 0, None)
    assert (bytes(row.body), row.query, row.method, row.path) == (body, "x=1", "POST", f"{PATH}/")
    assert row.remote_addr == "127.0.0.1"
    assert "x-sandbox-signature" in row.headers
    assert "cookie" not in row.headers
    assert queued("callback_process") == [(row.pk,)]
    assert Payin.objects.count() == 0


def test_an_unknown_provider_is_kept_apart(http: Client, house: None) -> None:
    answer = tell(http, b"{}", path="/callbacks/nobody")
    assert answer.status_code == 404
    row = only()
    assert (row.provider_code, row.state, row.outcome) == ("nobody", "invalid", "unknown provider")
    assert queued("callback_process") == []


def test_a_code_that_only_begins_like_a_provider_is_not_it(http: Client, sandbox: Provider) -> None:
    Provider.objects.filter(pk=sandbox.pk).update(code="s" * 32)
    assert tell(http, b"{}", path=f"/callbacks/{'s' * 33}").status_code == 404
    assert only().state == "invalid"
    services.callback_process(only().pk)
    assert only().attempts == 0


@pytest.mark.parametrize(
    "change",
    [
        {"X-Sandbox-Signature": "0" * 64},
        {"X-Sandbox-Signature": ""},
        {"X-Sandbox-Signature": "ї"},
    ],
)
def test_a_forged_call_has_no_effect(
    http: Client, link: Callable[..., PaymentLink], drain: Drain, change: dict[str, str]
) -> None:
    if change["X-Sandbox-Signature"] == "ї":
        change = {"X-Sandbox-Signature": "\xfc"}
    answer = tell(http, message(link().public_id), **change)
    assert (answer.status_code, answer.json()) == (400, {"status": "error"})
    drain()
    row = only()
    assert (row.state, row.reply_status) == ("invalid", 400)
    assert "signature" in row.outcome
    assert Payin.objects.count() == Order.objects.count() == 0


@pytest.mark.parametrize("age", [-3600, 3600])
def test_an_old_or_future_call_is_refused(http: Client, link: Callable[..., PaymentLink], age: int) -> None:
    assert tell(http, message(link().public_id, timestamp=int(time.time()) + age)).status_code == 400
    assert only().state == "invalid"


def test_a_get_is_no_callback(http: Client, sandbox: Provider) -> None:
    assert http.get(PATH).status_code == 400
    assert (only().method, only().state) == ("GET", "invalid")


def test_a_method_of_any_length_is_kept(http: Client, sandbox: Provider) -> None:
    assert http.generic("PROPFINDALL", PATH).status_code == 400
    assert only().state == "invalid"


def test_too_large_a_body(http: Client, sandbox: Provider, settings: Any) -> None:
    limit = settings.KAURI.callback_body_limit
    answer = tell(http, b" " * (limit + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert InboundCallback.objects.count() == 0
    assert tell(http, b" " * limit).status_code == 400
    assert InboundCallback.objects.count() == 1


def test_a_parser_that_breaks_loses_no_call(
    http: Client, link: Callable[..., PaymentLink], drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is stored first; the sender hears "again", and the worker tries too."""
    body = message(link().public_id)
    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "parse_callback", lambda *_: (_ for _ in ()).throw(Crash))
        assert tell(http, body).status_code == 503
    assert only().state == "stored"
    assert drain() > 0
    assert only().state == "processed"
    assert Payin.objects.get().state == "credited"


def test_the_callbacks_process_serves_nothing_else(http: Client, house: None) -> None:
    for path in ("/", "/api/v1/currency", "/admin/", "/metrics"):
        assert http.get(path).status_code == 404
    assert InboundCallback.objects.count() == 0


# -- payins -----------------------------------------------------------------------------------------


def test_a_payin_is_credited_once_however_often_it_is_told(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    user = link().user
    body = message(PaymentLink.objects.get().public_id)
    for _ in range(3):
        assert tell(http, body).status_code == 200
        drain()
    states = list(InboundCallback.objects.order_by("id").values_list("state", flat=True))
    assert states == ["processed", "duplicate", "duplicate"]
    # The policy's fee of 1 %.
    assert balance_of(user, "UAH") == (Decimal("148.50"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1
    order = Order.objects.get()
    assert (order.status, order.amount_in, order.fee) == ("CLOSED", Decimal(150), Decimal("1.50"))
    assert invariants.broken_laws() == []


def test_out_of_order_words_about_a_payin(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    reference = link().public_id
    for status in ("pending", "success", "pending", "declined", "weird"):
        tell(http, message(reference, status=status))
        drain()
    states = list(InboundCallback.objects.order_by("id").values_list("state", flat=True))
    assert states == ["ignored", "processed", "ignored", "ignored", "ignored"]
    assert transfers(TransferKind.DEPOSIT) == 1


@pytest.mark.parametrize(
    "fields",
    [{"amount": "150.01"}, {"amount": "149.99"}, {"currency": "USD"}, {"amount": "1.00"}],
)
def test_a_payin_that_differs_from_its_link_waits_for_a_person(
    http: Client, link: Callable[..., PaymentLink], drain: Drain, fields: dict[str, str]
) -> None:
    made = link()
    for _ in range(2):
        tell(http, message(made.public_id, **fields))
        drain()
    payin = Payin.objects.get()
    assert payin.state == "unmatched"
    assert payin.amount == Decimal(fields.get("amount", "150.00"))
    assert len(events("payin.unmatched")) == 1
    assert Order.objects.count() == transfers(TransferKind.DEPOSIT) == 0
    assert balance_of(made.user, "UAH") == (Decimal(0), Decimal(0))


def test_money_without_a_link_waits_for_a_person(http: Client, sandbox: Provider, drain: Drain) -> None:
    for reference in (uuid.uuid4(), "not-ours"):
        tell(http, message(reference, provider_reference=f"sbx-{reference}"))
        drain()
    assert set(Payin.objects.values_list("state", flat=True)) == {"unmatched"}
    assert len(events("payin.unmatched")) == 2
    assert Order.objects.count() == 0


@pytest.mark.parametrize("amount", ["0", "0.00"])
def test_a_payin_of_nothing(
    http: Client, link: Callable[..., PaymentLink], drain: Drain, amount: str
) -> None:
    tell(http, message(link().public_id, amount=amount))
    drain()
    assert only().state == "ignored"
    assert Payin.objects.count() == 0


def test_a_payin_below_the_policys_minimum_waits_for_a_person(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    tell(http, message(link("9.99").public_id, amount="9.99"))
    drain()
    assert Payin.objects.get().state == "unmatched"
    assert Order.objects.count() == 0


def test_a_link_without_an_amount_takes_any_and_any_number(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    made = link(None)
    for number, amount in enumerate(("77.77", "20.00")):
        tell(http, message(made.public_id, amount=amount, provider_reference=f"sbx-{number}"))
        drain()
    # 77.77 less 0.78 (1 % rounded up), 20 less 0.20.
    assert balance_of(made.user, "UAH") == (Decimal("96.79"), Decimal(0))


def test_a_link_paid_twice_is_credited_once_and_shown_to_a_person(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    made = link()
    for number in range(2):
        tell(http, message(made.public_id, provider_reference=f"sbx-{number}"))
        drain()
    assert sorted(Payin.objects.values_list("state", flat=True)) == ["credited", "unmatched"]
    assert balance_of(made.user, "UAH") == (Decimal("148.50"), Decimal(0))
    [alert] = events("payin.unmatched")
    assert alert.payload["reason"] == "the link has been paid already"


def test_another_providers_link_is_not_credited(
    http: Client, link: Callable[..., PaymentLink], drain: Drain
) -> None:
    made = link()
    Provider.objects.filter(code="usdt-node").update(
        adapter="sandbox", settings={}, kind="payment", is_enabled=True
    )
    other = Provider.objects.get(code="usdt-node")
    other.credentials_secret = json.dumps({"secret": SANDBOX_SECRET})
    other.save()
    tell(http, message(made.public_id), path="/callbacks/usdt-node")
    drain()
    assert balance_of(made.user, "UAH") == (Decimal(0), Decimal(0))
    assert Order.objects.count() == 0


def test_killed_between_payin_and_credit_is_credited_by_the_next_try(
    http: Client, link: Callable[..., PaymentLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = link()
    tell(http, message(made.public_id))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(deposits, "deposit_credit", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
        services.callback_process(only().pk)
    assert only().state == "stored"
    services.callback_process(only().pk)
    assert only().attempts == 1, "the lease of the killed worker holds"
    with clock.standing_at(clock.now() + services.LEASE + timedelta(seconds=1)):
        assert services.callbacks_sweep() == 1
        services.callback_process(only().pk)
    assert only().state == "processed"
    assert balance_of(made.user, "UAH") == (Decimal("148.50"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


# -- failures ---------------------------------------------------------------------------------------


def _process_until_left(row: InboundCallback) -> list[int]:
    """Try as the sweeper does; the seconds waited between tries."""
    Provider.objects.filter(code="sandbox").update(settings={"max_callback_age_seconds": 10**6})
    waits = []
    moment = clock.now()
    for _ in range(20):
        with clock.standing_at(moment):
            if services.callbacks_sweep() == 0:
                break
            services.callback_process(row.pk)
        row.refresh_from_db()
        if row.state != "stored":
            break
        waits.append(int((row.next_attempt_at - moment).total_seconds()))
        moment = row.next_attempt_at
    return waits


@pytest.mark.parametrize("error", [Crash("no luck"), ValueError("no luck"), ZeroDivisionError("no luck")])
def test_a_crash_is_tried_again_then_left_and_told(
    http: Client,
    link: Callable[..., PaymentLink],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    tell(http, message(link().public_id))
    row = only()
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(error))
        assert _process_until_left(row) == [10, 20, 40, 80, 160, 320, 640]
    assert (row.state, row.attempts) == ("failed", services.MAX_ATTEMPTS)
    assert "no luck" in row.outcome
    [alert] = events("callback.failed")
    assert alert.payload["provider"] == "sandbox"
    assert Payin.objects.count() == 0


def test_a_call_that_kills_its_worker_is_left_after_the_limit(
    http: Client, link: Callable[..., PaymentLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(http, message(link().public_id))
    monkeypatch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    moment = clock.now()
    for _ in range(services.MAX_ATTEMPTS):
        with clock.standing_at(moment), pytest.raises(KeyboardInterrupt):
            services.callback_process(only().pk)
        moment += services.LEASE + timedelta(seconds=1)
    for _ in range(2):
        with clock.standing_at(moment):
            services.callback_process(only().pk)
    assert (only().state, only().attempts) == ("failed", services.MAX_ATTEMPTS)
    assert len(events("callback.failed")) == 1


def test_replay_by_hand_asks_for_the_right_and_leaves_a_trace(
    http: Client,
    link: Callable[..., PaymentLink],
    operator: Callable[..., Actor],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = link()
    tell(http, message(made.public_id))
    row = only()
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(Crash))
        _process_until_left(row)
    for who in (operator("Auditor"), made.user.as_actor()):
        assert code_of(lambda who=who: services.callback_replay(callback_id=row.pk, actor=who)) == "forbidden"
    assert only().state == "failed"
    treasury = operator("Treasury")
    with clock.standing_at(clock.now() + timedelta(days=2)):
        services.callback_replay(callback_id=row.pk, actor=treasury)
        drain()
        assert only().state == "processed"
        services.callback_replay(callback_id=row.pk, actor=treasury)
        drain()
    assert only().state == "duplicate"
    assert transfers(TransferKind.DEPOSIT) == 1
    entries = AuditEntry.objects.filter(verb="callback_replay").order_by("id")
    assert [(e.actor_id, e.before["state"]) for e in entries] == [
        (treasury.id, "failed"),
        (treasury.id, "processed"),
    ]
    missing = code_of(lambda: services.callback_replay(callback_id=10**9, actor=treasury))
    assert missing == "not_found"


def test_a_call_that_waited_is_judged_by_when_it_came(
    http: Client, link: Callable[..., PaymentLink]
) -> None:
    """The signature's age limit is for the door; a worker may come to the call much later."""
    tell(http, message(link().public_id))
    with clock.standing_at(clock.now() + timedelta(hours=1)):
        services.callback_process(only().pk)
    assert only().state == "processed"
    assert transfers(TransferKind.DEPOSIT) == 1


# -- payouts ----------------------------------------------------------------------------------------


@pytest.fixture
def payout(
    sandbox: Provider, customer: Callable[..., User], operator: Callable[..., Actor]
) -> Callable[[str], tuple[User, Payout]]:
    """A payout of 100 UAH (fee 5) that was sent, of a customer who had 200."""

    def make(outcome: str = "delay:600") -> tuple[User, Payout]:
        user = customer()
        give(user, "UAH", "200")
        _, row = approved(user, operator(), "100", currency="UAH", to=f"sandbox:{outcome}")
        withdrawals.payout_advance(row.pk)
        row.refresh_from_db()
        return user, row

    return make


def about(row: Payout, **fields: Any) -> bytes:
    return message(
        row.public_id, **{"event": "payout", "amount": "100.00", "provider_reference": "x", **fields}
    )


@pytest.mark.parametrize(
    ("status", "state", "order_status", "balance"),
    [("success", "confirmed", "CLOSED", (95, 0)), ("declined", "failed", "ERROR", (200, 0))],
)
def test_a_word_about_a_payout_settles_it_once(
    http: Client,
    payout: Callable[..., tuple[User, Payout]],
    drain: Drain,
    status: str,
    state: str,
    order_status: str,
    balance: tuple[int, int],
) -> None:
    user, row = payout()
    for _ in range(2):
        tell(http, about(row, status=status))
        drain()
    row.refresh_from_db()
    assert (row.state, Order.objects.get().status) == (state, order_status)
    assert balance_of(user, "UAH") == balance
    assert [r.state for r in InboundCallback.objects.order_by("id")] == ["processed", "duplicate"]
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) + transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("fields", [{"amount": "99.99"}, {"amount": "0"}, {"currency": "USD"}])
@pytest.mark.parametrize("status", ["success", "declined"])
def test_a_word_that_differs_from_the_payout_moves_no_money(
    http: Client,
    payout: Callable[..., tuple[User, Payout]],
    fields: dict[str, str],
    status: str,
) -> None:
    user, row = payout()
    tell(http, about(row, status=status, **fields))
    callback = only()
    _process_until_left(callback)
    row.refresh_from_db()
    assert (callback.state, row.state) == ("failed", "sent" if row.sent_at else row.state)
    assert row.state in Payout.OPEN_STATES
    assert balance_of(user, "UAH") == (95, 105)
    assert len(events("callback.failed")) == 1


@pytest.mark.parametrize(("first", "then"), [("success", "declined"), ("declined", "success")])
def test_the_opposite_of_a_final_word_calls_a_person(
    http: Client, payout: Callable[..., tuple[User, Payout]], drain: Drain, first: str, then: str
) -> None:
    user, row = payout()
    tell(http, about(row, status=first))
    drain()
    books = balance_of(user, "UAH")
    tell(http, about(row, status=then))
    callback = InboundCallback.objects.order_by("-id")[0]
    _process_until_left(callback)
    assert callback.state == "failed"
    assert "final" in callback.outcome
    assert balance_of(user, "UAH") == books
    assert len(events("callback.failed")) == 1


def test_out_of_order_words_about_a_payout(
    http: Client, payout: Callable[..., tuple[User, Payout]], drain: Drain
) -> None:
    user, row = payout()
    for status in ("pending", "success", "pending"):
        tell(http, about(row, status=status))
        drain()
    states = [r.state for r in InboundCallback.objects.order_by("id")]
    assert states == ["ignored", "processed", "duplicate"]
    assert balance_of(user, "UAH") == (95, 0)


def test_success_of_a_payout_that_was_never_sent_moves_nothing(
    http: Client,
    sandbox: Provider,
    customer: Callable[..., User],
    operator: Callable[..., Actor],
) -> None:
    user = customer()
    give(user, "UAH", "200")
    _, row = approved(user, operator(), "100", currency="UAH", to="sandbox:success")
    tell(http, about(row))
    callback = only()
    _process_until_left(callback)
    row.refresh_from_db()
    assert (callback.state, row.state) == ("failed", "new")
    assert "conflict" in callback.outcome.lower() or "not sent" in callback.outcome
    assert balance_of(user, "UAH") == (95, 105)


def test_words_about_nothing_of_ours(http: Client, sandbox: Provider, drain: Drain) -> None:
    for reference in (uuid.uuid4(), "7"):
        tell(http, message(reference, event="payout"))
        drain()
    assert [r.state for r in InboundCallback.objects.all()] == ["ignored", "ignored"]

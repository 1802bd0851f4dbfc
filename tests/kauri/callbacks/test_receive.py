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

from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.callbacks import services
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.core.models import Provider
from kauri.deposit_order import services as deposits
from kauri.order_core.models import Order
from kauri.payment_provider.gateways.sandbox import Sandbox
from kauri.payment_provider.models import Payin
from kauri.wallet.models import PaymentLink
from tests.kauri.callbacks.caller import PATH, message, only, tell
from tests.moves import (
    SANDBOX_SECRET,
    Crash,
    Killed,
    balance_of,
    events,
    queued,
    transfers,
)

Drain = Callable[..., int]


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
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(deposits, "settle", lambda *_a, **_k: (_ for _ in ()).throw(Killed))
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

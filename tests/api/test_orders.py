"""History and details: one's own orders, in stable pages, with a constant number of queries."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.common import clock
from kauri.core.models import Currency
from kauri.deposit_order import services as deposits
from kauri.order_core.models import Order
from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus
from kauri.payment_provider.models import ChainBlock, Payin
from kauri.wallet.models import PaymentLink
from tests.api.client import ApiClient
from tests.moves import give, sandbox_on, withdraw

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HISTORY = "/api/v1/orders/history"


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    person = customer()
    give(person, "UAH", "100000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def pay_out(user: User, moment: datetime, **fields: Any) -> Order:
    with clock.standing_at(moment):
        return withdraw(user, "50", currency="UAH", to="sandbox:success", **fields)


def pay_in(user: User, number: int, moment: datetime) -> None:
    """A credited deposit that came by a chain, as far as reading it goes."""
    provider = sandbox_on()
    link = PaymentLink.objects.create(
        public_id=uuid.uuid4(), user=user, provider=provider, currency=Currency.objects.get(code="UAH")
    )
    event = Event(
        kind=EventKind.PAYIN,
        reference=str(link.public_id),
        provider_reference=f"tx-{user.pk}-{number}",
        status=PayoutStatus.CONFIRMED,
        currency="UAH",
        amount=Decimal("100.00"),
    )
    with clock.standing_at(moment):
        deposits.deposit_event(event, provider)
    Payin.objects.filter(transaction=event.provider_reference).update(block_height=100 + number)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [order["external_id"] for order in answer.json()["orders"]]


def test_one_page_costs_the_same_for_one_and_for_thirty(
    api: ApiClient, user: User, django_assert_num_queries: Any
) -> None:
    ChainBlock.objects.create(provider=sandbox_on(), height=200, hash="h", parent_hash="p")
    pay_out(user, START)
    pay_in(user, 0, START)
    api.get(HISTORY)
    with django_assert_num_queries(4):
        assert len(ids(api.get(f"{HISTORY}?limit=100"))) == 2
    for number in range(1, 16):
        pay_out(user, START + timedelta(days=2 * number))
        pay_in(user, number, START + timedelta(days=2 * number))
    with django_assert_num_queries(4):
        answer = api.get(f"{HISTORY}?limit=100")
        assert len(ids(answer)) == 32
    counts = {order["details"].get("confirmations_count") for order in answer.json()["orders"]}
    assert counts == {None, *(200 - (100 + number) + 1 for number in range(16))}


def test_pages_and_cursor_walk_every_order_once(api: ApiClient, user: User) -> None:
    made = [str(pay_out(user, START + timedelta(hours=30) * n).public_id) for n in range(7)]
    # Two more of the same moment as the last: the id decides.
    made += [str(pay_out(user, START + timedelta(hours=30) * 6).public_id) for _ in range(2)]
    newest_first = made[::-1]
    pages = [ids(api.get(f"{HISTORY}?page={page}&limits=4")) for page in (1, 2, 3, 4)]
    assert [order for page in pages for order in page] == newest_first
    assert [len(page) for page in pages] == [4, 4, 1, 0]
    assert api.get(f"{HISTORY}?limit=4").json()["pages_count"] == 3

    walked: list[str] = []
    cursor = ""
    while True:
        answer = api.get(f"{HISTORY}?limit=4&cursor={cursor}")
        walked += ids(answer)
        cursor = answer.json()["next_cursor"]
        if len(walked) == 4:
            # A new order in the middle of the walk moves nothing.
            pay_out(user, START + timedelta(days=300))
        if cursor is None:
            break
        assert answer.json()["pages_count"] == (3 if len(walked) == 4 else None)
    assert walked == newest_first


@pytest.mark.parametrize(
    "query",
    [
        "cursor=nonsense",
        "cursor=MjAyNi0wMS0wMVQwMDowMDowMHw1",  # 2026-01-01T00:00:00|5, a moment without a zone
        "cursor=fHw",
        "cursor=%00",
        "page=0",
        "page=1001",
        "limit=0",
        "limit=101",
        "order_status=NOTHING",
        "order_type=x",
        "from_timestamp=yesterday",
        "from_timestamp=0001-01-01T00:00:00%2B14:00",
        "till_timestamp=9999-12-31T23:59:59-14:00",
    ],
)
def test_wrong_questions(api: ApiClient, query: str) -> None:
    answer = api.get(f"{HISTORY}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_filters(api: ApiClient, user: User) -> None:
    first = str(pay_out(user, START, external_id="a-1").public_id)
    second = str(pay_out(user, START + timedelta(days=3)).public_id)
    pay_in(user, 1, START + timedelta(days=6))
    third = str(Order.objects.get(type="DEPOSIT").public_id)
    Payin.objects.update(address="0xabc")

    def found(query: str) -> list[str]:
        return ids(api.get(f"{HISTORY}?{query}"))

    assert found("") == [third, second, first]
    assert found("order_type=DEPOSIT") == [third]
    assert found("order_type=WITHDRAWAL") == [second, first]
    assert found("order_status=CLOSED") == [third]
    assert found("external_id=a-1") == [first]
    assert found("external_id=a") == []
    assert found("currency=uah") == [third, second, first]
    assert found("currency=BTC") == []
    assert found("address=sandbox:success") == [second, first]
    assert found("address=0xabc") == [third]
    assert found("order_sub_type=GATEWAY&order_type=DEPOSIT") == [third]
    # From inclusive, till exclusive; without a zone UTC is meant.
    assert found("from_timestamp=2026-03-04T12:00:00Z") == [third, second]
    assert found("from_timestamp=2026-03-04T12:00:00") == [third, second]
    assert found("from_timestamp=2026-03-04T14:00:00%2B02:00") == [third, second]
    assert found("till_timestamp=2026-03-04T12:00:00Z") == [first]
    assert found("from_timestamp=2026-03-02T00:00:00Z&till_timestamp=2026-03-05T00:00:00Z") == [second]


def test_nobody_sees_anothers_orders(api: ApiClient, user: User, customer: Callable[..., User]) -> None:
    order = pay_out(user, START, external_id="a-1")
    stranger = ApiClient(token=tokens.issue(customer()))
    mine = api.get(f"/api/v1/orders/details?order_id={order.public_id}")
    assert mine.status_code == 200
    for path in ("details", "detail"):
        answer = stranger.get(f"/api/v1/orders/{path}?order_id={order.public_id}")
        missing = stranger.get(f"/api/v1/orders/{path}?order_id={uuid.uuid4()}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        # Nothing tells a foreign order from none.
        assert {**answer.json(), "request_id": ""} == {**missing.json(), "request_id": ""}
    assert ids(stranger.get(HISTORY)) == []
    assert ids(stranger.get(f"{HISTORY}?external_id=a-1&address=sandbox:success")) == []
    assert api.get("/api/v1/orders/details?order_id=1").json()["code"] == "validation_error"


def test_scope_of_a_key(user: User) -> None:
    order = pay_out(user, START)
    key = ApiKey.objects.create(
        user=user, name="w", key="writer", secret="s" * 20, scopes=["withdraw"], state="active"
    )
    api = ApiClient(key=key.key, secret=key.secret)
    for path in (HISTORY, f"/api/v1/orders/details?order_id={order.public_id}"):
        assert api.get(path).json()["code"] == "forbidden"


def test_details_show_the_owners_side_of_the_books_only(api: ApiClient, user: User) -> None:
    pay_in(user, 1, START)
    order = Order.objects.get()
    shown = api.get(f"/api/v1/orders/details?order_id={order.public_id}").json()["order_details"]
    assert [(row["from"], row["to"]) for row in shown["history"]] == [
        (None, "NEW"),
        ("NEW", "WAITING_FOR_CONFIRMATION"),
        ("WAITING_FOR_CONFIRMATION", "CLOSED"),
    ]
    assert [transfer["entries"] for transfer in shown["transfers"]] == [
        [{"currency": "UAH", "account": "available", "amount": 99}]
    ]
    assert (shown["amount"], shown["fee"]) == (99, 1)

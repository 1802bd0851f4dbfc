"""Lists beside many orders: they read no large table from end to end, and cost the same for few rows and for many."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.demo import crowd
from kauri.account.models import User
from kauri.balance.models import Entry, Hold, LedgerAccount, Transfer
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.admin import HouseAdmin, page_url
from kauri.core.models import AuditEntry
from kauri.deposit_order.models import DepositDetail, UnmatchedMoney
from kauri.internal_movement_order.models import MovementDetail
from kauri.notification.models import Delivery
from kauri.order_core.models import Order
from kauri.order_core.services import books_check
from kauri.payment_provider.models import Payin, Payout
from kauri.withdrawal_order.models import HangingPayout, WithdrawalDetail
from tests.moves import as_owner

AtDesk = Callable[..., Client]
ORDERS = 20_000
#: What must never be read from end to end: each grows with every order.
LARGE = sorted(
    model._meta.db_table
    for model in (Order, Transfer, Entry, Hold, Payin, Payout, Delivery, AuditEntry, InboundCallback)
)
SEQUENTIAL = re.compile(rf"Seq Scan on ({'|'.join(LARGE)})\b")
HOT: dict[type[Model], tuple[str, ...]] = {
    Order: (
        "",
        "?status__exact=ERROR",
        "?type__exact=WITHDRAWAL&status__exact=BLOCKED",
        "?o=-7",
        "?{period}",
    ),
    WithdrawalDetail: ("", "?queue=waiting", "?{period}"),
    DepositDetail: ("", "?queue=held", "?{period}"),
    MovementDetail: ("", "?queue=waiting", "?{period}"),
    HangingPayout: ("?queue=waiting",),
    UnmatchedMoney: ("?queue=waiting",),
    Payin: ("", "?state__exact=unmatched"),
    Payout: ("", "?state__exact=unknown"),
    Delivery: ("", "?state__exact=dead"),
    InboundCallback: ("", "?state__exact=failed"),
    AuditEntry: ("", "?verb__exact=note_add", "?verb__exact=nothing"),
    Transfer: ("", "?kind__exact=30"),
    Entry: ("",),
    Hold: ("",),
}


@pytest.fixture
def many(house: None) -> None:
    """A house with a crowd in it."""
    with as_owner():
        crowd.make(ORDERS, lambda _said: None)


def list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def asked(client: Client, url: str) -> list[str]:
    """The statements of a page."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    assert response.status_code == 200, url
    return [row["sql"] for row in captured]


def read_whole(statements: list[str]) -> set[str]:
    """The large tables that any of the statements reads from end to end."""
    found: set[str] = set()
    with connection.cursor() as cursor:
        for sql in statements:
            if sql.lstrip("( ").upper().startswith("SELECT"):
                cursor.execute(f"explain {sql}")
                found |= {name for (line,) in cursor.fetchall() for name in SEQUENTIAL.findall(line)}
    return found


def period(model: type[Model]) -> str:
    """A day a year ago, in the list's own filter."""
    field = {Order: "created_at"}.get(model, "order__created_at")
    day = f"{clock.now() - timedelta(days=400):%Y-%m-%d}"
    return f"{field}_from_0={day}&{field}_to_0={day}"


def test_the_crowd_keeps_the_laws(many: None) -> None:
    check = books_check(full=True)
    assert (check.findings, check.is_clean) == ([], True)
    assert Order.objects.count() == ORDERS
    assert set(Order.objects.values_list("type", flat=True)) == {"DEPOSIT", "WITHDRAWAL", "INTERNAL_MOVEMENT"}
    waiting = Order.objects.filter(status="WAITING_FOR_OPERATOR_CONFIRMATION").count()
    assert 50 < waiting < 500
    for model in HOT:
        assert model._default_manager.exists(), model
    with pytest.raises(crowd.CrowdError):
        crowd.make(10, lambda _said: None)


def test_only_the_owner_makes_a_crowd(house: None) -> None:
    with pytest.raises(crowd.CrowdError):
        crowd.make(10, lambda _said: None)
    assert not Order.objects.exists()


def test_hot_lists_read_no_large_table_whole(many: None, at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    client.get(reverse("admin:index"))
    order = Order.objects.filter(external_id__gt="").order_by("id")[ORDERS // 3]
    urls = [
        list_of(model) + query.format(period=period(model))
        for model, queries in HOT.items()
        for query in queries
    ]
    urls += [
        f"{list_of(model)}?q={quote(term)}" for model in HOT for term in (str(order.public_id), "0xno-such")
    ]
    urls += [f"{list_of(Order)}?q={quote(term)}" for term in (order.external_id, order.owner.email)]
    urls += [f"{reverse('admin:search')}?s={quote(term)}" for term in (order.external_id, "0xno-such")]
    urls += [reverse("admin:index")]
    slow = {url: whole for url in urls if (whole := read_whole(asked(client, url)))}
    assert slow == {}


def test_a_list_costs_the_same_for_3_rows_and_for_60(
    many: None, at_desk: AtDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at_desk("Auditor")
    costs = {}
    for model in (*HOT, LedgerAccount, User):
        for query in HOT.get(model, ("",)):
            url = list_of(model) + query.format(period=period(model))
            client.get(url)
            counts = []
            for size in (3, 60):
                monkeypatch.setattr(HouseAdmin, "list_per_page", size)
                # Estimates of the length aside (one page needs none), and the session's note of every minute.
                counts.append(
                    len([sql for sql in asked(client, url) if sql.lstrip("(").startswith("SELECT")])
                )
            if counts[0] != counts[1] or counts[1] > 16:
                costs[url] = counts
    assert costs == {}


def test_pages_beside_many_orders_take_as_many_queries_as_beside_few(many: None, at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    desk = reverse("admin:index")
    client.get(desk)
    assert len(asked(client, desk)) <= 25
    for model in (
        User,
        Order,
        WithdrawalDetail,
        DepositDetail,
        MovementDetail,
        LedgerAccount,
        Transfer,
        Payout,
    ):
        row = model._default_manager.order_by("-pk").first()
        client.get(page_url(row), follow=True)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(page_url(row), follow=True).status_code == 200
        assert len(captured) <= 25, model

"""The desk: numbers that lead to their rows, for those who may see them, in few queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kauri.balance.models import SelfCheck
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.scopes import Scope
from kauri.core.models import Currency, Heartbeat, Provider, ScheduleRun
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.holding import HoldState, hold_state
from kauri.order_core.models import Approval, Order
from kauri.order_core.states import OrderType
from kauri.payment_provider.models import Payin
from tests.backoffice import scene

AtDesk = Callable[..., Client]


@pytest.fixture
def busy(house: None) -> None:
    """One of each kind of work, one of them overdue."""
    scene.provider()
    early = scene.customer("first@example.com", balance="20000", days=2)
    late = scene.withdrawal(early, "12500")
    scene.age_approval(late, 47)
    scene.withdrawal(scene.customer("second.customer@example.com", balance="9000"), "2000")
    scene.payout(late)
    scene.verification(scene.customer("third@example.com", level=0))
    scene.payin()
    scene.payin("alarm")
    scene.payin("credited")
    scene.callback()
    scene.callback("processed")
    scene.delivery(early)
    scene.house_lives()


def counts(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'data-testid="count">(\d+)<', page)]


@pytest.mark.usefixtures("busy")
def test_work_comes_first_and_counts(at_desk: AtDesk) -> None:
    page = at_desk("Senior").get(reverse("admin:index")).content.decode()
    assert counts(page) == [2, 0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 1]
    assert "1 waits longer than 30 minutes" in page
    assert 'data-testid="next"' in page
    assert "every law holds" in page
    assert "100.0 %" in page


@pytest.mark.usefixtures("busy")
def test_coverage_says_what_it_is_worth_and_what_it_can_not_say(at_desk: AtDesk) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code="USDT").pk,
        price="1.001",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )
    page = at_desk("Senior").get(reverse("admin:index")).content.decode()
    total = page.partition('data-testid="coverage-total"')[2].partition("</tr>")[0]
    owed = re.sub(r"<[^>]+>", "", total.split("<td>")[2])
    assert owed.replace("\u00a0", "").replace("\u202f", "").replace(" ", "").startswith("29029")
    assert "central bank" in page
    assert "no fresh rate" not in page


@pytest.mark.usefixtures("busy")
def test_without_a_rate_the_total_is_unknown(at_desk: AtDesk) -> None:
    page = at_desk("Senior").get(reverse("admin:index")).content.decode()
    assert "no fresh rate" in page
    assert "1 currency without a fresh rate is not in it" in page


@pytest.mark.usefixtures("busy")
def test_every_number_leads_to_its_rows(at_desk: AtDesk) -> None:
    client = at_desk("Senior")
    page = client.get(reverse("admin:index")).content.decode()
    found = re.findall(r'class="k-card-count" href="([^"]+)"[^>]* data-testid="count">(\d+)<', page)
    assert len(found) == 14
    for url, count in found:
        rows = client.get(url.replace("&amp;", "&")).content.decode()
        assert rows.count('<tr class="data-row') == int(count), url
    for url in re.findall(r'class="k-sum" href="([^"]+)"', page) + re.findall(
        r'k-dot[^>]*></span><a href="([^"]+)"', page
    ):
        assert client.get(url.replace("&amp;", "&")).status_code == 200


@pytest.mark.usefixtures("house")
def test_an_empty_house_says_so(at_desk: AtDesk) -> None:
    page = at_desk("Senior").get(reverse("admin:index")).content.decode()
    assert counts(page) == [0] * 14
    assert "Nobody waits for a decision." in page
    assert "Nothing is owed and nothing is held yet." in page
    assert "no worker has ever reported" in page


@pytest.mark.usefixtures("busy")
def test_cards_only_of_what_may_be_seen(at_desk: AtDesk) -> None:
    page = at_desk("Finance").get(reverse("admin:index")).content.decode()
    assert "Dead webhooks" not in page
    assert "Callbacks that failed" not in page
    assert "Coverage" in page
    assert 'data-testid="next"' not in page
    page = at_desk("Support").get(reverse("admin:index")).content.decode()
    assert "Coverage" not in page
    assert "Dead webhooks" in page


@pytest.mark.usefixtures("busy")
def test_the_desk_costs_the_same_when_it_is_busy(at_desk: AtDesk) -> None:
    client = at_desk("Senior")
    client.get(reverse("admin:index"))
    with CaptureQueriesContext(connection) as few:
        client.get(reverse("admin:index"))
    for number in range(3):
        user = scene.customer(f"more{number}@example.com", balance="9000")
        scene.payout(scene.withdrawal(user, "3000"))
        scene.payin()
        scene.callback()
        scene.delivery(user)
    with CaptureQueriesContext(connection) as many:
        client.get(reverse("admin:index"))
    assert len(many) == len(few)
    assert len(many) <= 25


@pytest.mark.usefixtures("busy")
def test_the_figures_refresh_without_the_page(at_desk: AtDesk) -> None:
    client = at_desk("Senior")
    part = client.get(reverse("admin:desk")).content.decode()
    assert "<html" not in part
    assert counts(part) == [2, 0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 1]
    assert f'data-refresh="{reverse("admin:desk")}"' in client.get(reverse("admin:index")).content.decode()


@pytest.mark.usefixtures("busy")
def test_what_is_silent_or_broken_is_red(at_desk: AtDesk) -> None:
    now = clock.now()
    Heartbeat.objects.filter(cluster="money").update(at=now - timedelta(minutes=10))
    Provider.objects.filter(code="usdt-node").update(health="bad", health_detail="the head is old")
    ScheduleRun.objects.filter(name="payouts_sweep").update(error="boom")
    SelfCheck.objects.create(started_at=now, finished_at=now, is_clean=False, findings=[{"law": "x"}])
    page = at_desk("Senior").get(reverse("admin:index")).content.decode()
    assert page.count('class="k-dot k-bad"') == 4
    for said in ("the head is old", "boom", "broken laws: 1"):
        assert said in page


@pytest.mark.usefixtures("busy")
def test_the_sidebar_shows_what_waits_to_those_who_may(at_desk: AtDesk) -> None:
    page = at_desk("Treasury").get(reverse("admin:index")).content.decode()
    assert page.count("sidebar-badge") == 5
    page = at_desk("Finance").get(reverse("admin:index")).content.decode()
    assert page.count("sidebar-badge") == 3
    assert reverse("admin:core_auditentry_changelist") not in page
    page = at_desk("Auditor").get(reverse("admin:index")).content.decode()
    assert reverse("admin:core_auditentry_changelist") in page


@pytest.mark.usefixtures("busy")
def test_the_palette_finds_by_exact_id(at_desk: AtDesk) -> None:
    client = at_desk("Support")
    order, payin = Order.objects.first(), Payin.objects.first()
    search = reverse("admin:search")
    for term, path in (
        (str(order.public_id), str(order.public_id)),
        (order.external_id, str(order.public_id)),
        (scene.DESTINATION, str(order.public_id)),
        ("First@Example.com", "/account/user/"),
        (payin.transaction, str(payin.public_id)),
        ("callbacks", "/callbacks/inboundcallback/"),
    ):
        assert path in client.get(search, {"s": term}).content.decode(), term
    operator = client.person.user.email
    assert "/account/user/" not in client.get(search, {"s": operator}).content.decode()
    assert "Nothing matched" in client.get(search, {"s": "0xdoesnotexist"}).content.decode()


@pytest.mark.usefixtures("busy")
def test_what_is_on_hold_for_too_long_is_red_and_leads_to_its_rows(at_desk: AtDesk) -> None:
    scene.withdrawal(scene.customer("third.customer@example.com", balance="9000"), "3000")
    holder = scene.operator().user
    long, short = Approval.objects.order_by("id")[:2]
    for row, hours in ((long, 25), (short, 23)):
        Approval.objects.filter(pk=row.pk).update(
            held_by=holder, held_at=clock.now() - timedelta(hours=hours), held_reason="papers"
        )
    client = at_desk("Senior")
    page = client.get(reverse("admin:index")).content.decode()
    assert counts(page)[:2] == [1, 2]
    assert "1 is on hold for more than 24 hours" in page
    assert "the oldest was put aside" in page
    rows = client.get(reverse("admin:withdrawal_order_withdrawaldetail_changelist") + "?queue=held_long")
    found = rows.content.decode()
    assert found.count('<tr class="data-row') == 1
    assert str(long.order.public_id) in found


@pytest.mark.usefixtures("busy")
def test_holds_of_others_views_are_not_counted(at_desk: AtDesk) -> None:
    row = Approval.objects.order_by("id")[0]
    Approval.objects.filter(pk=row.pk).update(
        held_by=scene.operator().user, held_at=clock.now(), held_reason="papers"
    )
    assert hold_state(OrderType.WITHDRAWAL).count == 1
    elsewhere = Scope(groups=frozenset({0}))
    assert hold_state(OrderType.WITHDRAWAL, elsewhere) == HoldState(count=0, oldest=None, overdue=0)

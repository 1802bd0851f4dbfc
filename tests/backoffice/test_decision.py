"""One page to decide on a withdrawal: what it says, what its buttons do, and who wins a race."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from kauri.balance.selectors import customer_balances
from kauri.order_core.models import Approval, ApprovalVote, Order, OrderNote, Policy
from kauri.order_core.states import OrderStatus
from tests.backoffice import scene

AtDesk = Callable[..., Client]


@pytest.fixture
def order(house: None) -> Order:
    scene.provider()
    return scene.withdrawal(scene.customer("first@example.com", balance="20000", level=2), "12500")


def page_of(order: Order) -> str:
    return reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))


def act(client: Client, order: Order, verb: str, **data: str) -> str:
    """Press a button; returns the page that follows."""
    url = reverse("admin:withdrawal_act", args=(order.public_id, verb))
    return client.post(url, data, follow=True).content.decode()


def status_of(order: Order) -> str:
    return Order.objects.values_list("status", flat=True).get(pk=order.pk)


def held(order: Order) -> Decimal:
    return next(row.held for row in customer_balances(order.owner_id) if row.currency == order.currency_in)


def test_the_page_says_everything_at_once(at_desk: AtDesk, order: Order) -> None:
    page = at_desk().get(page_of(order)).content.decode()
    for said in (
        scene.DESTINATION,
        "first@example.com",
        "The amount is above the approval limit",
        "The customer has never used this destination",
        "Level 2 – full",
        "Ordered from an address that the customer signed in from",
        "Withdrawal: hold",
        'data-testid="approve"',
        'data-testid="reject"',
    ):
        assert said in page
    assert "12\u00a0500" in page
    figures = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert strip_tags(figures["Held for orders"]) == "12\u00a0550.000000 USDT"
    assert strip_tags(figures["Available now"]) == "7\u00a0450.000000 USDT"
    # A least amount is not used up: its bar would be full, and red, for every order.
    bars = re.findall(r'<div class="k-limit">\s*<p>(.*?) <span>', page)
    assert bars == ["Greatest amount", "Amount a day", "Orders a day"]


def test_the_page_costs_the_same_whatever_its_history(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    client.get(page_of(order))
    with CaptureQueriesContext(connection) as before:
        client.get(page_of(order))
    for number in range(3):
        scene.fund(order.owner, "3000")
        again = scene.withdrawal(order.owner, "1500", scene.OTHER_DESTINATION)
        other = scene.withdrawal(scene.customer(f"other{number}@example.com", balance="9000"), "2000")
        scene.delivery(order.owner, order=order)
        scene.delivery(order.owner, order=again)
        act(client, order, "note", text=f"note {number}")
        assert other.pk
    client.get(page_of(order))
    with CaptureQueriesContext(connection) as after:
        client.get(page_of(order))
    assert len(after) == len(before)
    assert len(after) <= 33


def test_a_shared_destination_and_an_unknown_address_stand_out(at_desk: AtDesk, order: Order) -> None:
    stranger = scene.customer("second.customer@example.com", balance="9000", days=2)
    second = scene.withdrawal(stranger, "2000", ip="203.0.113.77")
    page = at_desk().get(page_of(second)).content.decode()
    assert "Other customers use this destination: first@example.com" in page
    assert "Ordered from an address never seen in sign-ins" in page
    assert "The account is younger than a week" in page


def test_approve_sends_the_money_on_its_way(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    page = act(client, order, "approve", reason="checked by phone")
    assert "Approved: 12500 USDT" in page
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS
    vote = ApprovalVote.objects.get()
    assert (vote.decision, vote.actor_label, vote.reason) == (
        "approve",
        client.person.user.email,
        "checked by phone",
    )


def test_reject_needs_a_reason_and_gives_the_money_back(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    act(client, order, "reject", code="", words="no reason chosen")
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION
    assert held(order) == Decimal(12550)
    act(client, order, "reject", code="suspicious_destination", words="on a list")
    assert status_of(order) == OrderStatus.CANCELLED
    assert held(order) == 0
    assert ApprovalVote.objects.get().reason == "Suspicious destination: on a list"


def test_the_reason_is_kept_in_english_whatever_the_operator_reads(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    client.post(reverse("admin:language"), {"language": "uk", "next": "/"})
    act(client, order, "reject", code="other", words="")
    assert ApprovalVote.objects.get().reason == "Other"


def test_a_note_is_kept_and_shown(at_desk: AtDesk, order: Order) -> None:
    page = act(at_desk("Support"), order, "note", text="The customer called <b>twice</b>")
    assert "The customer called &lt;b&gt;twice&lt;/b&gt;" in page
    assert OrderNote.objects.count() == 1


def test_after_a_decision_comes_the_next_in_the_queue(at_desk: AtDesk, order: Order) -> None:
    following = scene.withdrawal(scene.customer("third@example.com", balance="9000"), "2000")
    url = reverse("admin:withdrawal_act", args=(order.public_id, "approve"))
    answer = at_desk().post(url, {"reason": ""})
    assert answer.headers["Location"] == page_of(following)


def test_the_next_one_is_the_oldest_that_is_free(at_desk: AtDesk, order: Order) -> None:
    scene.age_approval(order, 50)
    second = scene.withdrawal(scene.customer("third@example.com", balance="9000"), "2000")
    third = scene.withdrawal(scene.customer("fifth@example.com", balance="9000"), "2100")
    mine, others = at_desk(), at_desk()
    following = reverse("admin:withdrawal_next")
    assert mine.get(following).headers["Location"] == page_of(order)
    act(others, second, "take")
    assert mine.get(f"{following}?after={order.public_id}").headers["Location"] == page_of(third)
    assert mine.get(f"{following}?after={third.public_id}").headers["Location"] == page_of(order)


def test_the_second_operator_sees_who_has_it(at_desk: AtDesk, order: Order) -> None:
    first, second = at_desk(), at_desk()
    act(first, order, "take")
    name = first.person.user.email
    page = second.get(page_of(order)).content.decode()
    assert f"Taken by {name}" in page
    assert 'data-testid="approve"' not in page
    state = second.get(reverse("admin:withdrawal_state", args=(order.public_id,))).content.decode()
    assert f"Taken by {name}" in state
    page = act(second, order, "approve", reason="")
    assert f"{name} took it at" in page
    assert "Nothing was done twice." in page
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION
    act(second, order, "untake")
    act(second, order, "approve", reason="")
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS


@pytest.mark.parametrize("winner", ["approve", "reject"])
def test_the_loser_of_a_race_is_told_what_happened(at_desk: AtDesk, order: Order, winner: str) -> None:
    first, second = at_desk(), at_desk()
    data = {"reason": "", "code": "other", "words": ""}
    act(first, order, winner, **data)
    before = status_of(order)
    page = act(second, order, "reject" if winner == "approve" else "approve", **data)
    done = "approved" if winner == "approve" else "rejected"
    assert f"{first.person.user.email} {done} it at" in page
    assert status_of(order) == before
    assert ApprovalVote.objects.count() == 1


def test_two_people_where_two_are_needed(at_desk: AtDesk, house: None) -> None:
    scene.provider()
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="USDT").update(approvals_needed=2)
    order = scene.withdrawal(scene.customer("first@example.com", balance="20000"), "12500")
    first, second = at_desk(), at_desk("Senior")
    page = act(first, order, "approve", reason="")
    assert "Another person has to approve" in page
    page = first.get(page_of(order)).content.decode()
    assert "You have approved it. Another person has to approve it as well." in page
    assert 'data-testid="approve"' not in page
    act(first, order, "approve", reason="")
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION
    act(second, order, "approve", reason="")
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS


@pytest.mark.parametrize("role", ["Support", "Compliance", "Finance", "Administrator", "Auditor"])
def test_who_may_not_decide_sees_no_buttons_and_is_refused(at_desk: AtDesk, order: Order, role: str) -> None:
    client = at_desk(role)
    page = client.get(page_of(order)).content.decode()
    assert 'data-testid="approve"' not in page
    assert 'data-testid="reject"' not in page
    for verb in ("approve", "reject", "take", "untake"):
        url = reverse("admin:withdrawal_act", args=(order.public_id, verb))
        answer = client.post(url, {"reason": "", "code": "other", "words": ""})
        assert answer.status_code == 403
        assert "Your roles do not allow this" in answer.content.decode()
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION
    assert Approval.objects.get().taken_by is None


@pytest.mark.parametrize("verb", ["approve", "reject", "take", "untake", "note"])
def test_looking_changes_nothing(at_desk: AtDesk, order: Order, verb: str) -> None:
    url = reverse("admin:withdrawal_act", args=(order.public_id, verb))
    assert at_desk().get(url).status_code == 405
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION


def test_a_decision_needs_its_token(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    client.handler.enforce_csrf_checks = True
    url = reverse("admin:withdrawal_act", args=(order.public_id, "approve"))
    answer = client.post(url, {"reason": ""})
    assert answer.status_code == 403
    assert "Nothing was changed. Open the page again" in answer.content.decode()
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION


def test_an_unknown_order_is_not_found(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    missing = reverse("admin:withdrawal_order_withdrawaldetail_change", args=("nonsense",))
    assert client.get(missing).status_code == 302
    url = reverse("admin:withdrawal_act", args=(order.owner.public_id, "approve"))
    page = client.post(url, {"reason": ""}, follow=True).content.decode()
    assert "Not found." in page


def test_the_orders_page_leads_to_the_decision(at_desk: AtDesk, order: Order) -> None:
    url = reverse("admin:order_core_order_change", args=(order.public_id,))
    assert at_desk().get(url).headers["Location"] == page_of(order)


@pytest.mark.parametrize(("queue", "shown"), [("waiting", 2), ("overdue", 1), ("mine", 0)])
def test_the_queue_is_filtered(at_desk: AtDesk, order: Order, queue: str, shown: int) -> None:
    scene.age_approval(order, 45)
    scene.withdrawal(scene.customer("third@example.com", balance="9000"), "2000")
    url = reverse("admin:withdrawal_order_withdrawaldetail_changelist")
    page = at_desk().get(url, {"queue": queue}).content.decode()
    assert page.count('class="field-amount') == shown


def test_put_on_hold_and_back(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    act(client, order, "hold", reason="until the bank opens")
    page = client.get(page_of(order)).content.decode()
    assert f"On hold, put there by {client.person.user.email}" in page
    assert "until the bank opens" in page
    assert 'data-testid="approve"' not in page
    page = act(client, order, "approve", reason="")
    assert "put it on hold at" in page
    assert "Nothing was done twice." in page
    url = reverse("admin:withdrawal_order_withdrawaldetail_changelist")
    assert [
        client.get(url, {"queue": queue}).content.decode().count('class="field-amount')
        for queue in ("waiting", "held")
    ] == [0, 1]
    act(client, order, "unhold")
    act(client, order, "approve", reason="")
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS


def test_hand_and_ask_from_the_page(at_desk: AtDesk, order: Order) -> None:
    client, colleague = at_desk(), scene.operator("Treasury", "other@example.com")
    other = colleague.user
    page = client.get(page_of(order)).content.decode()
    assert f'<option value="{other.public_id}">other@example.com</option>' in page
    assert f"{client.person.user.email}</option>" not in page
    page = act(client, order, "hand", to="nonsense", words="")
    assert Approval.objects.get().taken_by is None
    act(client, order, "hand", to=str(other.public_id), words="")
    assert Approval.objects.get().taken_by == other
    third = at_desk(person=colleague)
    act(third, order, "ask", question="Is it your own wallet?")
    page = third.get(page_of(order)).content.decode()
    assert "Asked the customer: Is it your own wallet?" in page

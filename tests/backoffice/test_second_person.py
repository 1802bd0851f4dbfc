"""Screens where one person is not enough: policies, switches, adjustments, months, movements, rates."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kauri.account.models import User
from kauri.balance.models import Adjustment, Entry, LedgerAccount, Period, Transfer
from kauri.common.admin import page_url
from kauri.common.money import grouped
from kauri.core.models import AuditEntry, Proposal, Switch
from kauri.core.selectors import switch_is_on
from kauri.exchange_rate.models import UsdRate
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core.models import Order, Policy
from tests.backoffice import scene
from tests.backoffice.test_acts import SENT, change, dialog
from tests.moves import as_owner, balance_of, give, six_digits

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]


@pytest.fixture
def policy() -> Policy:
    return Policy.objects.get(operation="WITHDRAWAL", currency__code="USDT")


def test_a_policys_form_proposes_and_changes_nothing(at_desk: AtDesk, policy: Policy) -> None:
    client = at_desk("Administrator")
    page = change(client, policy, approval_above="2500.5", change_reason="fewer small ones")
    policy.refresh_from_db()
    assert policy.approval_above == 1000
    assert "a second person decides" in page
    row = Proposal.objects.get()
    assert (row.before, row.after) == ({"approval_above": "1000"}, {"approval_above": "2500.5"})
    assert (row.reason, row.proposed_by) == ("fewer small ones", client.person.user.email)
    assert policy.history.count() == 1
    # The maker's own page has no button to approve; the door behind it is shut as well.
    page = client.get(page_url(row)).content.decode()
    assert "Approve the change" not in page
    answer = client.post(dialog("core_proposal_approve", row.public_id), {**SENT, "reason": ""})
    assert answer.status_code == 403
    row.refresh_from_db()
    assert row.state == "pending"
    assert "waits for a second person" in client.get(page_url(policy)).content.decode()


def test_another_person_sees_the_difference_the_dry_run_and_decides(at_desk: AtDesk, policy: Policy) -> None:
    scene.provider()
    user = scene.customer("moves-much@example.com", balance="5000")
    scene.withdrawal(user, "1500")
    change(at_desk("Administrator"), policy, approval_above="2500.5", change_reason="fewer small ones")
    row = Proposal.objects.get()
    client = at_desk("Senior")
    page = client.get(page_url(row)).content.decode()
    for said in (
        "operator approval above",
        "1000",
        "2500.5",
        "fewer small ones",
        "would not have needed an operator",
    ):
        assert said in page
    client.post(dialog("core_proposal_approve", row.public_id), {**SENT, "reason": "seen"})
    policy.refresh_from_db()
    row.refresh_from_db()
    assert (policy.approval_above, row.state, row.decision_reason) == (Decimal("2500.5"), "applied", "seen")
    history = client.get(reverse("admin:order_core_policy_history", args=(policy.pk,))).content.decode()
    assert "fewer small ones" in history
    # One click takes it back: a proposal again.
    admin = at_desk("Administrator")
    admin.post(dialog("core_proposal_revert", row.public_id), {**SENT, "reason": "too many complaints"})
    back = Proposal.objects.order_by("-id")[0]
    assert (back.reverts_id, back.after, back.state) == (row.pk, {"approval_above": "1000"}, "pending")
    policy.refresh_from_db()
    assert policy.approval_above == Decimal("2500.5")


def test_a_new_policy_and_a_rejection(at_desk: AtDesk) -> None:
    admin = at_desk("Administrator")
    count = Policy.objects.count()
    data = {
        "operation": "WITHDRAWAL",
        "account_type": "business",
        "unit": "currency",
        "enabled": "unknown",
        "max_amount": "77",
        "change_reason": "shops are new here",
    }
    page = admin.post(reverse("admin:order_core_policy_add"), data, follow=True).content.decode()
    assert "a second person decides" in page
    row = Proposal.objects.get()
    assert (row.target_id, row.after["max_amount"], row.after["account_type"]) == ("", "77", "business")
    senior = at_desk("Senior")
    senior.post(dialog("core_proposal_reject", row.public_id), {**SENT, "reason": "not yet"})
    row.refresh_from_db()
    assert (row.state, Policy.objects.count()) == ("rejected", count)
    again = admin.post(reverse("admin:order_core_policy_add"), {**data, "max_amount": "-1"}, follow=True)
    assert Proposal.objects.count() == 1
    assert again.status_code == 200


def test_an_absurd_change_is_refused_in_words(at_desk: AtDesk, policy: Policy) -> None:
    page = change(at_desk("Administrator"), policy, change_reason="nothing at all")
    assert "nothing would change" in page
    assert Proposal.objects.count() == 0


def test_a_switch_says_what_it_stops_and_is_off_by_one(at_desk: AtDesk) -> None:
    scene.provider()
    scene.withdrawal(scene.customer("one@example.com", balance="5000"), "1500")
    client, switch = at_desk("Treasury"), Switch.objects.get(code="withdrawal")
    page = client.get(page_url(switch)).content.decode()
    for said in ("orders in the last 24 hours", grouped(Decimal(1500), 0), "Switch off"):
        assert said in page
    client.post(dialog("core_switch_stop", switch.pk), {**SENT, "reason": "node trouble", "expires_at": ""})
    assert not switch_is_on("withdrawal")
    switch.refresh_from_db()
    assert (switch.reason, switch.off_by) == ("node trouble", client.person.user.email)
    client.post(dialog("core_switch_start", switch.pk), {**SENT, "reason": "node is back"})
    assert not switch_is_on("withdrawal")
    row = Proposal.objects.get()
    senior, door = at_desk("Senior"), dialog("core_proposal_approve", row.public_id)
    assert 'data-testid="code"' in senior.get(door).content.decode()
    senior.post(door, {**SENT, "reason": "", "code": ""})
    assert not switch_is_on("withdrawal")
    senior.post(door, {**SENT, "reason": "", "code": six_digits(senior.person.user)})
    assert switch_is_on("withdrawal")
    until = (timezone.now() + timedelta(hours=2)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    client.post(dialog("core_switch_stop", switch.pk), {**SENT, "reason": "again", "expires_at": until})
    switch.refresh_from_db()
    assert switch.expires_at is not None
    assert switch.expires_at.strftime("%Y-%m-%dT%H:%M:%S") == until
    support = at_desk("Support").post(dialog("core_switch_stop", switch.pk), {**SENT, "reason": "x"})
    assert support.status_code in {302, 403}


def adjustment_form(user: User, **fields: Any) -> dict[str, Any]:
    currency = LedgerAccount.objects.filter(customer=user)[0].currency_id
    paper = SimpleUploadedFile("letter.pdf", b"%PDF-1.7 from the bank", "application/pdf")
    return {
        "currency": currency,
        "amount": "12.50",
        "source": "32",
        "source_owner": "",
        "target": "1",
        "target_owner": user.email,
        "corrects": "",
        "reason": "credited by the bank, never booked",
        "document": paper,
        **fields,
    }


def test_an_adjustment_from_form_to_books(at_desk: AtDesk) -> None:
    user = scene.customer("short@example.com")
    give(user, "UAH", "1")
    finance, url = at_desk("Finance"), reverse("admin:balance_adjustment_add")
    assert finance.get(url).status_code == 200
    page = finance.post(url, adjustment_form(user), follow=True).content.decode()
    assert "Nothing has moved yet" in page
    row = Adjustment.objects.get()
    assert balance_of(user, "UAH")[0] == 1
    own = finance.post(dialog("balance_adjustment_approve", row.public_id), {**SENT, "reason": "me"})
    assert own.status_code == 403
    senior = at_desk("Senior")
    page = senior.get(page_url(row)).content.decode()
    for said in ("12.5", "letter.pdf", user.email, "Approve and post"):
        assert said in page
    paper = senior.get(reverse("admin:balance_adjustment_document", args=(row.public_id,)))
    assert (paper.content, paper["Content-Type"]) == (b"%PDF-1.7 from the bank", "application/pdf")
    assert paper["Content-Disposition"].startswith("attachment")
    senior.post(dialog("balance_adjustment_approve", row.public_id), {**SENT, "reason": "seen the letter"})
    assert balance_of(user, "UAH")[0] == Decimal("13.50")
    verbs = set(AuditEntry.objects.filter(object_type="adjustment").values_list("verb", flat=True))
    assert verbs == {"adjustment_propose", "adjustment_approve", "adjustment_document_view"}


def test_a_reversal_from_form_to_books(at_desk: AtDesk) -> None:
    user = scene.customer("twice@example.com")
    give(user, "UAH", "10")
    number = Transfer.objects.get().pk
    empty = {"currency": "", "amount": "", "source": "", "target": "", "target_owner": ""}
    form = adjustment_form(user, **empty, reverses_number=str(number))
    at_desk("Finance").post(reverse("admin:balance_adjustment_add"), form)
    row = Adjustment.objects.get()
    at_desk("Senior").post(dialog("balance_adjustment_approve", row.public_id), {**SENT, "reason": "yes"})
    assert balance_of(user, "UAH")[0] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"target_owner": "nobody@example.com"},
        {"target": "2"},
        {"source_owner": "sandbox"},
        {"amount": "lots"},
        {"currency": ""},
        {"document": SimpleUploadedFile("x.pdf", b"MZ a program", "application/pdf")},
    ],
)
def test_a_wrong_form_says_so_and_proposes_nothing(at_desk: AtDesk, fields: dict[str, Any]) -> None:
    user = scene.customer("wrong@example.com")
    give(user, "UAH", "1")
    url = reverse("admin:balance_adjustment_add")
    answer = at_desk("Finance").post(url, adjustment_form(user, **fields), follow=True)
    assert answer.status_code == 200
    assert (Adjustment.objects.count(), Entry.objects.count()) == (0, 2)
    assert at_desk("Support").post(url, adjustment_form(user)).status_code == 403


def test_a_month_is_closed_from_the_list_and_its_pack_taken(at_desk: AtDesk) -> None:
    user = scene.customer("old@example.com")
    with as_owner() as cursor:
        cursor.execute(
            "create or replace function ledger_now() returns timestamptz language sql volatile"
            " as 'select timestamptz ''2026-03-15 10:00:00+00'''"
        )
    give(user, "UAH", "10")
    with as_owner() as cursor:
        cursor.execute(
            "create or replace function ledger_now() returns timestamptz language sql volatile"
            " as 'select clock_timestamp()'"
        )
    finance = at_desk("Finance")
    page = finance.post(dialog("balance_period_close"), {**SENT, "month": "2026-05"}, follow=True)
    assert Period.objects.count() == 0
    finance.post(dialog("balance_period_close"), {**SENT, "month": "2026-03"})
    period = Period.objects.get()
    page = finance.get(page_url(period)).content.decode()
    assert "2026-03" in page
    assert "Download" in page
    pack = finance.get(reverse("admin:balance_period_pack", args=(period.pk,)))
    names = zipfile.ZipFile(io.BytesIO(pack.content)).namelist()
    assert names == ["trial_balance.json", "trial_balance.csv", "trial_balance.json.sig", "public_key"]
    assert AuditEntry.objects.filter(verb="pack_download").count() == 1
    treasury = at_desk("Treasury")
    assert treasury.get(reverse("admin:balance_period_pack", args=(period.pk,))).status_code == 403
    assert treasury.post(dialog("balance_period_close"), {**SENT, "month": "2026-04"}).status_code in {
        302,
        403,
    }
    assert Period.objects.count() == 1
    assert period.starts_at == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_movement_is_decided_on_its_page(at_desk: AtDesk) -> None:
    scene.two_people(1)
    order = Order.objects.get(type="INTERNAL_MOVEMENT")
    client = at_desk("Treasury")
    queue = client.get(reverse("admin:internal_movement_order_movementdetail_changelist") + "?queue=waiting")
    assert "sends1@example.com" in queue.content.decode()
    led = client.get(reverse("admin:order_core_order_change", args=(order.public_id,)))
    assert led.url == page_url(MovementDetail.objects.get())
    page = client.get(led.url).content.decode()
    for said in (
        "sends1@example.com",
        "gets1@example.com",
        grouped(Decimal(500000), 0),
        "above the approval limit",
        "Approve",
    ):
        assert said in page
    client.post(dialog("internal_movement_order_movementdetail_take", order.public_id), SENT)
    other = at_desk("Treasury")
    other.post(
        dialog("internal_movement_order_movementdetail_approve", order.public_id), {**SENT, "reason": ""}
    )
    order.refresh_from_db()
    assert order.status == "WAITING_FOR_OPERATOR_CONFIRMATION"
    client.post(
        dialog("internal_movement_order_movementdetail_approve", order.public_id), {**SENT, "reason": ""}
    )
    order.refresh_from_db()
    assert order.status == "CLOSED"
    assert balance_of(User.objects.get(email="gets1@example.com"), "UAH")[0] == 500_000


def test_a_rate_is_set_by_a_dialog(at_desk: AtDesk) -> None:
    finance = at_desk("Finance")
    give(scene.customer("rate@example.com"), "UAH", "1")
    uah = LedgerAccount.objects.filter(currency__code="UAH")[0].currency_id
    values = {**SENT, "currency": uah, "price": "0.0241", "source": "central bank", "hours": "24"}
    values["reason"] = "today's"
    finance.post(dialog("exchange_rate_usdrate_say"), values)
    assert not UsdRate.objects.exists()
    row, senior = Proposal.objects.get(), at_desk("Senior")
    page = senior.get(page_url(row)).content.decode()
    assert "0.0241" in page
    assert "central bank" in page
    senior.post(dialog("core_proposal_approve", row.public_id), {**SENT, "reason": ""})
    assert UsdRate.objects.get().price == Decimal("0.0241")
    assert "0.0241" in finance.get(reverse("admin:exchange_rate_usdrate_changelist")).content.decode()
    finance.post(dialog("exchange_rate_usdrate_say"), {**values, "price": "-1"})
    assert Proposal.objects.count() == 1
    finance.post(dialog("exchange_rate_usdrate_say"), {**values, "price": "0.0482"})
    assert "+100.00 %" in senior.get(page_url(Proposal.objects.first())).content.decode()


@pytest.mark.parametrize(
    ("language", "title"),
    [("en", "Withdrawal, USDT, everyone"), ("uk", "Вивід, USDT, усі"), ("ru", "Вывод, USDT, все")],
)
def test_a_proposal_is_titled_in_the_language_of_its_reader(
    at_desk: AtDesk, policy: Policy, language: str, title: str
) -> None:
    change(at_desk("Administrator"), policy, approval_above="2500.5", change_reason="fewer small ones")
    row = Proposal.objects.get()
    reader = at_desk("Auditor")
    reader.cookies["django_language"] = language
    for url in (reverse("admin:core_proposal_changelist"), page_url(row)):
        page = reader.get(url).content.decode()
        assert title in page, url
        assert ("Withdrawal, USDT, everyone" in page) is (language == "en"), url

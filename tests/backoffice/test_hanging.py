"""Payments that hang, from the desk to their end by two people; payout channels through a second person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from kauri.common.admin import page_url
from kauri.core.models import AuditEntry, Proposal
from kauri.order_core.models import Order
from kauri.payment_provider.models import Channel, Payout
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.models import Closing, HangingPayout
from tests.backoffice import scene
from tests.backoffice.test_acts import SENT, change, dialog
from tests.moves import balance_of, give, later, sandbox_on, withdraw

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
LIST = "admin:withdrawal_order_hangingpayout_changelist"


@pytest.fixture
def lost() -> Payout:
    sandbox_on()
    user = scene.customer("lost@example.com")
    give(user, "UAH", "1000")
    order = withdraw(user, "100", currency="UAH", to="sandbox:strange")
    from kauri.withdrawal_order.services import withdrawal_approve

    withdrawal_approve(order_id=order.public_id, actor=scene.operator("Treasury").user.as_actor())
    payout = Payout.objects.get()
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    return payout


def page_of(payout: Payout) -> str:
    return reverse("admin:withdrawal_order_hangingpayout_change", args=[payout.public_id])


def paper() -> SimpleUploadedFile:
    return SimpleUploadedFile("statement.pdf", b"%PDF-1.7 paid on Monday", "application/pdf")


def form(payout: Payout, **fields: Any) -> dict[str, Any]:
    return {
        "payout": str(payout.public_id),
        "outcome": "paid",
        "reference": "BANK-77",
        "reason": "the statement shows it",
        "document": paper(),
        **fields,
    }


def test_from_the_desk_to_the_books(at_desk: AtDesk, lost: Payout) -> None:
    client, senior = at_desk("Treasury"), at_desk("Senior")
    desk = client.get(reverse("admin:index")).content.decode()
    assert "Payments that hang" in desk
    listed = client.get(reverse(LIST), {"queue": "waiting"}).content.decode()
    assert ">100<u>.00</u>" in listed
    page = client.get(page_of(lost)).content.decode()
    for said in ("Say how it ended, with a paper", "Ask the provider now", "lost@example.com", "Sandbox"):
        assert said in page
    add = reverse("admin:withdrawal_order_closing_add")
    assert str(lost.public_id) in client.get(add, {"payout": lost.public_id}).content.decode()
    answer = client.post(add, form(lost), follow=True).content.decode()
    assert "Nothing has moved yet" in answer
    row = Closing.objects.get()
    assert "A closing waits for a second person" in client.get(page_of(lost)).content.decode()
    assert "Approve and post" not in client.get(page_url(row)).content.decode()
    approve = dialog("withdrawal_order_closing_approve", row.public_id)
    assert client.post(approve, {**SENT, "reason": "me"}).status_code == 403
    seen = senior.get(page_url(row)).content.decode()
    for said in ("BANK-77", "statement.pdf", "It was paid", "Approve and post"):
        assert said in seen
    got = senior.get(reverse("admin:withdrawal_order_closing_document", args=[row.public_id]))
    assert (got.content, got["Content-Disposition"]) == (
        b"%PDF-1.7 paid on Monday",
        f'attachment; filename="closing-{row.pk}"',
    )
    senior.post(approve, {**SENT, "reason": "seen"})
    lost.refresh_from_db()
    assert (lost.state, Order.objects.get().status) == ("confirmed", "CLOSED")
    assert balance_of(Order.objects.get().owner, "UAH") == (895, 0)
    assert "There is nothing to close" in client.get(page_of(lost)).content.decode().replace("there", "There")
    assert HangingPayout.objects.count() == 1
    verbs = (
        AuditEntry.objects.filter(verb__startswith="closing").order_by("id").values_list("verb", flat=True)
    )
    assert list(verbs) == ["closing_propose", "closing_document_view", "closing_approve"]


def test_it_is_asked_again_by_a_button(at_desk: AtDesk, lost: Payout) -> None:
    Payout.objects.filter(pk=lost.pk).update(next_attempt_at=later(500))
    url = dialog("withdrawal_order_hangingpayout_ask_again", lost.public_id)
    assert at_desk("Auditor").post(url, SENT).status_code == 403
    assert paying.payouts_sweep() == 0
    at_desk("Treasury").post(url, SENT)
    assert paying.payouts_sweep() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"reference": ""},
        {"payout": "00000000-0000-0000-0000-000000000000"},
        {"payout": "rubbish"},
        {"document": SimpleUploadedFile("x.pdf", b"MZ", "application/pdf")},
        {"outcome": "perhaps"},
    ],
)
def test_a_wrong_form_proposes_nothing(at_desk: AtDesk, lost: Payout, fields: dict[str, Any]) -> None:
    answer = at_desk("Treasury").post(
        reverse("admin:withdrawal_order_closing_add"), {**form(lost), **fields}, follow=True
    )
    assert answer.status_code == 200
    assert not Closing.objects.exists()


def test_only_some_may(at_desk: AtDesk, lost: Payout) -> None:
    for role in ("Support", "Finance", "Administrator", "Auditor"):
        client = at_desk(role)
        assert client.post(reverse("admin:withdrawal_order_closing_add"), form(lost)).status_code == 403
    assert not Closing.objects.exists()


def test_a_channel_is_changed_by_two_people(at_desk: AtDesk) -> None:
    row = scene.channel(1)
    given = {"max_amount": "14999", "pace_seconds": "0", "change_reason": "the bank's new limit"}
    assert "a second person decides" in change(at_desk("Administrator"), row, **given)
    row.refresh_from_db()
    assert row.max_amount == 29999
    proposal = Proposal.objects.get()
    assert (proposal.before, proposal.after) == ({"max_amount": "29999"}, {"max_amount": "14999"})
    at_desk("Senior").post(dialog("core_proposal_approve", proposal.public_id), {**SENT, "reason": "read it"})
    row.refresh_from_db()
    assert row.max_amount == 14999
    listed = at_desk("Auditor").get(reverse("admin:payment_provider_channel_changelist")).content.decode()
    for said in ("Bank 1", "always", ">14\u00a0999<"):
        assert said in listed
    assert Channel.objects.count() == 1

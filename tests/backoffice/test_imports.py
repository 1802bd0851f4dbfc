"""Settings by a file on the pages: upload, dry run, proposal, and the second person's one press."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from kauri.account.models import CustomerGroup
from kauri.common.admin import list_url, page_url
from kauri.core.models import AuditEntry, Proposal
from kauri.order_core.models import Policy

AtDesk = Callable[..., Client]
HEAD = "operation,currency,user,group,account_type"
TWO = f"{HEAD},min_amount\nWITHDRAWAL,UAH,,,,70.50\nWITHDRAWAL,,,,business,5\n"
PAGE = "admin:order_core_policy_import_rows"

pytestmark = pytest.mark.usefixtures("house")


def shown(client: Client, text: str | bytes = TWO) -> tuple[str, str]:
    """The dry run's page, and what it carries."""
    data = text.encode() if isinstance(text, str) else text
    answer = client.post(reverse(PAGE), {"file": SimpleUploadedFile("edited.csv", data)})
    assert answer.status_code == 200
    return answer.content.decode(), answer.context.get("sheet", "")


def pressed(client: Client, sheet: str) -> str:
    data = {"sheet": sheet, "reason": "new prices"}
    return client.post(reverse(PAGE), data, follow=True).content.decode()


def test_from_the_file_to_the_second_person(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    assert reverse(PAGE) in client.get(list_url(Policy)).content.decode()
    page, sheet = shown(client)
    assert "Propose 2 changes" in page
    assert "70.5" in page
    assert Proposal.objects.count() == 0
    assert "2 changes are proposed." in pressed(client, sheet)
    rows = list(Proposal.objects.order_by("id"))
    assert len({row.batch for row in rows}) == 1
    assert list_url(Proposal, batch=rows[0].batch) in client.get(page_url(rows[0])).content.decode()
    url = list_url(Proposal, batch=rows[0].batch)
    data = {"action": "approve_chosen", "_selected_action": [str(row.pk) for row in rows]}
    own = client.post(url, {**data, "confirmed": "1", "reason": "mine"}, follow=True).content.decode()
    assert "You proposed it yourself." in own
    assert set(Proposal.objects.values_list("state", flat=True)) == {"pending"}
    other = at_desk("Senior")
    assert "Approve 2 changes" in other.post(url, data).content.decode()
    done = other.post(url, {**data, "confirmed": "1", "reason": "seen"}, follow=True).content.decode()
    assert "Your decision on 2 changes is done." in done
    assert Policy.objects.get(account_type="business").min_amount == Decimal(5)
    assert set(Proposal.objects.values_list("state", flat=True)) == {"applied"}


def test_what_changed_meanwhile_is_shown_anew(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    _page, sheet = shown(client)
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(min_amount=Decimal(60))
    page = pressed(client, sheet)
    assert "It has changed since it was shown to you." in page
    assert "Propose 2 changes" in page
    assert Proposal.objects.count() == 0


def test_what_another_was_shown_is_refused(at_desk: AtDesk) -> None:
    _page, sheet = shown(at_desk("Administrator"))
    for text in (sheet, sheet[:-3]):
        assert "This was not shown to you here." in pressed(at_desk("Administrator"), text)
    assert Proposal.objects.count() == 0


def test_a_line_with_an_error_stops_all(at_desk: AtDesk) -> None:
    page, sheet = shown(at_desk("Administrator"), TWO + "WITHDRAWAL,XXX,,,,1\n")
    assert "There is none with this code: XXX" in page
    assert 'data-testid="faults"' in page
    assert sheet == ""


def test_the_download_comes_back_unchanged(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    answer = client.post(reverse("admin:order_core_policy_import_file"))
    assert "attachment" in answer["Content-Disposition"]
    page, _sheet = shown(client, answer.content)
    assert 'data-testid="same"' in page
    assert AuditEntry.objects.filter(verb="list_export").count() == 1


@pytest.mark.parametrize("role", ["Support", "Auditor", "Treasury"])
def test_who_may_not_propose_sees_no_door(at_desk: AtDesk, role: str) -> None:
    client = at_desk(role)
    assert reverse(PAGE) not in client.get(list_url(Policy)).content.decode()
    for name in (PAGE, "admin:order_core_policy_import_file"):
        assert client.post(reverse(name), {}).status_code == 403


def test_a_limited_operator_imports_nothing(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    _page, sheet = shown(client)
    assign_perm("account.view_customergroup", client.person.user, CustomerGroup.objects.first())
    assert client.post(reverse(PAGE), {"sheet": sheet, "reason": "x"}).status_code == 403
    assert Proposal.objects.count() == 0

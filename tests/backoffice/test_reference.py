"""Currencies, providers and their keys, roles and who has them: said by one person on a form, decided by another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from kauri.common.admin import page_url
from kauri.core.models import AuditEntry, Currency, Proposal, Provider
from tests.backoffice import scene
from tests.backoffice.test_acts import SENT, change, dialog
from tests.moves import as_owner, six_digits

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
NO_CODE = "A one-time code of your authenticator is needed"
PROPOSED = "Nothing has changed yet: a second person decides"
SECRET = "the-secret-itself"


def decide(client: Client, row: Proposal, **given: Any) -> str:
    data = {**SENT, "reason": "seen", **given}
    client.post(dialog("core_proposal_approve", row.public_id), data)
    row.refresh_from_db()
    return row.state


def code(client: Client) -> str:
    return six_digits(client.person.user)


def test_a_currency_is_changed_by_two_with_a_reason_a_diff_and_an_author(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    currency = Currency.objects.get(code="USDT")
    before = currency.symbol
    assert "This field is required" in change(client, currency, symbol="T", change_reason="")
    assert PROPOSED in change(client, currency, symbol="T", change_reason="as printed")
    currency.refresh_from_db()
    assert currency.symbol == before != "T"
    row = Proposal.objects.get()
    other = at_desk("Senior")
    assert decide(other, row) == "applied"
    currency.refresh_from_db()
    assert currency.symbol == "T"
    entry = AuditEntry.objects.get(verb="proposal_apply")
    assert (entry.before, entry.after) == ({"symbol": before}, {"symbol": "T"})
    assert (entry.reason, entry.actor_label) == ("as printed", other.person.user.email)
    history = client.get(reverse("admin:core_currency_history", args=(currency.pk,))).content.decode()
    for said in (client.person.user.email, "as printed", "symbol"):
        assert said in history


def test_what_is_chosen_once_is_not_on_the_form(at_desk: AtDesk) -> None:
    client, currency = at_desk("Administrator"), Currency.objects.get(code="USDT")
    page = change(client, currency, scale="2", code="OTHER", change_reason="a try")
    assert "nothing would change" in page
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("role", ["Support", "Treasury", "Finance", "Senior", "Auditor"])
def test_settings_are_proposed_by_administrators_only(at_desk: AtDesk, role: str) -> None:
    client, currency = at_desk(role), Currency.objects.get(code="USDT")
    client.post(page_url(currency), {"name": "X", "sort": 1, "change_reason": "because"})
    assert not Proposal.objects.exists()


def test_credentials_go_in_by_two_and_never_come_out(at_desk: AtDesk) -> None:
    client, provider = at_desk("Administrator"), Provider.objects.get(code="sandbox")
    Provider.objects.filter(pk=provider.pk).update(credentials_secret=json.dumps({"key": "old", "pin": "1"}))
    given = {
        "new_credentials": json.dumps({"key": SECRET, "pin": "1", "id": "7"}),
        "change_reason": "new key",
    }
    assert NO_CODE in change(client, provider, **given)
    assert not Proposal.objects.exists()
    pages = [change(client, provider, **given, one_time_code=code(client))]
    assert PROPOSED in pages[0]
    provider.refresh_from_db()
    assert provider.credentials == {"key": "old", "pin": "1"}
    row, other = Proposal.objects.get(), at_desk("Senior")
    pages.append(other.get(page_url(row)).content.decode())
    # Which of them are new, not what they are.
    assert [row.after["credentials_secret"][name] for name in ("names", "new")] == [
        ["id", "key", "pin"],
        ["id", "key"],
    ]
    assert pages[1].count("new value") == 2
    assert decide(other, row) == "pending"  # without a code
    assert decide(other, row, code=code(other)) == "applied"
    provider.refresh_from_db()
    assert provider.credentials == {"key": SECRET, "pin": "1", "id": "7"}
    entry = AuditEntry.objects.get(verb="proposal_apply")
    assert entry.before == {"credentials_secret": ["key", "pin"]}
    assert entry.after == {"credentials_secret": ["id", "key", "pin"]}
    history = reverse("admin:core_provider_history", args=(provider.pk,))
    pages += [client.get(url).content.decode() for url in (page_url(provider), history, page_url(row))]
    assert not [page for page in pages if SECRET in page]
    assert "***" in pages[3]
    with as_owner() as cursor:
        cursor.execute("select before::text || after::text || secrets from core_proposal")
        assert SECRET not in cursor.fetchone()[0]


def test_a_providers_other_settings_leave_the_credentials(at_desk: AtDesk) -> None:
    client, provider = at_desk("Administrator"), Provider.objects.get(code="sandbox")
    Provider.objects.filter(pk=provider.pk).update(credentials_secret=json.dumps({"key": "old"}))
    change(client, provider, title="Sandbox two", change_reason="its name", one_time_code=code(client))
    row, other = Proposal.objects.get(), at_desk("Administrator")
    assert set(row.after) == {"title"}
    assert decide(other, row, code=code(other)) == "applied"
    provider.refresh_from_db()
    assert (provider.title, provider.credentials) == ("Sandbox two", {"key": "old"})


def test_a_new_provider_is_proposed(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    data = {
        "code": "sandbox-two",
        "title": "Second sandbox",
        "kind": "payment",
        "adapter": "sandbox",
        "environment": "test",
        "priority": 5,
        "settings": "{}",
        "new_credentials": json.dumps({"key": SECRET}),
        "change_reason": "a second account",
        "one_time_code": code(client),
    }
    page = client.post(reverse("admin:core_provider_add"), data, follow=True).content.decode()
    assert PROPOSED in page
    assert SECRET not in page
    assert not Provider.objects.filter(code="sandbox-two").exists()
    row, other = Proposal.objects.get(), at_desk("Senior")
    assert decide(other, row, code=code(other)) == "applied"
    made = Provider.objects.get(code="sandbox-two")
    assert (made.title, made.priority, made.is_enabled) == ("Second sandbox", 5, False)
    assert (made.settings, made.credentials) == ({}, {"key": SECRET})


@pytest.mark.parametrize("wrong", ["not json", '["a"]', '{"key": 1}'])
def test_malformed_credentials_are_refused(at_desk: AtDesk, wrong: str) -> None:
    client, provider = at_desk("Administrator"), Provider.objects.get(code="sandbox")
    given = {"new_credentials": wrong, "change_reason": "a try", "one_time_code": code(client)}
    page = change(client, provider, **given)
    assert "JSON" in page
    assert not Proposal.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_role_is_changed_by_two(at_desk: AtDesk) -> None:
    client, role = at_desk("Administrator"), Group.objects.get(name="Support")
    kept = role.permissions.get(codename="note_order")
    given = {"name": "Support", "permissions": [kept.pk], "change_reason": "notes only"}
    assert NO_CODE in client.post(page_url(role), given, follow=True).content.decode()
    page = client.post(page_url(role), {**given, "one_time_code": code(client)}, follow=True)
    assert PROPOSED in page.content.decode()
    assert role.permissions.count() > 1
    row = Proposal.objects.get()
    assert list(row.after) == ["permissions"]
    other = at_desk("Administrator")
    page = other.get(page_url(row)).content.decode()
    assert "− account.view_user" in page
    assert "order_core.note_order" not in page  # it stays
    assert decide(other, row, code=code(other)) == "applied"
    assert list(role.permissions.all()) == [kept]
    entry = AuditEntry.objects.get(verb="proposal_apply")
    assert entry.after == {"permissions": ["order_core.note_order"]}
    assert "account.view_user" in entry.before["permissions"]
    versions = reverse("admin:auth_group_history", args=(role.pk,))
    assert versions in client.get(page_url(role)).content.decode()
    history = client.get(versions).content.decode()
    for said in (client.person.user.email, other.person.user.email, "notes only", "account.view_user"):
        assert said in history


def test_nobody_decides_on_a_role_of_their_own(at_desk: AtDesk) -> None:
    client, own = at_desk("Administrator"), Group.objects.get(name="Administrator")
    before = own.permissions.count()
    given = {"name": own.name, "permissions": [], "change_reason": "more", "one_time_code": code(client)}
    assert client.post(page_url(own), given).status_code == 403
    senior = Group.objects.get(name="Senior")
    wanted = [row.pk for row in senior.permissions.all()][1:]
    client.post(page_url(senior), {**given, "name": "Senior", "permissions": wanted})
    row, favoured = Proposal.objects.get(), at_desk("Senior")
    assert "Approve the change" not in favoured.get(page_url(row)).content.decode()
    assert decide(favoured, row, code=code(favoured)) == "pending"
    assert own.permissions.count() == before


def test_a_new_role_is_proposed(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    note = Group.objects.get(name="Support").permissions.get(codename="note_order")
    given = {
        "name": "Night",
        "permissions": [note.pk],
        "change_reason": "at night",
        "one_time_code": code(client),
    }
    client.post(reverse("admin:auth_group_add"), given)
    assert not Group.objects.filter(name="Night").exists()
    other = at_desk("Senior")
    assert decide(other, Proposal.objects.get(), code=code(other)) == "applied"
    assert list(Group.objects.get(name="Night").permissions.all()) == [note]


def test_a_role_is_given_by_two(at_desk: AtDesk) -> None:
    client, operator = at_desk("Administrator"), scene.operator("Support").user
    wanted = Group.objects.get(name="Finance")
    given = {"groups": [wanted.pk], "reason": "moves to the books"}
    page = client.post(page_url(operator), given, follow=True).content.decode()
    assert NO_CODE in page
    assert "was changed successfully" not in page
    page = client.post(page_url(operator), {**given, "code": code(client)}, follow=True).content.decode()
    assert PROPOSED in page
    assert list(operator.groups.values_list("name", flat=True)) == ["Support"]
    row, other = Proposal.objects.get(), at_desk("Administrator")
    page = other.get(page_url(row)).content.decode()
    for said in ("− Support", "+ Finance", "moves to the books", operator.email):
        assert said in page
    assert decide(other, row, code=code(other)) == "applied"
    assert list(operator.groups.values_list("name", flat=True)) == ["Finance"]
    entry = AuditEntry.objects.get(verb="proposal_apply")
    assert (entry.object_type, entry.object_id) == ("user", str(operator.pk))
    assert (entry.before, entry.after) == ({"groups": ["Support"]}, {"groups": ["Finance"]})


def test_a_role_is_taken_away_by_one_at_once(at_desk: AtDesk) -> None:
    client, operator = at_desk("Administrator"), scene.operator("Support").user
    operator.groups.add(Group.objects.get(name="Finance"))
    kept = Group.objects.get(name="Support")
    page = client.post(
        page_url(operator), {"groups": [kept.pk], "reason": "left the books", "code": code(client)}
    )
    assert page.status_code == 302
    assert list(operator.groups.values_list("name", flat=True)) == ["Support"]
    assert not Proposal.objects.exists()
    entry = AuditEntry.objects.get(verb="operator_roles_change")
    assert (entry.before, entry.after) == ({"roles": ["Finance", "Support"]}, {"roles": ["Support"]})
    assert entry.reason == "left the books"


def test_nobody_raises_themselves(at_desk: AtDesk) -> None:
    client = at_desk("Administrator")
    mine = client.person.user
    treasury = Group.objects.get(name="Treasury")
    client.post(page_url(mine), {"groups": [treasury.pk], "reason": "x", "code": code(client)})
    assert not Proposal.objects.exists()
    # Nor with another's hand: whoever is to be raised does not approve it.
    other = at_desk("Administrator")
    favoured = {"groups": [treasury.pk], "reason": "x", "code": code(other)}
    other.post(page_url(mine), favoured)
    row = Proposal.objects.get()
    assert decide(client, row, code=code(client)) == "pending"
    assert list(mine.groups.values_list("name", flat=True)) == ["Administrator"]

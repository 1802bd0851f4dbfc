"""Cards and the ban list on screen: who may look, who may stop, ban and lift; the number on no page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backoffice.navigation import find
from kauri.account.models import User
from kauri.common.admin import list_url, page_url
from kauri.core.models import AuditEntry
from kauri.payment_card import selectors
from kauri.payment_card.models import CardBan, PaymentCard
from tests.backoffice import scene
from tests.backoffice.test_acts import SENT, dialog
from tests.cards import MASTERCARD, OWNER, VISA, add, number, tables_that_tell

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
CARDS = reverse("admin:payment_card_paymentcard_changelist")
BANS = reverse("admin:payment_card_cardban_changelist")
GROUPED = "4111 1111 1111 1111"


@pytest.fixture
def owner() -> User:
    return scene.customer("owner@example.com")


def text(answer: Any) -> str:
    assert answer.status_code == 200
    page: str = answer.content.decode()
    for digits in (VISA, GROUPED, MASTERCARD):
        assert digits not in page
    return page


def state(card: PaymentCard) -> str:
    return str(selectors.state_of(selectors.with_bans(PaymentCard.objects.filter(pk=card.pk)).get()).value)


def ban_dialog(client: Client, number: str, reason: str = "stolen", **headers: str) -> Any:
    return client.post(
        dialog("payment_card_cardban_ban"), {**SENT, "number": number, "reason": reason}, headers=headers
    )


def test_the_list_and_the_page_show_masks_only(at_desk: AtDesk, owner: User) -> None:
    card, other = add(owner, expiry_month=7, expiry_year=2039), add(scene.customer("two@example.com"))
    add(owner, MASTERCARD)
    client = at_desk("Support")
    page = text(client.get(CARDS))
    assert "411111******1111" in page
    assert "555555******4444" in page
    assert (OWNER in page, "owner@example.com" in page, "07/2039" in page) == (True, True, True)
    page = text(client.get(page_url(card)))
    for words in ("411111******1111", card.token, "owner@example.com", "Active", "card_create"):
        assert words in page
    # The same number with another customer is a link to their card.
    assert page_url(other) in page
    assert "two@example.com" in page
    assert card.fingerprint not in page


def test_the_customers_page_leads_to_their_cards(at_desk: AtDesk, owner: User) -> None:
    client = at_desk("Support")
    assert "The customer has no cards." in text(client.get(page_url(owner)))
    card = add(owner)
    page = text(client.get(page_url(owner)))
    assert page_url(card) in page
    assert "411111******1111" in page


def test_searched_by_last_digits_token_and_owner(at_desk: AtDesk, owner: User) -> None:
    card, other = add(owner), add(scene.customer("two@example.com"), MASTERCARD)
    client = at_desk("Support")
    for term, found in (("1111", card), ("4444", other), (card.token, card), ("Two@example.com", other)):
        page = text(client.get(CARDS, {"q": term}))
        assert (card.mask in page, other.mask in page) == (found == card, found == other), term
    assert "411111******1111" not in text(client.get(CARDS, {"q": "411111"}))


def test_the_palette_finds_a_card(at_desk: AtDesk, owner: User, rf: Any) -> None:
    card = add(owner)
    request = rf.get("/")
    request.user = at_desk("Support").person.user  # type: ignore[attr-defined]
    for term in (card.token, "1111"):
        assert [(row.title, row.link) for row in find(request, term)] == [(card.mask, page_url(card))]
    assert list(find(request, VISA)) == []


def test_a_whole_number_is_no_search_term(
    at_desk: AtDesk, owner: User, caplog: pytest.LogCaptureFixture
) -> None:
    """It would stand in the address, and with it in every log on the way."""
    add(owner)
    client = at_desk("Compliance")
    for url in (CARDS, BANS):
        for term in (VISA, GROUPED, "4111-1111-1111-1112"):
            answer = client.get(url, {"q": term})
            assert (answer.status_code, answer.url) == (302, url)
        page = text(client.get(url))
        assert "A whole number" in page


def test_a_number_is_found_by_post_and_who_asked_is_on_record(
    at_desk: AtDesk, owner: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    card = add(owner)
    client = at_desk("Support")
    url = dialog("payment_card_paymentcard_find")
    assert "Find a number" in text(client.get(url))
    found = client.post(url, {**SENT, "number": GROUPED}, headers={"HX-Request": "true"})
    assert found.headers["HX-Redirect"] == page_url(card)
    add(scene.customer("two@example.com"))
    several = client.post(url, {**SENT, "number": VISA})
    assert several.url == list_url(PaymentCard, fingerprint__exact=card.fingerprint)
    page = text(client.get(several.url))
    assert page.count("411111******1111") >= 2
    nobody = client.post(url, {**SENT, "number": number("2200")})
    assert nobody.url == CARDS
    assert "Nobody has added this number." in text(client.get(CARDS))
    wrong = client.post(url, {**SENT, "number": "4111 1111 1111 1112"})
    assert wrong.url == CARDS
    page = text(client.get(CARDS))
    assert "check digit" in page
    assert "1111 1112" not in page
    entries = AuditEntry.objects.filter(verb="cards_find").order_by("id")
    assert [(row.actor_label, row.object_id, row.after) for row in entries[:2]] == [
        (client.person.user.email, "411111******1111", {"found": 1}),  # type: ignore[attr-defined]
        (client.person.user.email, "411111******1111", {"found": 2}),  # type: ignore[attr-defined]
    ]
    assert (len(entries), tables_that_tell(VISA)) == (3, [])
    assert VISA not in caplog.text.replace(" ", "")


def test_stop_and_release(at_desk: AtDesk, owner: User) -> None:
    card, client = add(owner), at_desk("Compliance")
    stop, release = (dialog(f"payment_card_paymentcard_{verb}", card.pk) for verb in ("stop", "release"))
    page = text(client.get(page_url(card)))
    assert (stop in page, release in page) == (True, False)
    client.post(stop, {**SENT, "reason": " "})
    assert state(card) == "active"
    client.post(stop, {**SENT, "reason": "somebody else's"})
    assert state(card) == "stopped"
    page = text(client.get(page_url(card)))
    assert (stop in page, release in page, "somebody else&#x27;s" in page) == (False, True, True)
    client.post(release, {**SENT, "reason": "papers seen"})
    assert state(card) == "active"
    verbs = AuditEntry.objects.filter(object_id=card.token).order_by("id").values_list("verb", "reason")
    assert list(verbs) == [
        ("card_create", ""),
        ("card_stop", "somebody else's"),
        ("card_release", "papers seen"),
    ]


def test_ban_and_lift_by_two_people(at_desk: AtDesk, owner: User) -> None:
    card, client = add(owner), at_desk("Compliance")
    assert "Ban a card" in text(client.get(BANS))
    answer = ban_dialog(client, GROUPED, **{"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == list_url(CardBan, in_force="yes")
    ban = CardBan.objects.get()
    assert (ban.mask, ban.reason, ban.banned_by) == (card.mask, "stolen", client.person.user.email)  # type: ignore[attr-defined]
    assert state(card) == "banned"
    listed = text(client.get(list_url(CardBan, in_force="yes")))
    assert ("411111******1111" in listed, "stolen" in listed) == (True, True)
    page = text(client.get(page_url(ban)))
    lift = dialog("payment_card_cardban_lift", ban.pk)
    assert (page_url(card) in page, lift in page) == (True, False)
    assert client.post(lift, {**SENT, "reason": "my own"}).status_code == 403
    assert state(card) == "banned"
    senior = at_desk("Senior")
    assert lift in text(senior.get(page_url(ban)))
    senior.post(lift, {**SENT, "reason": "it was found"})
    ban.refresh_from_db()
    assert (ban.lift_reason, ban.lifted_by) == ("it was found", senior.person.user.email)  # type: ignore[attr-defined]
    assert state(card) == "active"
    assert "411111******1111" not in text(client.get(list_url(CardBan, in_force="yes")))
    assert "it was found" in text(client.get(page_url(card)))
    verbs = AuditEntry.objects.filter(object_type="card_ban").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["card_ban", "card_unban"]
    assert tables_that_tell(VISA) == []


def test_a_card_is_banned_from_its_page(at_desk: AtDesk, owner: User) -> None:
    card, client = add(owner), at_desk("Compliance")
    url = dialog("payment_card_paymentcard_ban", card.pk)
    assert url in text(client.get(page_url(card)))
    client.post(url, {**SENT, "reason": "charge-backs"})
    assert (state(card), CardBan.objects.get().mask) == ("banned", card.mask)
    assert url not in text(client.get(page_url(card)))
    assert client.post(url, {**SENT, "reason": "again"}).status_code == 403


def test_an_issuer_by_its_first_digits(at_desk: AtDesk, owner: User) -> None:
    card = add(owner)
    ban_dialog(at_desk("Senior"), "41111111", "a prepaid series")
    assert (CardBan.objects.get().prefix, state(card)) == ("41111111", "banned")


def test_a_wrong_number_is_not_given_back(at_desk: AtDesk) -> None:
    """Neither beside the form's own fault nor in the message about it."""
    client = at_desk("Compliance")
    page = text(ban_dialog(client, VISA, " "))
    assert "This field is required" in page
    answer = ban_dialog(client, "4111 1111 1111 1112")
    page = text(client.get(answer.url))
    assert "1111 1112" not in page
    assert "check digit" in page
    answer = ban_dialog(client, VISA, f"the number is {VISA}")
    assert "no card number belongs here" in text(client.get(answer.url))
    assert CardBan.objects.count() == 0


@pytest.mark.parametrize("role", ["Support", "Treasury", "Finance", "Administrator", "Auditor"])
def test_others_look_and_do_nothing(at_desk: AtDesk, owner: User, role: str) -> None:
    card = add(owner)
    ban_dialog(at_desk("Compliance"), MASTERCARD)
    ban, client = CardBan.objects.get(), at_desk(role)
    urls = [
        dialog("payment_card_paymentcard_stop", card.pk),
        dialog("payment_card_paymentcard_release", card.pk),
        dialog("payment_card_paymentcard_ban", card.pk),
        dialog("payment_card_cardban_lift", ban.pk),
        dialog("payment_card_cardban_ban"),
    ]
    for url in urls:
        assert client.post(url, {**SENT, "number": VISA, "reason": "x"}).status_code == 403, url
    pages = [text(client.get(url)) for url in (CARDS, page_url(card), BANS, page_url(ban))]
    assert [url for url in urls for page in pages if url in page] == []
    assert (state(card), CardBan.objects.filter(lifted_at__isnull=True).count()) == ("active", 1)
    assert not AuditEntry.objects.filter(verb__in=["card_stop", "card_unban"]).exists()


def test_filters_by_how_a_card_stands(at_desk: AtDesk, owner: User) -> None:
    works, off, stopped, banned = (add(owner, number(prefix)) for prefix in ("2200", "2201", "2202", "2203"))
    PaymentCard.objects.filter(pk=off.pk).update(is_enabled=False)
    client = at_desk("Compliance")
    client.post(dialog("payment_card_paymentcard_stop", stopped.pk), {**SENT, "reason": "x"})
    client.post(dialog("payment_card_paymentcard_ban", banned.pk), {**SENT, "reason": "x"})
    shown = {
        standing: {card.first6[:4] for card in (works, off, stopped, banned) if card.mask in page}
        for standing in ("works", "off", "stopped", "banned", "removed")
        for page in [text(client.get(CARDS, {"standing": standing}))]
    }
    assert shown == {
        "works": {"2200"},
        "off": {"2201"},
        "stopped": {"2202"},
        "banned": {"2203"},
        "removed": set(),
    }


def test_the_sidebar_leads_here(at_desk: AtDesk) -> None:
    page = text(at_desk("Support").get(reverse("admin:index")))
    assert (f'href="{CARDS}"' in page, f'href="{BANS}?in_force=yes"' in page) == (True, True)

"""A customer's cards: added, switched, removed, paid to; what the database holds whatever the code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError
from django.test.utils import CaptureQueriesContext

from kauri.account.models import User
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from kauri.payment_card import bans, selectors, services
from kauri.payment_card.models import CardBan, CardKey, PaymentCard
from kauri.payment_card.states import CardState
from tests.cards import MASTERCARD, VISA, add, number, tables_that_tell
from tests.moves import as_owner, code_of, together

Operators = Callable[..., Actor]


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    return customer()


def acts(card: PaymentCard) -> list[tuple[str, str]]:
    rows = AuditEntry.objects.filter(object_type="payment_card", object_id=card.token).order_by("id")
    return list(rows.values_list("verb", "reason"))


def remove(user: User, card: PaymentCard) -> PaymentCard:
    return services.card_delete(user_id=user.pk, token=card.token, actor=user.as_actor())


def switch(user: User, card: PaymentCard, is_enabled: bool) -> PaymentCard:
    return services.card_switch(
        user_id=user.pk, token=card.token, is_enabled=is_enabled, actor=user.as_actor()
    )


def pay_to(user: User, card: PaymentCard) -> str:
    """The number, or the refusal's code."""
    found: list[str] = []
    code = code_of(lambda: found.append(selectors.card_destination(user.pk, card.token)))
    return found[0] if found else code


def test_what_is_stored_and_what_is_shown(user: User) -> None:
    card = add(
        user, "4111 1111 1111 1111", owner_name="  Taras   Shevchenko ", expiry_month=7, expiry_year=2039
    )
    assert re.fullmatch(r"card_[0-9a-f]{32}", card.token)
    assert (card.mask, str(card), card.scheme, card.owner_name) == (
        "411111******1111",
        "411111******1111",
        "visa",
        "Taras Shevchenko",
    )
    assert (card.expiry, card.is_enabled, selectors.state_of(card)) == ("07/2039", True, CardState.ACTIVE)
    with connection.cursor() as cursor:
        cursor.execute("select number, fingerprint from payment_card_paymentcard")
        [(sealed, fingerprint)] = cursor.fetchall()
    assert crypto.decrypt(sealed) == VISA
    assert (len(fingerprint), fingerprint == card.fingerprint) == (64, True)
    assert pay_to(user, card) == VISA
    assert selectors.masked(card.token) == "411111******1111"
    [entry] = AuditEntry.objects.filter(verb="card_create")
    assert (entry.object_id, entry.object_label, entry.after) == (
        card.token,
        card.mask,
        {
            "card": card.mask,
            "scheme": "visa",
            "owner_name": "Taras Shevchenko",
            "expiry": "07/2039",
            "stop_reason": "",
        },
    )
    assert tables_that_tell(VISA) == []


def test_the_customer_is_told(user: User, drain: Callable[..., int]) -> None:
    add(user)
    drain()
    [letter] = [letter for letter in mail.outbox if letter.to == [user.email]]
    assert letter.subject == "A card was added to your account"
    assert "411111******1111" in str(letter.body)
    assert "203.0.113.5" in str(letter.body)
    assert VISA not in str(letter.body)


def test_lists_open_no_number(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    add(user)
    add(user, MASTERCARD)
    opened: list[str] = []
    monkeypatch.setattr("kauri.common.crypto.decrypt", lambda text: opened.append(text) or "")
    with CaptureQueriesContext(connection) as captured:
        cards = list(selectors.cards_of(user.pk))
        assert [(card.mask, selectors.state_of(card)) for card in cards] == [
            ("555555******4444", CardState.ACTIVE),
            ("411111******1111", CardState.ACTIVE),
        ]
    assert (len(captured), opened) == (1, [])


def test_once_per_customer_and_again_after_removal(user: User, customer: Callable[..., User]) -> None:
    card = add(user)
    assert code_of(lambda: add(user)) == "conflict"
    other = add(customer())
    assert other.fingerprint == card.fingerprint
    assert other.token != card.token
    gone = remove(user, card)
    assert (gone.removed_at is not None, selectors.state_of(gone)) == (True, CardState.REMOVED)
    again = add(user)
    assert again.token != card.token
    assert [row.token for row in selectors.cards_of(user.pk)] == [again.token]


def test_removal_forgets_the_number_and_keeps_the_mask(user: User) -> None:
    card = add(user)
    remove(user, card)
    with connection.cursor() as cursor:
        cursor.execute("select number from payment_card_paymentcard")
        assert cursor.fetchall() == [("",)]
    assert pay_to(user, card) == "not_found"
    assert selectors.masked(card.token) == "411111******1111"
    moment = remove(user, card).removed_at
    assert remove(user, card).removed_at == moment
    assert acts(card) == [("card_create", ""), ("card_delete", "")]
    assert code_of(lambda: switch(user, card, True)) == "not_found"


def test_a_token_of_nobody_and_of_somebody_else(user: User, customer: Callable[..., User]) -> None:
    card, stranger = add(user), customer()
    for token in (card.token, "card_" + "0" * 32, "0x9858EfFD232B4033E47d90003D41EC34EcaEda94", ""):
        for act in (
            lambda token=token: selectors.card_destination(stranger.pk, token),
            lambda token=token: services.card_delete(
                user_id=stranger.pk, token=token, actor=stranger.as_actor()
            ),
            lambda token=token: services.card_switch(
                user_id=stranger.pk, token=token, is_enabled=False, actor=stranger.as_actor()
            ),
        ):
            assert code_of(act) == "not_found"
    assert (selectors.is_token(card.token), selectors.is_token(VISA)) == (True, False)
    assert selectors.masked("card_unknown") == "card_unknown"
    assert acts(card) == [("card_create", "")]
    assert pay_to(user, card) == VISA


def test_the_owners_switch(user: User) -> None:
    card = add(user)
    assert selectors.state_of(switch(user, card, False)) == CardState.DISABLED
    assert pay_to(user, card) == "card_disabled"
    switch(user, card, False)
    assert selectors.state_of(switch(user, card, True)) == CardState.ACTIVE
    assert pay_to(user, card) == VISA
    assert [verb for verb, _reason in acts(card)] == ["card_create", "card_switch", "card_switch"]


def test_an_operators_switch_is_above_the_owners(user: User, operator: Operators) -> None:
    card, compliance = add(user), operator("Compliance")
    services.card_stop(card_id=card.pk, reason=" somebody else's card ", actor=compliance)
    assert pay_to(user, card) == "card_disabled"
    assert selectors.state_of(switch(user, card, True)) == CardState.STOPPED
    assert pay_to(user, card) == "card_disabled"
    assert code_of(lambda: services.card_stop(card_id=card.pk, reason="x", actor=compliance)) == "wrong_state"
    # Removed and added again it stays stopped.
    remove(user, card)
    again = add(user)
    assert (selectors.state_of(again), again.stop_reason, again.stopped_by) == (
        CardState.STOPPED,
        "somebody else's card",
        compliance.label,
    )
    assert pay_to(user, again) == "card_disabled"
    services.card_release(card_id=again.pk, reason="papers seen", actor=compliance)
    assert pay_to(user, again) == VISA
    assert acts(again) == [("card_create", ""), ("card_release", "papers seen")]
    assert (
        code_of(lambda: services.card_release(card_id=again.pk, reason="x", actor=compliance))
        == "wrong_state"
    )
    assert code_of(lambda: services.card_stop(card_id=card.pk, reason="x", actor=compliance)) == "wrong_state"
    assert code_of(lambda: services.card_stop(card_id=0, reason="x", actor=compliance)) == "not_found"


def test_who_may_stop_and_must_say_why(user: User, operator: Operators) -> None:
    card = add(user)
    for actor in (operator("Support"), operator("Administrator"), operator("Treasury"), user.as_actor()):
        assert code_of(lambda actor=actor: services.card_stop(card_id=card.pk, reason="x", actor=actor)) == (
            "forbidden"
        )
    compliance = operator("Compliance")
    for reason in ("", "  ", f"his number is {VISA}", "4111 1111 1111 1111"):
        assert (
            code_of(
                lambda reason=reason: services.card_stop(card_id=card.pk, reason=reason, actor=compliance)
            )
            == "validation_error"
        )
    assert pay_to(user, card) == VISA
    assert acts(card) == [("card_create", "")]


def test_a_card_is_good_to_the_end_of_its_month(user: User) -> None:
    with clock.standing_at(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)):
        card = add(user, expiry_month=3, expiry_year=2026)
        assert pay_to(user, card) == VISA
    with clock.standing_at(datetime(2026, 4, 1, tzinfo=UTC)):
        assert pay_to(user, card) == "card_expired"
        assert code_of(lambda: add(user, MASTERCARD, expiry_month=3, expiry_year=2026)) == "validation_error"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"expiry_month": 7}, "expiry_month"),
        ({"expiry_year": 2030}, "expiry_month"),
        ({"expiry_month": 0, "expiry_year": 2090}, "expiry_month"),
        ({"expiry_month": 13, "expiry_year": 2030}, "expiry_month"),
        ({"expiry_month": 12, "expiry_year": 2020}, "expiry_year"),
        ({"expiry_month": 12, "expiry_year": 2090}, "expiry_year"),
        ({"owner_name": ""}, "owner_name"),
        ({"owner_name": " "}, "owner_name"),
        ({"owner_name": VISA}, "owner_name"),
        ({"owner_name": "Taras 4111"}, "owner_name"),
        ({"owner_name": "Taras ٤"}, "owner_name"),
        ({"owner_name": "<b>"}, "owner_name"),
        ({"owner_name": "T" * 65}, "owner_name"),
        ({"digits": "4111111111111112"}, "number"),
    ],
)
def test_what_is_refused_names_its_field(user: User, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(services.KauriError) as refused:
        add(user, **fields)
    assert (refused.value.code, list(refused.value.fields)) == ("validation_error", [named])
    assert PaymentCard.objects.count() == 0
    assert not AuditEntry.objects.filter(object_type="payment_card").exists()


@pytest.mark.parametrize(
    "name", ["TARAS SHEVCHENKO", "О'Коннор-Мак", "J. R. Ewing", "Лія", "M. T.", "И\u0306ован"]
)
def test_names_as_cards_have_them(user: User, name: str) -> None:
    assert add(user, owner_name=name).owner_name == name.replace("И\u0306", "Й")


def test_a_customer_has_so_many_and_no_more(user: User) -> None:
    cards = [add(user, number()) for _ in range(services.MAX_CARDS)]
    assert code_of(lambda: add(user, number())) == "limit_exceeded"
    remove(user, cards[0])
    add(user, number())
    assert selectors.cards_of(user.pk).count() == services.MAX_CARDS


@pytest.mark.django_db(transaction=True)
def test_many_at_once_add_one(customer: Callable[..., User]) -> None:
    user = customer()
    results = together(6, lambda _number: code_of(lambda: add(user)))
    assert sorted(map(str, results)) == ["conflict"] * 5 + ["ok"]
    assert PaymentCard.objects.count() == CardKey.objects.count() == 1


# -- bans ------------------------------------------------------------------------------------------


def ban(actor: Actor, digits: str = VISA, reason: str = "stolen") -> CardBan:
    return bans.card_ban(number=digits, reason=reason, actor=actor)


def test_a_banned_number_is_neither_added_nor_paid_to(
    user: User, customer: Callable[..., User], operator: Operators
) -> None:
    card, other = add(user), add(user, MASTERCARD)
    row = ban(operator("Compliance"), "4111 1111 1111 1111")
    assert (row.kind, row.mask, row.prefix, str(row)) == (
        "number",
        "411111******1111",
        "",
        "411111******1111",
    )
    assert pay_to(user, card) == "card_banned"
    assert pay_to(user, other) == MASTERCARD
    assert code_of(lambda: add(customer())) == "card_banned"
    assert [row.token for row in selectors.cards_met(row)] == [card.token]
    senior = operator("Senior")
    bans.card_unban(ban_id=row.pk, reason="it was found", actor=senior)
    assert pay_to(user, card) == VISA
    add(customer())
    entries = AuditEntry.objects.filter(object_type="card_ban").order_by("id")
    assert [(entry.verb, entry.object_label, entry.reason) for entry in entries] == [
        ("card_ban", "411111******1111", "stolen"),
        ("card_unban", "411111******1111", "it was found"),
    ]
    assert tables_that_tell(VISA) == []


@pytest.mark.parametrize("length", [6, 8])
def test_all_cards_of_an_issuer(user: User, operator: Operators, length: int) -> None:
    card, near = add(user, number("53217012")), add(user, number("53217112"))
    row = ban(operator("Compliance"), "53217012"[:length])
    assert (row.kind, row.mask, row.prefix) == ("issuer", "", "53217012"[:length])
    assert pay_to(user, card) == "card_banned"
    assert pay_to(user, near) == near_number(near)
    assert [
        (met.token, selectors.state_of(met)) for met in selectors.with_bans(selectors.cards_met(row))
    ] == [(card.token, CardState.BANNED)]
    assert code_of(lambda: add(user, number("53217012"))) == "card_banned"
    remove(user, near)
    add(user, number("53217112"))


def near_number(card: PaymentCard) -> str:
    return PaymentCard.objects.get(pk=card.pk).number


def test_a_known_card_is_banned_without_its_number(user: User, operator: Operators) -> None:
    card, compliance = add(user), operator("Compliance")
    row = bans.card_ban_known(card_id=card.pk, reason="charge-backs", actor=compliance)
    assert (row.mask, row.fingerprint) == (card.mask, card.fingerprint)
    assert pay_to(user, card) == "card_banned"
    assert code_of(lambda: ban(compliance)) == "conflict"
    assert (
        code_of(lambda: bans.card_ban_known(card_id=card.pk, reason="again", actor=compliance)) == "conflict"
    )
    assert code_of(lambda: bans.card_ban_known(card_id=0, reason="x", actor=compliance)) == "not_found"


def test_a_ban_outlives_the_card(user: User, operator: Operators) -> None:
    card = add(user)
    bans.card_ban_known(card_id=card.pk, reason="charge-backs", actor=operator("Compliance"))
    remove(user, card)
    assert code_of(lambda: add(user)) == "card_banned"


@pytest.mark.parametrize(
    "given", ["", "4111", "41111", "4111111", "411111111", "4111111111111112", "3400000000000000", "x"]
)
def test_what_can_be_banned(operator: Operators, given: str) -> None:
    with pytest.raises(services.KauriError) as refused:
        ban(operator("Compliance"), given)
    assert (refused.value.code, list(refused.value.fields)) == ("validation_error", ["number"])
    assert CardBan.objects.count() == 0


def test_who_bans_who_lifts_and_that_both_say_why(user: User, operator: Operators) -> None:
    compliance = operator("Compliance")
    for actor in (operator("Support"), operator("Treasury"), operator("Administrator"), user.as_actor()):
        assert code_of(lambda actor=actor: ban(actor)) == "forbidden"
    for reason in (" ", f"he said {VISA}"):
        assert code_of(lambda reason=reason: ban(compliance, reason=reason)) == "validation_error"
    assert CardBan.objects.count() == 0
    row = ban(compliance)

    def lift(actor: Actor, reason: str = "wrong card") -> str:
        return code_of(lambda: bans.card_unban(ban_id=row.pk, reason=reason, actor=actor))

    assert [lift(operator("Support")), lift(compliance), lift(operator("Senior"), " ")] == [
        "forbidden",
        "forbidden",
        "validation_error",
    ]
    assert CardBan.objects.filter(lifted_at__isnull=True).count() == 1
    assert lift(operator("Compliance")) == "ok"
    assert lift(operator("Compliance")) == "wrong_state"
    assert ban(compliance).pk != row.pk
    assert code_of(lambda: bans.card_unban(ban_id=0, reason="x", actor=compliance)) == "not_found"


def test_finding_a_number_is_on_record_and_the_number_is_not(
    user: User, customer: Callable[..., User], operator: Operators
) -> None:
    cards = {add(user).token, add(customer()).token}
    add(user, MASTERCARD)
    support = operator("Support")
    found = bans.cards_find(number="4111-1111-1111-1111", actor=support)
    assert {card.token for card in found} == cards
    [entry] = AuditEntry.objects.filter(verb="cards_find")
    assert (entry.object_id, entry.after, entry.actor_label) == (
        "411111******1111",
        {"found": 2},
        support.label,
    )
    assert code_of(lambda: bans.cards_find(number=VISA, actor=user.as_actor())) == "forbidden"
    assert code_of(lambda: bans.cards_find(number="4111", actor=support)) == "validation_error"
    assert AuditEntry.objects.filter(verb="cards_find").count() == 1
    assert tables_that_tell(VISA) == []


# -- what the database holds -------------------------------------------------------------------------


def test_one_of_a_number_per_customer_in_the_database(user: User) -> None:
    card = PaymentCard.objects.get(pk=add(user).pk)
    twin = {
        field.attname: getattr(card, field.attname) for field in card._meta.fields if not field.primary_key
    }
    with pytest.raises(IntegrityError, match="card_once_per_customer"), transaction.atomic():
        PaymentCard.objects.create(**{**twin, "token": "card_" + "1" * 32})


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ("number = '4111111111111111'", "card_number_is_sealed"),
        ("number = ''", "card_number_goes_with_the_card"),
        ("removed_at = now()", "card_number_goes_with_the_card"),
        ("expiry_month = 7, expiry_year = null", "card_expiry_is_a_month"),
        ("expiry_month = 13, expiry_year = 2030", "card_expiry_is_a_month"),
        ("stopped_at = now(), stopped_by = 'x'", "card_stop_says_why"),
        ("stop_reason = 'x'", "card_stop_says_why"),
        ("first6 = '555555'", "a card keeps what it is"),
        ("last4 = '9999'", "a card keeps what it is"),
        ("length = 17", "a card keeps what it is"),
        ("fingerprint = repeat('0', 64)", "a card keeps what it is"),
        ("issuer_fingerprint = repeat('0', 64)", "a card keeps what it is"),
        ("token = 'card_' || repeat('0', 32)", "a card keeps what it is"),
        ("owner_name = 'Somebody Else'", "a card keeps what it is"),
        ("customer_id = customer_id + 1", "a card keeps what it is"),
    ],
)
def test_a_card_keeps_its_form_by_raw_sql(user: User, change: str, held: str) -> None:
    add(user)
    with pytest.raises(DatabaseError, match=held), transaction.atomic(), as_owner() as cursor:
        cursor.execute(f"update payment_card_paymentcard set {change}")


@pytest.mark.parametrize(
    ("field", "value", "held"),
    [
        ("token", "'card_1'", "card_token_has_form"),
        ("first6", "'41111'", "card_mask_is_no_number"),
        ("last4", "'x111'", "card_mask_is_no_number"),
        ("length", "20", "card_mask_is_no_number"),
        ("fingerprint", "'4111111111111111'", "card_fingerprint_is_a_digest"),
        ("issuer_fingerprint", "'41111111'", "card_fingerprint_is_a_digest"),
        ("scheme", "'amex'", "card_scheme"),
        ("owner_name", "'4111111111111111'", "card_owner_has_no_digits"),
        ("number", "'4111111111111111'", "card_number_is_sealed"),
    ],
)
def test_no_card_is_made_without_form(user: User, field: str, value: str, held: str) -> None:
    add(user)
    names = [row.column for row in PaymentCard._meta.fields if not row.primary_key]
    changed = {"token": "'card_' || repeat('1', 32)", "fingerprint": "repeat('1', 64)", field: value}
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    with pytest.raises(IntegrityError, match=held), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"insert into payment_card_paymentcard ({columns}) select {values} from payment_card_paymentcard"
        )


def test_a_removed_card_stays_so_and_none_is_deleted(user: User) -> None:
    card = add(user)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        PaymentCard.objects.filter(pk=card.pk).delete()
    with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic(), as_owner() as cursor:
        cursor.execute("delete from payment_card_paymentcard")
    remove(user, card)
    for change in ("removed_at = null, number = 'gAAAAx'", "is_enabled = false", "removed_at = now()"):
        with (
            pytest.raises(DatabaseError, match="removed card stays"),
            transaction.atomic(),
            as_owner() as cursor,
        ):
            cursor.execute(f"update payment_card_paymentcard set {change}")


@pytest.mark.parametrize("given", [VISA, "411111", "41111111"])
def test_a_banned_card_is_not_added_by_raw_sql_either(
    user: User, customer: Callable[..., User], operator: Operators, given: str
) -> None:
    add(user)
    ban(operator("Compliance"), given)
    names = [row.column for row in PaymentCard._meta.fields if not row.primary_key]
    columns = ", ".join(f'"{name}"' for name in names)
    other = customer()
    values = columns.replace('"token"', "'card_' || repeat('1', 32)").replace('"customer_id"', str(other.pk))
    insert = f"insert into payment_card_paymentcard ({columns}) select {values} from payment_card_paymentcard"
    with (
        pytest.raises(DatabaseError, match="banned card is not added"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(insert)


def test_a_ban_is_about_what_it_is_and_lifted_once(operator: Operators) -> None:
    row = ban(operator("Compliance"))
    senior = operator("Senior")
    with pytest.raises(IntegrityError, match="card_ban_once"), transaction.atomic():
        CardBan.objects.create(
            kind="number",
            fingerprint=row.fingerprint,
            mask=row.mask,
            reason="twice",
            banned_by_id=1,
            banned_by="x",
        )
    changes = [
        ("lifted_at = now()", "card_ban_lifted_with_a_reason"),
        (
            "lifted_at = now(), lifted_by_id = banned_by_id, lifted_by = 'x', lift_reason = 'x'",
            "card_ban_two_people",
        ),
        ("reason = 'another'", "keeps what it is about"),
        ("mask = '555555******4444'", "keeps what it is about"),
        ("fingerprint = repeat('0', 64)", "keeps what it is about"),
        ("banned_by_id = 0", "keeps what it is about"),
    ]
    for change, held in changes:
        with pytest.raises(DatabaseError, match=held), transaction.atomic(), as_owner() as cursor:
            cursor.execute(f"update payment_card_cardban set {change}")
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        CardBan.objects.all().delete()
    with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic(), as_owner() as cursor:
        cursor.execute("delete from payment_card_cardban")
    bans.card_unban(ban_id=row.pk, reason="found", actor=senior)
    with pytest.raises(DatabaseError, match="lifted once"), transaction.atomic(), as_owner() as cursor:
        cursor.execute("update payment_card_cardban set lifted_at = null")


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({"kind": "issuer", "prefix": "4111111"}, "card_ban_names_what"),
        ({"kind": "issuer", "prefix": ""}, "card_ban_names_what"),
        ({"kind": "number", "prefix": "411111"}, "card_ban_names_what"),
        ({"kind": "number", "mask": VISA}, "card_ban_names_what"),
        ({"kind": "number", "mask": "411111******1111", "reason": ""}, "card_ban_says_why"),
        (
            {"kind": "number", "mask": "411111******1111", "fingerprint": VISA},
            "card_ban_fingerprint_is_a_digest",
        ),
    ],
)
def test_no_ban_is_made_without_form(house: None, fields: dict[str, Any], held: str) -> None:
    values = {"reason": "x", "fingerprint": "0" * 64, "banned_by_id": 1, "banned_by": "x"}
    with pytest.raises(IntegrityError, match=held), transaction.atomic():
        CardBan.objects.create(**{**values, **fields})


def test_the_key_of_fingerprints_stays(user: User) -> None:
    add(user)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        CardKey.objects.update(secret="another")
    with pytest.raises(IntegrityError, match="card_key_is_one"), transaction.atomic():
        CardKey.objects.create(pk=2, secret="another")
    with pytest.raises(DatabaseError, match="stays"), transaction.atomic(), as_owner() as cursor:
        cursor.execute("delete from payment_card_cardkey")
    with pytest.raises(IntegrityError, match="sealed"), transaction.atomic(), as_owner() as cursor:
        cursor.execute("update payment_card_cardkey set secret = repeat('0', 64)")


def test_a_number_put_in_anothers_place_is_not_paid_to(user: User, customer: Callable[..., User]) -> None:
    """Whoever writes the database and has no key may still copy one ciphertext over another."""
    card = add(user)
    add(customer(), MASTERCARD)
    with connection.cursor() as cursor:
        cursor.execute(
            "update payment_card_paymentcard set number = (select number from payment_card_paymentcard"
            " where last4 = '4444') where last4 = '1111'"
        )
    assert pay_to(user, card) == "internal_error"

"""Other people's ids: of every operation that takes one, with the real id of somebody else's thing.

The answer is that for a thing that doesn't exist, and nothing changes. An operation that is new in the document
and takes an id fails here until it says which attack it is put to.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from kauri.account import cases, tokens
from kauri.account.api_keys import KeyRequest, api_key_create
from kauri.account.models import ApiKey, Session, User
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.order_core.models import Order, Policy
from kauri.wallet.models import PaymentLink
from kauri.withdrawal_order.address_book import destination_save
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.api.client import ApiClient
from tests.attacks.document import Operation, operations
from tests.attacks.rows import every_row
from tests.cards import add
from tests.kauri.account.papers import picture
from tests.moves import balance_of, give, sandbox_on, withdraw

#: Ids of things, with what else makes the request whole: somebody else's is answered as one that doesn't exist.
THINGS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("orders_details", "order_id"): ("withdrawal", {}),
    ("withdrawal_cancel", "order_id"): ("withdrawal", {}),
    ("withdrawal_repeat", "order_id"): ("ended", {"amount": "100"}),
    ("withdrawal_confirm", "order_id"): ("unconfirmed", {"code": "00000000"}),
    ("withdrawal_confirm_resend", "order_id"): ("unconfirmed", {}),
    ("withdrawal_address_confirm", "address_id"): ("saved", {"code": "00000000"}),
    ("withdrawal_address_delete", "address_id"): ("saved", {}),
    ("internal_movement_repeat", "order_id"): ("movement", {"amount": "10"}),
    ("session_end", "session_id"): ("session", {}),
    ("api_key_delete", "api_key_id"): ("key", {}),
    ("api_key_verify", "api_key_id"): ("pending", {"code": "00000000"}),
    ("verification_document_add", "case_id"): ("case", {"kind": "identity"}),
    ("card_delete", "card_id"): ("card", {}),
    ("card_switch", "card_id"): ("card", {"is_enabled": False}),
}
#: Filters: they find among the caller's own things only.
FILTERS = {("orders_history", "external_id"), ("orders_history", "cursor"), ("deposit_list", "cursor")}
#: Names that a caller gives: two customers may give the same one and never meet.
OWN_NAMES = {
    ("withdrawal_create", "external_id"),
    ("withdrawal_create", "Idempotency-Key"),
    ("internal_movement_create", "external_id"),
    ("internal_movement_create", "Idempotency-Key"),
    ("card_create", "Idempotency-Key"),
    ("deposit_address", "external_id"),
    # Ours or the client's own: found among the caller's links and addresses only.
    ("deposit_address_details", "external_id"),
    ("deposit_cancel", "external_id"),
    ("deposit_repeat", "external_id"),
    # With somebody's order: THINGS has them.
    ("withdrawal_repeat", "Idempotency-Key"),
    ("withdrawal_cancel", "Idempotency-Key"),
    ("internal_movement_repeat", "Idempotency-Key"),
}
#: Not the caller's to read by: where money goes to, and whom only the bot may name.
OTHERS = {
    ("internal_movement_create", "destination_account_number"),
    ("telegram_verify", "telegram_id"),
}


def test_every_id_of_the_document_is_attacked(house: None) -> None:
    found = {(operation.name, name) for operation in operations() for name in operation.ids}
    assert found == {*THINGS, *FILTERS, *OWN_NAMES, *OTHERS}


@pytest.fixture
def victim(customer: Callable[..., User]) -> User:
    sandbox_on(settings={"page_url": "https://pay.example/page"})
    user = customer(verification_level=0)
    User.objects.filter(pk=user.pk).update(verification_level=1)
    user.refresh_from_db()
    give(user, "UAH", "1000")
    return user


@pytest.fixture
def things(victim: User, customer: Callable[..., User]) -> dict[str, uuid.UUID | str]:
    """One of each that an id can name; all of the victim's."""

    def asked(number: int) -> Order:
        return withdraw(
            victim, f"{100 + number}", currency="UAH", to="sandbox:success", external_id=f"o-{number}"
        )

    ended = asked(2)
    withdrawal_cancel(user_id=victim.pk, order_id=ended.public_id, actor=victim.as_actor())
    moved = movement_create(
        request=MovementRequest(
            user_id=victim.pk,
            currency="UAH",
            amount="10",
            addressed_by=MovementDetail.AddressedBy.EMAIL,
            addressed_to=customer().email,
        ),
        actor=victim.as_actor(),
    )
    first = asked(1)
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(email_above=Decimal(50))
    unconfirmed = asked(3)
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(email_above=None)
    saved = destination_save(
        user_id=victim.pk,
        currency_code="UAH",
        network="",
        address="sandbox:success",
        label="",
        totp_code="",
        actor=victim.as_actor(),
    )
    tokens.issue(victim)
    key = ApiKey.objects.create(
        user=victim, name="k", key="k" * 40, secret="s", scopes=["read"], state="active"
    )
    wanted = KeyRequest(
        name="p", scopes=["read"], ips=[], signature_version=2, window_ms=5000, decimals_as_strings=False
    )
    return {
        "withdrawal": first.public_id,
        "unconfirmed": unconfirmed.public_id,
        "saved": saved.public_id,
        "ended": ended.public_id,
        "movement": moved.public_id,
        "session": Session.objects.get(user=victim).public_id,
        "key": key.public_id,
        "pending": api_key_create(user=victim, request=wanted, ip="").public_id,
        "card": add(victim).token,
        "case": cases.verification_start(user_id=victim.pk, level=2, ip="").public_id,
    }


def callers(user: User) -> dict[str, ApiClient]:
    """Somebody signed in, and their key that may do everything a key may."""
    key = ApiKey.objects.create(
        user=user,
        name="all",
        key=secrets.token_hex(8),
        secret="s" * 20,
        scopes=["read", "trade", "withdraw"],
        state="active",
    )
    return {"token": ApiClient(token=tokens.issue(user)), "key": ApiClient(key=key.key, secret=key.secret)}


def ask(api: ApiClient, operation: Operation, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The answer, without what differs between any two answers."""
    body = {name: value if isinstance(value, bool) else str(value) for name, value in body.items()}
    if operation.is_form:
        file = SimpleUploadedFile("a.jpg", picture(), content_type="image/jpeg")
        headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
        answer = api.http.post(operation.path, {**body, "file": file}, headers=headers)
    elif operation.method == "GET":
        answer = api.get(f"{operation.path}?{urlencode(body)}")
    else:
        answer = api.request(operation.method, operation.path, body)
    return answer.status_code, {**answer.json(), "request_id": ""}


def named(name: str) -> Operation:
    return next(operation for operation in operations() if operation.name == name)


@pytest.mark.parametrize("case", THINGS, ids="-".join)
def test_somebody_elses_is_as_what_does_not_exist(
    case: tuple[str, str], things: dict[str, uuid.UUID | str], customer: Callable[..., User]
) -> None:
    operation, (thing, more) = named(case[0]), THINGS[case]
    attacker = customer()
    give(attacker, "UAH", "1000")
    for how, api in callers(attacker).items():
        ask(api, named("balance_read"), {})
        before = every_row()
        real = ask(api, operation, {case[1]: things[thing], **more})
        missing = ask(api, operation, {case[1]: uuid.uuid4(), **more})
        assert real == missing, how
        assert (real[0], real[1]["code"]) in {
            (404, "not_found"),
            (403, "forbidden"),
            (401, "unauthenticated"),
        }
        assert how == "key" or real[0] == 404
        assert every_row() == before, how


@pytest.mark.parametrize("case", THINGS, ids="-".join)
def test_its_owner_is_let_in_by_the_same_request(
    case: tuple[str, str], victim: User, things: dict[str, uuid.UUID | str]
) -> None:
    """Without this the test above would be passed by a request that nobody's id could satisfy."""
    operation, (thing, more) = named(case[0]), THINGS[case]
    status, body = ask(callers(victim)["token"], operation, {case[1]: things[thing], **more})
    assert (status, body.get("code")) in {(200, None), (201, None), (400, "wrong_code")}


def test_filters_find_nothing_of_others(
    victim: User, things: dict[str, uuid.UUID | str], customer: Callable[..., User]
) -> None:
    page = callers(victim)["token"].get("/api/v1/orders/history?limit=1&cursor=").json()
    attacker = customer()
    give(attacker, "UAH", "1000")
    mine = withdraw(attacker, "100", currency="UAH", to="sandbox:success")
    for api in callers(attacker).values():
        for query in (
            {"cursor": page["next_cursor"]},
            {"external_id": "o-1"},
            {"address": "sandbox:success"},
            {},
        ):
            found = api.get(f"/api/v1/orders/history?{urlencode(query)}").json()["orders"]
            assert {order["external_id"] for order in found} <= {str(mine.public_id)}, query
    assert page["next_cursor"]


@pytest.mark.parametrize("by", ["external_id", "Idempotency-Key"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/withdrawal", {"wallet_to": "sandbox:success", "amount": "100"}),
        ("/api/v1/internal_movement", {"amount": "10"}),
    ],
)
def test_a_name_of_somebody_else_answers_nothing_of_theirs(
    by: str, path: str, body: dict[str, Any], victim: User, customer: Callable[..., User]
) -> None:
    attacker, friend = customer(), customer()
    give(attacker, "UAH", "1000")
    body = {"currency": "UAH", **body}
    if path.endswith("movement"):
        body["destination_account_email"] = friend.email
    answers = []
    for user in (victim, attacker):
        api = callers(user)["token"]
        given = {**body, "external_id": "rent"} if by == "external_id" else body
        answers.append(api.post(path, given, **({} if by == "external_id" else {by: "rent"})).json())
    assert [answer["status"] for answer in answers] == ["success", "success"]
    assert answers[0]["order_id"] != answers[1]["order_id"]
    owners = {str(order.public_id): order.owner_id for order in Order.objects.all()}
    assert [owners[answer["order_id"]] for answer in answers] == [victim.pk, attacker.pk]


def test_one_name_of_two_deposits(victim: User, customer: Callable[..., User]) -> None:
    body = {"currency": "UAH", "amount_to_spend": "100", "external_id": "rent"}
    people = (victim, customer())
    answers = [callers(user)["token"].post("/api/v1/deposit/address", body).json() for user in people]
    assert [answer["status"] for answer in answers] == ["success", "success"]
    assert answers[0]["external_id"] != answers[1]["external_id"]
    assert answers[0]["url"] != answers[1]["url"]
    assert set(PaymentLink.objects.values_list("user__email", "external_id")) == {
        (user.email, "rent") for user in people
    }


def test_an_account_number_gives_away_nothing_of_its_owner(
    victim: User, customer: Callable[..., User]
) -> None:
    attacker = customer()
    give(attacker, "UAH", "100")
    before = balance_of(victim, "UAH")
    answer = callers(attacker)["token"].post(
        "/api/v1/internal_movement",
        {"currency": "UAH", "amount": "10", "destination_account_number": victim.number},
    )
    order = callers(attacker)["token"].get(f"/api/v1/orders/details?order_id={answer.json()['order_id']}")
    assert answer.status_code == order.status_code == 200
    assert victim.email not in answer.content.decode() + order.content.decode()
    assert balance_of(victim, "UAH")[0] == before[0] + 10

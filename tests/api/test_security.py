"""Passwords, notices, the freezing link, allowed addresses, the phrase of our letters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from kauri.account.addresses import white_ips_lift
from kauri.account.models import ApiKey, OneTimeLink, Session, User, WhiteIp
from kauri.account.passwords import LETTERS, WRONG_PASSWORDS
from kauri.account.selectors import account_ip_allowed
from kauri.account.services import account_enable, link_issue
from kauri.common import clock
from kauri.core.models import AuditEntry, OutboxEvent
from tests.api.account_moves import (
    BALANCE,
    code,
    last_letter,
    opens,
    phone,
    refresh,
    rested,
    sign_in,
    subjects,
    with_factor,
)
from tests.api.client import ApiClient
from tests.house import PASSWORD
from tests.moves import code_of, events, later

CHANGE = "/api/v1/user/change_password"
SEND = "/api/v1/user/reset_password/send_link"
SET = "/api/v1/user/reset_password/set_new_password"
WHITE = "/api/v1/user/white_ip/create"
UNWHITE = "/api/v1/user/white_ip/delete"
PHRASE = "/api/v1/user/anti_phishing_code"
NEW = "quite another passphrase"

Made = Callable[..., User]
Drain = Callable[..., int]


@pytest.fixture(autouse=True)
def _outbox(mailoutbox: list[Any]) -> None:
    """Letters end in memory."""


def signed(user: User, ip: str = "127.0.0.1", agent: str = "") -> ApiClient:
    """Signed in from an address, and calling from there."""
    client = ApiClient()
    client.http = Client(REMOTE_ADDR=ip)
    answer = client.post(
        "/api/v1/user/obtain_token", {"email": user.email, "password": PASSWORD}, **{"User-Agent": agent}
    )
    client.token = answer.json().get("token", "")
    return client


def reset_token() -> str:
    return str(re.findall(r"^(\S{40,})$", last_letter(), re.MULTILINE)[-1])


def freeze_path() -> str:
    return str(re.findall(r"(/freeze/\S+)$", last_letter(), re.MULTILINE)[-1])


# -- passwords ---------------------------------------------------------------------------------


def test_a_changed_password_ends_the_other_sessions(customer: Made, drain: Drain) -> None:
    user = customer()
    here, there = sign_in(user), sign_in(user)
    api = ApiClient(token=here["token"])
    wrong = api.post(CHANGE, {"old_password": "x", "new_password": NEW})
    assert (code(wrong), wrong.json()["field_errors"]) == (
        (400, "validation_error"),
        {"old_password": "wrong"},
    )
    weak = api.post(CHANGE, {"old_password": PASSWORD, "new_password": "12345"})
    assert list(weak.json()["field_errors"]) == ["new_password"]
    assert opens(there["token"]) == "ok"
    assert api.post(CHANGE, {"old_password": PASSWORD, "new_password": NEW}).json() == {"status": "success"}
    assert (opens(here["token"]), opens(there["token"])) == ("ok", "unauthenticated")
    assert refresh(refresh=here["refresh"]).status_code == 200
    assert code(refresh(refresh=there["refresh"])) == (401, "unauthenticated")
    assert sign_in(user)["code"] == "invalid_credentials"
    assert "token" in sign_in(user, NEW)
    drain()
    assert subjects(user) == ["Your password was changed"]


def test_a_changed_password_needs_the_second_factor_where_there_is_one(customer: Made) -> None:
    user = customer()
    device = with_factor(user)
    half = ApiClient(token=sign_in(user)["token"])
    token = half.post("/api/v1/user/totp/verify", {"totp_code": phone(device.secret, -1)}).json()["token"]
    api = ApiClient(token=token)
    body = {"old_password": PASSWORD, "new_password": NEW}
    assert code(api.post(CHANGE, body)) == (403, "totp_required")
    assert code(api.post(CHANGE, {**body, "totp_code": "000000"})) == (403, "totp_invalid")
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    rested(user)
    assert api.post(CHANGE, {**body, "totp_code": phone(device.secret)}).status_code == 200
    assert User.objects.get(pk=user.pk).check_password(NEW)


def test_the_old_password_is_not_guessed_by_a_stolen_session(customer: Made) -> None:
    api = ApiClient(token=sign_in(customer())["token"])
    for number in range(WRONG_PASSWORDS):
        assert code(api.post(CHANGE, {"old_password": f"{number}", "new_password": NEW}))[0] == 400
    assert code(api.post(CHANGE, {"old_password": PASSWORD, "new_password": NEW})) == (429, "rate_limited")


def test_a_reset_link_sets_a_password_once_and_ends_every_session(customer: Made, drain: Drain) -> None:
    user = customer()
    made = sign_in(user)
    assert ApiClient().post(SEND, {"email": user.email.upper()}).json() == {"status": "success"}
    drain()
    token = reset_token()
    weak = ApiClient().post(SET, {"token": token, "password": "12345"})
    assert list(weak.json()["field_errors"]) == ["password"]
    assert opens(made["token"]) == "ok"
    assert ApiClient().post(SET, {"token": token, "password": NEW}).json() == {"status": "success"}
    assert opens(made["token"]) == "unauthenticated"
    assert code(refresh(refresh=made["refresh"])) == (401, "unauthenticated")
    assert "token" in sign_in(user, NEW)
    # A second use does nothing, and says what a made-up one is told.
    used = ApiClient().post(SET, {"token": token, "password": "a third long passphrase"})
    assert code(used) == code(ApiClient().post(SET, {"token": "x", "password": NEW})) == (400, "wrong_code")
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert user.security_changed_at is not None
    drain()
    assert subjects(user) == ["A new password", "Your password was changed"]


def test_only_the_last_link_is_good_and_for_an_hour(customer: Made, drain: Drain) -> None:
    user = customer()
    links = []
    for _ in range(2):
        ApiClient().post(SEND, {"email": user.email})
        drain()
        links.append(reset_token())
    assert code(ApiClient().post(SET, {"token": links[0], "password": NEW})) == (400, "wrong_code")
    with clock.standing_at(later(hours=1, seconds=1)):
        assert code(ApiClient().post(SET, {"token": links[1], "password": NEW})) == (400, "wrong_code")
    # A link of one kind opens no other door.
    freeze = link_issue(user, OneTimeLink.Purpose.FREEZE)
    assert code(ApiClient().post(SET, {"token": freeze, "password": NEW})) == (400, "wrong_code")
    assert Client().post(f"/freeze/{links[1]}").status_code == 404
    user.refresh_from_db()
    assert (user.check_password(PASSWORD), user.is_active) == (True, True)


def test_asking_for_a_link_tells_nothing_and_costs_the_same(customer: Made, drain: Drain) -> None:
    user, staff, off = customer(), customer(is_staff=True), customer(is_active=False)
    answers = []
    for email in (user.email, "nobody@example.com", staff.email, off.email, "no address"):
        with CaptureQueriesContext(connection) as captured:
            answer = ApiClient().post(SEND, {"email": email})
        verbs = [query["sql"].split()[0] for query in captured.captured_queries]
        answers.append((answer.status_code, answer.json(), verbs))
    assert answers == [answers[0]] * 5
    drain()
    assert [letter.to for letter in mail.outbox] == [[user.email]]


def test_nobody_is_buried_in_links(customer: Made, drain: Drain) -> None:
    user = customer()
    answers = [ApiClient().post(SEND, {"email": user.email}).status_code for _ in range(LETTERS + 3)]
    assert set(answers) == {200}
    drain()
    assert len(mail.outbox) == LETTERS


# -- notices and the freezing link -------------------------------------------------------------


def test_a_new_address_or_device_is_told_and_a_known_one_is_not(customer: Made, drain: Drain) -> None:
    user = customer()
    for ip, agent in (
        ("203.0.113.1", "phone"),  # the first of all: nothing to compare with
        ("203.0.113.1", "phone"),
        ("203.0.113.2", "phone"),
        ("203.0.113.2", "laptop\u00a0"),
        ("203.0.113.1", "laptop\u00a0"),
    ):
        signed(user, ip, agent)
    drain()
    assert subjects(user) == ["Your password was used in a new place"] * 2
    assert "address 203.0.113.2, device: phone." in mail.outbox[0].body
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", mail.outbox[0].body)


def test_neither_operators_nor_unproven_addresses_get_the_link(customer: Made, drain: Drain) -> None:
    for fields in ({"is_staff": True}, {"email_verified_at": None}, {"is_active": False}):
        user = customer(**fields)
        for number in range(2):
            assert signed(user, f"203.0.113.{number}").token == ""
    drain()
    assert (mail.outbox, OneTimeLink.objects.count()) == ([], 0)


def test_a_wrong_password_sends_no_letter(customer: Made, drain: Drain) -> None:
    user = customer()
    signed(user, "203.0.113.1")
    sign_in(user, "wrong")
    drain()
    assert mail.outbox == []


def test_the_link_freezes_by_a_post_and_never_by_a_get(
    customer: Made, drain: Drain, operator: Callable[..., Any]
) -> None:
    user = customer()
    ApiKey.objects.create(user=user, name="k", key="k", secret="s" * 20, scopes=["read"], state="active")
    owner, thief = signed(user, "203.0.113.1"), signed(user, "203.0.113.66")
    drain()
    path, browser = freeze_path(), Client(enforce_csrf_checks=True)
    for answer in (browser.get(path), browser.head(path), browser.get(path)):
        assert answer.status_code == 200
        assert "no-store" in answer.headers["Cache-Control"]
    page = browser.get(path).content.decode()
    assert '<form method="post">' in page
    assert "<script" not in page
    user.refresh_from_db()
    living = Session.objects.filter(ended_at__isnull=True).count()
    assert (user.is_active, owner.get(BALANCE).status_code, living) == (True, 200, 2)
    done = browser.post(path)
    assert (done.status_code, "The account is frozen" in done.content.decode()) == (200, True)
    user.refresh_from_db()
    assert (user.is_active, user.frozen_at is not None) == (False, True)
    assert [client.get(BALANCE).json()["code"] for client in (owner, thief)] == ["unauthenticated"] * 2
    assert ApiKey.objects.get().state == "revoked"
    assert sign_in(user)["code"] == "invalid_credentials"
    assert [event.kind for event in events("account.frozen")] == ["account.frozen"]
    # Once: neither opening nor sending it again does anything.
    assert (browser.get(path).status_code, browser.post(path).status_code) == (404, 404)
    drain()
    assert subjects(user)[-1] == "Your account is frozen"
    # Asking for a password thaws nothing; an operator does, and then what leaves is looked at.
    ApiClient().post(SEND, {"email": user.email})
    drain()
    assert subjects(user)[-1] == "Your account is frozen"
    account_enable(user_id=user.pk, reason="called back", actor=operator("Compliance"))
    user.refresh_from_db()
    assert (user.is_active, user.frozen_at, user.security_changed_at is not None) == (True, None, True)
    assert sign_in(user)["code"] == "invalid_credentials"
    ApiClient().post(SEND, {"email": user.email})
    drain()
    assert ApiClient().post(SET, {"token": reset_token(), "password": NEW}).status_code == 200
    assert opens(sign_in(user, NEW)["token"]) == "ok"


def test_the_link_ends_after_a_week_and_is_not_made_up(customer: Made) -> None:
    user = customer()
    token = link_issue(user, OneTimeLink.Purpose.FREEZE)
    row = OneTimeLink.objects.get()
    with clock.standing_at(later(days=7, seconds=1)):
        assert Client().post(f"/freeze/{token}").status_code == 404
    for forged in (row.public_id.hex, str(row.public_id), token[:-1], "x"):
        assert Client().post(f"/freeze/{forged}").status_code == 404
    user.refresh_from_db()
    assert user.is_active


def test_the_database_keeps_the_frozen_out(customer: Made) -> None:
    user = customer()
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=user.pk).update(frozen_at=clock.now())


@pytest.mark.parametrize(("language", "words"), [("uk", "Заморозити"), ("ru", "Заморозить")])
def test_letters_and_the_page_speak_the_customers_language(
    customer: Made, drain: Drain, language: str, words: str
) -> None:
    user = customer(language=language)
    signed(user, "203.0.113.1")
    signed(user, "203.0.113.2")
    drain()
    assert words in Client().get(freeze_path()).content.decode()
    assert "203.0.113.2" in last_letter()
    assert "address" not in last_letter().split("/freeze/")[0]


def test_every_letter_shows_the_customers_phrase(customer: Made, drain: Drain) -> None:
    user = customer()
    api = ApiClient(token=sign_in(user)["token"])
    assert code(api.post(PHRASE, {"phrase": "blue\u0007heron"})) == (400, "validation_error")
    assert api.post(PHRASE, {"phrase": "  blue   heron "}).status_code == 200
    api.post("/api/v1/user/create", {"email": user.email, "password": PASSWORD})
    drain()
    assert last_letter().startswith("Your anti-phishing code: blue heron\n\n")
    with connection.cursor() as cursor:
        cursor.execute("select anti_phishing_code from account_user where id = %s", [user.pk])
        assert "heron" not in cursor.fetchone()[0]
    assert "heron" not in "".join(OutboxEvent.objects.values_list("body", flat=True))
    assert "heron" not in str(list(AuditEntry.objects.values()))
    api.post(PHRASE, {"phrase": ""})
    api.post("/api/v1/user/create", {"email": user.email, "password": PASSWORD})
    drain()
    assert "anti-phishing" not in last_letter()


# -- allowed addresses -------------------------------------------------------------------------


def confirmed_by_letter(api: ApiClient, path: str, ip: str, drain: Drain) -> Any:
    assert api.post(path, {"ip": ip}).status_code == 200
    drain()
    [sent] = re.findall(r"^(\d{8})$", last_letter(), re.MULTILINE)
    return api.post(path, {"ip": ip, "code": sent})


def test_a_list_closes_the_account_to_all_other_addresses(customer: Made, drain: Drain) -> None:
    user, other = customer(), customer()
    home, away = signed(user, "203.0.113.1"), signed(user, "203.0.113.2")
    made = sign_in(user)
    assert home.post(WHITE, {"ip": "203.0.113.1"}).json()["state"] == "pending"
    assert away.get(BALANCE).status_code == 200, "asked for is not confirmed"
    drain()
    [sent] = re.findall(r"^(\d{8})$", last_letter(), re.MULTILINE)
    wrong = f"{(int(sent) + 1) % 10**8:08d}"
    assert code(home.post(WHITE, {"ip": "203.0.113.1", "code": wrong})) == (400, "wrong_code")
    assert code(home.post(WHITE, {"ip": "203.0.113.9", "code": sent})) == (400, "wrong_code")
    answer = home.post(WHITE, {"ip": "203.0.113.1", "code": sent})
    assert answer.json() == {"status": "success", "ip": "203.0.113.1", "state": "active"}
    assert home.get(BALANCE).status_code == 200
    assert code(away.get(BALANCE)) == (403, "ip_not_allowed")
    assert code(refresh(refresh=made["refresh"])) == (403, "ip_not_allowed")
    assert sign_in(user)["code"] == "ip_not_allowed"
    assert signed(user, "203.0.113.1").get(BALANCE).status_code == 200
    assert signed(other, "203.0.113.2").get(BALANCE).status_code == 200
    # A refusal at the door used nothing up.
    assert Session.objects.filter(user=user, ended_at__isnull=False).count() == 0
    # Taking it off is confirmed as well.
    assert home.post(UNWHITE, {"ip": "203.0.113.1"}).json()["state"] == "active"
    assert code(home.post(UNWHITE, {"ip": "203.0.113.1", "code": sent})) == (400, "wrong_code")
    assert confirmed_by_letter(home, UNWHITE, "203.0.113.1", drain).json()["state"] == "deleted"
    assert away.get(BALANCE).status_code == 200
    assert code(home.post(UNWHITE, {"ip": "203.0.113.1"})) == (404, "not_found")


def test_a_code_of_a_letter_is_guessed_five_times(customer: Made, drain: Drain) -> None:
    api = signed(customer())
    api.post(WHITE, {"ip": "2001:db8::1"})
    drain()
    [sent] = re.findall(r"^(\d{8})$", last_letter(), re.MULTILINE)
    for number in range(1, 6):
        wrong = f"{(int(sent) + number) % 10**8:08d}"
        assert code(api.post(WHITE, {"ip": "2001:db8::1", "code": wrong})) == (400, "wrong_code")
    assert code(api.post(WHITE, {"ip": "2001:db8::1", "code": sent})) == (400, "wrong_code")
    for number in range(4):
        assert api.post(WHITE, {"ip": f"203.0.113.{number}"}).status_code == 200
    assert code(api.post(WHITE, {"ip": "203.0.113.99"})) == (429, "rate_limited")
    assert WhiteIp.objects.filter(confirmed_at__isnull=False).count() == 0


def test_with_an_authenticator_its_code_confirms(customer: Made) -> None:
    user = customer()
    device = with_factor(user)
    half = signed(user)
    half.token = half.post("/api/v1/user/totp/verify", {"totp_code": phone(device.secret, -1)}).json()[
        "token"
    ]
    assert code(half.post(WHITE, {"ip": "127.0.0.1"})) == (403, "totp_required")
    assert code(half.post(WHITE, {"ip": "127.0.0.1", "totp_code": "000000"})) == (403, "totp_invalid")
    assert WhiteIp.objects.count() == 0
    rested(user)
    answer = half.post(WHITE, {"ip": "127.0.0.1", "totp_code": phone(device.secret)})
    assert answer.json()["state"] == "active"
    assert code(half.post(UNWHITE, {"ip": "127.0.0.1"})) == (403, "totp_required")
    assert half.post(UNWHITE, {"ip": "127.0.0.1", "totp_code": phone(device.secret, 1)}).json()["state"] == (
        "deleted"
    )


@pytest.mark.parametrize("ip", ["", "nowhere", "203.0.113.0/24", "999.1.1.1"])
def test_what_is_no_address_is_refused(customer: Made, ip: str) -> None:
    answer = signed(customer()).post(WHITE, {"ip": ip})
    assert (code(answer), list(answer.json()["field_errors"])) == ((400, "validation_error"), ["ip"])


def test_the_list_is_asked_in_one_query(customer: Made, django_assert_num_queries: Any) -> None:
    user = customer()
    for ip, confirmed in (("203.0.113.1", True), ("203.0.113.2", False)):
        WhiteIp.objects.create(user=user, ip=ip, confirmed_at=clock.now() if confirmed else None)
    for ip, allowed in (("203.0.113.1", True), ("203.0.113.2", False), ("203.0.113.3", False), ("", False)):
        with django_assert_num_queries(1):
            assert account_ip_allowed(user, ip) is allowed
    assert account_ip_allowed(customer(), "203.0.113.3")


def test_an_operator_lifts_the_list_of_who_locked_themselves_out(
    customer: Made, operator: Callable[..., Any], drain: Drain
) -> None:
    user = customer()
    WhiteIp.objects.create(user=user, ip="203.0.113.1", confirmed_at=clock.now())

    def lift(role: str, reason: str = "moved house, called back") -> str:
        return code_of(lambda: white_ips_lift(user_id=user.pk, reason=reason, actor=operator(role)))

    assert (lift("Support"), lift("Compliance", " ")) == ("forbidden", "validation_error")
    assert sign_in(user)["code"] == "ip_not_allowed"
    assert lift("Compliance") == "ok"
    assert opens(sign_in(user)["token"]) == "ok"
    assert AuditEntry.objects.get(verb="white_ips_lift").before == {"addresses": ["203.0.113.1"]}
    drain()
    assert subjects(user)[-1] == "The list of allowed addresses was changed"

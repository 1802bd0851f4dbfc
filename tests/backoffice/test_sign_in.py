"""Getting in: password, then the second factor; nobody learns more than "no"."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP

from backoffice.sites import BackOfficeSite
from kauri.account.models import SignIn, TOTPDevice, User
from tests.backoffice import scene

pytestmark = pytest.mark.usefixtures("house")

EMAIL = "first@example.com"


def code_of(device: TOTPDevice) -> str:
    generator = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    generator.time = time.time()
    return f"{generator.token():06d}"


def wrong_code(device: TOTPDevice) -> str:
    return f"{(int(code_of(device)) + 1) % 1_000_000:06d}"


@pytest.fixture
def person() -> scene.Person:
    return scene.operator("Treasury", EMAIL, scene.PASSWORD)


def give_password(client: Client, email: str = EMAIL, password: str = scene.PASSWORD, **more: str) -> Any:
    return client.post(reverse("admin:login"), {"email": email, "password": password, **more})


def is_in(client: Client) -> bool:
    return client.get(reverse("admin:index")).status_code == 200


def test_the_site_is_the_houses_own() -> None:
    assert admin.site.__class__ is BackOfficeSite


def test_password_and_code_let_in_and_are_recorded(person: scene.Person, client: Client) -> None:
    assert give_password(client).headers["Location"] == reverse("admin:login_code")
    assert not is_in(client)
    assert "_auth_user_id" not in client.session
    answer = client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert answer.headers["Location"] == reverse("admin:index")
    assert is_in(client)
    rows = list(SignIn.objects.values_list("user", "email", "door", "succeeded"))
    assert rows == [(person.user.pk, EMAIL, "backoffice", True)]


def test_every_refusal_reads_the_same(person: scene.Person, client: Client) -> None:
    stopped = scene.operator("Support", "stopped@example.com", scene.PASSWORD)
    User.objects.filter(pk=stopped.user.pk).update(is_active=False)
    buyer = scene.customer("buyer@example.com")
    buyer.set_password(scene.PASSWORD)
    buyer.save()
    tried = [
        (EMAIL, "wrong"),
        ("nobody@example.com", "wrong"),
        ("buyer@example.com", scene.PASSWORD),
        ("stopped@example.com", scene.PASSWORD),
    ]
    pages = []
    for email, password in tried:
        answer = give_password(client, email, password)
        assert answer.status_code == 200
        page = answer.content.decode().replace(email, "")
        pages.append(re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", page))
        assert not is_in(client)
    assert len(set(pages)) == 1
    assert "The e-mail or the password is wrong." in pages[0]
    assert SignIn.objects.filter(succeeded=False, door="backoffice").count() == len(tried)
    assert person.user.pk in SignIn.objects.values_list("user", flat=True)


def test_no_second_factor_no_entry(person: scene.Person, client: Client) -> None:
    client.force_login(person.user)
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("admin:login"))


def test_a_code_is_used_once(person: scene.Person, client: Client) -> None:
    code = code_of(person.device)
    give_password(client)
    client.post(reverse("admin:login_code"), {"code": code})
    assert is_in(client)
    second = Client()
    give_password(second)
    assert second.post(reverse("admin:login_code"), {"code": code}).status_code == 200
    assert not is_in(second)


def test_a_wrong_code_is_refused_and_recorded(person: scene.Person, client: Client) -> None:
    give_password(client)
    answer = client.post(reverse("admin:login_code"), {"code": wrong_code(person.device)})
    assert answer.status_code == 200
    assert "wrong or has expired" in answer.content.decode()
    assert not is_in(client)
    assert SignIn.objects.filter(succeeded=False, user=person.user).count() == 1


def test_too_many_tries_of_an_account_stop_even_the_right_password(
    person: scene.Person, client: Client, settings: Any
) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"sign_in_tries": 3})
    for _try in range(3):
        give_password(client, password="wrong")
    answer = give_password(client)
    assert answer.status_code == 429
    assert client.get(reverse("admin:login_code")).headers["Location"] == reverse("admin:login")
    assert SignIn.objects.filter(email=EMAIL, succeeded=False).count() == 4
    # A stranger's tries say nothing about who exists: an unknown address is stopped the same way.
    for _try in range(3):
        give_password(client, "nobody@example.com", "wrong")
    assert give_password(client, "nobody@example.com", "wrong").status_code == 429
    assert person.user.sign_ins.filter(succeeded=True).count() == 0


def test_too_many_tries_from_an_address_stop_every_account(
    person: scene.Person, client: Client, settings: Any
) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"sign_in_tries_per_address": 4})
    for number in range(4):
        give_password(client, f"guess{number}@example.com", "wrong")
    assert give_password(client).status_code == 429
    elsewhere = Client(REMOTE_ADDR="203.0.113.200")
    assert give_password(elsewhere).status_code == 302
    assert person.user.is_active


def test_codes_are_throttled_too(person: scene.Person, client: Client, settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"sign_in_tries": 2})
    give_password(client)
    for _try in range(2):
        client.post(reverse("admin:login_code"), {"code": wrong_code(person.device)})
    answer = client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert answer.status_code == 429
    assert not is_in(client)


def test_enrolment_keeps_the_secret_only_after_a_code_proves_it(client: Client) -> None:
    user = User.objects.create_user(email=EMAIL, password=scene.PASSWORD, is_staff=True)
    give_password(client)
    assert client.get(reverse("admin:login_code")).headers["Location"] == reverse("admin:login_enrol")
    page = client.get(reverse("admin:login_enrol")).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page
    device = TOTPDevice(user=user, key=client.session["sign_in"]["key"])
    client.post(reverse("admin:login_enrol"), {"code": wrong_code(device)})
    assert not TOTPDevice.objects.exists()
    assert not is_in(client)
    answer = client.post(reverse("admin:login_enrol"), {"code": code_of(device)})
    assert answer.headers["Location"] == reverse("admin:index")
    assert is_in(client)
    kept = TOTPDevice.objects.get()
    assert (kept.user, kept.confirmed, kept.key) == (user, True, device.key)


def test_who_has_a_factor_cannot_enrol_another(person: scene.Person, client: Client) -> None:
    give_password(client)
    answer = client.get(reverse("admin:login_enrol"))
    assert answer.headers["Location"] == reverse("admin:login_code")
    assert TOTPDevice.objects.filter(user=person.user).count() == 1


def test_the_password_alone_is_forgotten_after_a_while(person: scene.Person, client: Client) -> None:
    give_password(client)
    session = client.session
    session["sign_in"] = {**session["sign_in"], "at": int(time.time()) - 601}
    session.save()
    answer = client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert answer.headers["Location"] == reverse("admin:login")
    assert not is_in(client)


def test_a_changed_password_ends_a_sign_in_under_way(person: scene.Person, client: Client) -> None:
    give_password(client)
    person.user.set_password("another long passphrase")
    person.user.save()
    client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert not is_in(client)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_next_stays_in_the_house(person: scene.Person, client: Client, target: str) -> None:
    give_password(client, next=target)
    answer = client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert answer.headers["Location"] == reverse("admin:index")


def test_next_leads_to_where_the_operator_wanted(person: scene.Person, client: Client) -> None:
    target = reverse("admin:order_core_order_changelist")
    give_password(client, next=target)
    answer = client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert answer.headers["Location"] == target


def test_the_session_gets_a_new_key_at_each_step(person: scene.Person, client: Client) -> None:
    client.get(reverse("admin:login"))
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    give_password(client)
    held = client.session.session_key
    client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert len({planted, held, client.session.session_key}) == 3


def test_signing_out_needs_a_post_and_ends_the_session(person: scene.Person, client: Client) -> None:
    give_password(client)
    client.post(reverse("admin:login_code"), {"code": code_of(person.device)})
    assert client.get(reverse("admin:logout")).status_code == 405
    assert is_in(client)
    client.post(reverse("admin:logout"))
    assert not is_in(client)


def test_forms_need_their_token(person: scene.Person) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert give_password(strict).status_code == 403
    assert person.user.sign_ins.count() == 0


def test_a_refreshing_page_is_told_to_reload_when_its_session_ended(client: Client) -> None:
    answer = client.get(reverse("admin:desk"), headers={"HX-Request": "true"}, follow=True)
    assert answer.headers["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("language", "word"), [("uk", "Продовжити"), ("ru", "Продолжить"), ("en", "Continue")]
)
def test_the_language_is_switched_before_signing_in(client: Client, language: str, word: str) -> None:
    client.post(reverse("admin:language"), {"language": language, "next": reverse("admin:login")})
    assert word in client.get(reverse("admin:login")).content.decode()

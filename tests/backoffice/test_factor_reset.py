"""The lost phone on the pages: proposed by one, taken off by another, and the operator enrols anew."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client
from django.urls import reverse

from kauri.account.models import FactorReset, TOTPDevice, User
from tests.backoffice import scene
from tests.moves import six_digits

AtDesk = Callable[..., Client]
ADD = "admin:account_factorreset_add"


def test_from_the_form_to_enrolling_anew(at_desk: AtDesk) -> None:
    person = scene.operator("Support", "lost@example.com", scene.PASSWORD)
    lost = at_desk(person=person)
    assert lost.get(reverse("admin:index")).status_code == 200
    maker, checker = at_desk("Administrator"), at_desk("Administrator")
    page = maker.get(reverse(ADD)).content.decode()
    assert "lost@example.com" in page
    assert f'<option value="{maker.person.user.pk}"' not in page  # type: ignore[attr-defined]
    form = {"operator": person.user.pk, "reason": "phone stolen", "code": ""}
    maker.post(reverse(ADD), form)
    assert not FactorReset.objects.exists()
    form["code"] = six_digits(maker.person.user)  # type: ignore[attr-defined]
    answer = maker.post(reverse(ADD), form, follow=True)
    assert "a second person decides" in answer.content.decode()
    row = FactorReset.objects.get()
    change = reverse("admin:account_factorreset_change", args=(row.public_id,))
    take_off = reverse("admin:account_factorreset_approve", args=(row.public_id,))
    assert take_off not in maker.get(change).content.decode()
    assert take_off in checker.get(change).content.decode()
    assert maker.post(take_off, {"_form_submitted": "True", "code": ""}).status_code == 403
    sent = {"_form_submitted": "True", "code": six_digits(checker.person.user)}  # type: ignore[attr-defined]
    assert "enrols anew" in checker.post(take_off, sent, follow=True).content.decode()
    assert not TOTPDevice.objects.filter(user=person.user).exists()
    # What was open is shut, and the password leads to enrolment and to nothing else.
    answer = lost.get(reverse("admin:index"))
    assert (answer.status_code, answer.url.partition("?")[0]) == (302, reverse("admin:login"))
    fresh = Client()
    fresh.post(reverse("admin:login"), {"email": "lost@example.com", "password": scene.PASSWORD})
    assert fresh.get(reverse("admin:login_code")).url == reverse("admin:login_enrol")
    assert fresh.get(reverse("admin:index")).status_code == 302


def test_who_sees_roles_looks_and_others_see_nothing(at_desk: AtDesk) -> None:
    listed = reverse("admin:account_factorreset_changelist")
    assert at_desk("Auditor").get(listed).status_code == 200
    assert at_desk("Auditor").get(reverse(ADD)).status_code == 403
    assert at_desk("Support").get(listed).status_code == 403
    assert User.objects.filter(is_staff=True).count() == 3

"""The page to decide on a case: papers through a view that keeps a record, acts as dialogs, rights."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from kauri.account import cases
from kauri.account.models import User, VerificationCase
from kauri.common import clock
from kauri.common.admin import page_url
from kauri.core.models import AuditEntry, Provider
from tests.backoffice import scene
from tests.backoffice.window import Window, sign_in
from tests.kauri.account.papers import PDF

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
SENT = {"_form_submitted": "True"}


def act(name: str, case: VerificationCase) -> str:
    return reverse(f"admin:account_verificationcase_{name}", args=(case.public_id,))


def case_of(email: str = "first@example.com") -> VerificationCase:
    return scene.verification(scene.customer(email, level=0))


def views() -> int:
    return AuditEntry.objects.filter(verb="verification_document_view").count()


def test_the_page_tells_everything_and_looking_is_on_record(at_desk: AtDesk) -> None:
    client, case = at_desk("Compliance"), case_of()
    twin = scene.customer("twin@example.com", level=0)
    theirs = scene.verification(twin, papers=False)
    cases.document_add(
        user_id=twin.pk,
        case_id=theirs.public_id,
        kind="identity",
        data=scene.picture("first@example.com"),
        ip=scene.HOME_IP,
    )
    page = client.get(page_url(case)).content.decode()
    for said in (
        "first@example.com",
        "Waits for an operator",
        "also sent by",
        "twin@example.com",
        "Passport or identity card",
        "everything is here",
    ):
        assert said in page
    for name in ("approve", "reject", "ask_again"):
        assert act(name, case) in page
    assert act("play", case) not in page
    document = case.documents.get()
    assert reverse("admin:verification_document", args=(document.public_id,)) in page
    assert document.file_name not in page
    [entry] = AuditEntry.objects.filter(verb="verification_case_view")
    assert (entry.object_id, entry.actor_label) == (str(case.pk), client.person.user.email)
    assert views() == 0


def test_a_picture_is_shown_as_what_it_is_and_a_pdf_handed_down(at_desk: AtDesk) -> None:
    client, case = at_desk("Compliance"), case_of()
    pdf = cases.document_add(
        user_id=case.user_id, case_id=case.public_id, kind="other", data=PDF, ip=scene.HOME_IP
    )
    picture = case.documents.get(kind="identity")
    shown = client.get(reverse("admin:verification_document", args=(picture.public_id,)))
    assert shown.content == scene.picture("first@example.com")
    assert {name: shown[name] for name in ("Content-Type", "Content-Disposition")} == {
        "Content-Type": "image/jpeg",
        "Content-Disposition": f'inline; filename="identity-{picture.pk}.jpeg"',
    }
    assert shown["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in shown["Cache-Control"]
    handed = client.get(reverse("admin:verification_document", args=(pdf.public_id,)))
    assert (handed.content, handed["Content-Type"]) == (PDF, "application/pdf")
    assert handed["Content-Disposition"].startswith("attachment; ")
    assert views() == 2


@pytest.mark.parametrize("role", ["Support", "Treasury", "Finance", "Administrator", "Auditor"])
def test_papers_are_for_those_who_decide(at_desk: AtDesk, role: str) -> None:
    client, case = at_desk(role), case_of()
    url = reverse("admin:verification_document", args=(case.documents.get().public_id,))
    assert client.get(url).status_code == 403
    assert Client().get(url).status_code == 302
    for name, given in (
        ("approve", {"reason": "x"}),
        ("reject", {"reason_code": "other", "words": "x"}),
        ("ask_again", {"documents": ["identity"], "words": "x"}),
        ("play", {"verdict": "approved"}),
    ):
        assert client.post(act(name, case), {**SENT, **given}).status_code == 403
    page = client.get(page_url(case))
    if role in {"Support", "Auditor"}:
        assert url not in page.content.decode()
        assert client.get(reverse("admin:verification_next")).status_code == 302
    else:
        assert page.status_code == 403
        assert client.get(reverse("admin:verification_next")).status_code == 403
    case.refresh_from_db()
    assert (case.state, views()) == ("waiting_for_operator", 0)


def test_decisions_by_dialog(at_desk: AtDesk) -> None:
    client = at_desk("Compliance")
    good, bad, again = case_of("good@example.com"), case_of("bad@example.com"), case_of("again@example.com")
    client.post(act("approve", good), {**SENT, "reason": "papers fit"})
    client.post(act("reject", bad), {**SENT, "reason_code": "forged", "words": "Please visit us."})
    client.post(act("ask_again", again), {**SENT, "documents": ["identity", "selfie"], "words": "Too dark."})
    for case in (good, bad, again):
        case.refresh_from_db()
    assert (good.state, good.user.verification_level) == ("approved", 1)
    assert (bad.state, bad.reason_code, bad.words) == ("rejected", "forged", "Please visit us.")
    assert (again.state, again.asked) == ("asked_again", ["identity", "selfie"])
    page = client.get(page_url(good)).content.decode()
    assert act("approve", good) not in page
    late = client.post(act("approve", bad), {**SENT, "reason": "after all"})
    assert late.status_code == 403
    bad.refresh_from_db()
    assert bad.state == "rejected"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("approve", {"reason": " "}),
        ("reject", {"reason_code": "ugly", "words": "x"}),
        ("reject", {"reason_code": "other", "words": ""}),
        ("ask_again", {"words": "x"}),
        ("ask_again", {"documents": ["cat"], "words": "x"}),
    ],
)
def test_a_dialog_that_says_too_little_does_nothing(
    at_desk: AtDesk, name: str, given: dict[str, object]
) -> None:
    client, case = at_desk("Compliance"), case_of()
    assert client.post(act(name, case), {**SENT, **given}).status_code == 200
    case.refresh_from_db()
    assert (case.state, case.answers.count()) == ("waiting_for_operator", 0)


def test_nobody_is_offered_their_own_case(at_desk: AtDesk) -> None:
    client = at_desk("Compliance")
    own = scene.verification(scene.customer("own@example.com", level=0))
    person = client.person.user
    User.objects.filter(pk=own.user_id).update(is_staff=True)
    own.user.groups.set(person.groups.all())
    theirs = at_desk(person=scene.Person(User.objects.get(pk=own.user_id), scene.device_of(own.user)))
    assert theirs.post(act("approve", own), {**SENT, "reason": "I am I"}).status_code == 403
    assert act("approve", own) not in theirs.get(page_url(own)).content.decode()


def test_the_queue_its_filters_and_the_next(at_desk: AtDesk) -> None:
    client = at_desk("Compliance")
    empty = client.get(reverse("admin:verification_next"))
    assert empty.status_code == 302
    assert "queue=waiting" in empty.url
    with clock.standing_at(clock.now() - timedelta(hours=25)):
        late = case_of("late@example.com")
    soon, open_case = (
        case_of("soon@example.com"),
        scene.verification(scene.customer("open@example.com", level=0), papers=False),
    )
    url = reverse("admin:account_verificationcase_changelist")
    for query, who in (
        ({"queue": "waiting"}, ["late@example.com", "soon@example.com"]),
        ({"queue": "overdue"}, ["late@example.com"]),
        ({"q": "soon@example.com"}, ["soon@example.com"]),
        ({"q": soon.documents.get().sha256}, ["soon@example.com"]),
        ({"q": str(open_case.public_id)}, ["open@example.com"]),
    ):
        page = client.get(url, query).content.decode()
        assert re.findall(r'k-link" href="/account/user/[^"]+">([^<]+)<', page) == who, query
    assert client.get(reverse("admin:verification_next")).url == page_url(late)
    assert client.get(reverse("admin:verification_next"), {"after": late.public_id}).url == page_url(soon)
    desk = client.get(reverse("admin:index")).content.decode()
    assert "1 waits longer than a day" in desk
    assert reverse("admin:verification_next") in desk


def test_the_customers_page_lists_the_cases(at_desk: AtDesk) -> None:
    client, case = at_desk("Support"), case_of()
    page = client.get(page_url(case.user)).content.decode()
    assert page_url(case) in page


def test_a_sandbox_offers_to_play(at_desk: AtDesk) -> None:
    client, case = at_desk("Compliance"), case_of()
    Provider.objects.filter(pk=case.provider_id).update(environment="sandbox")
    VerificationCase.objects.filter(pk=case.pk).update(provider_reference="a-1")
    assert act("play", case) in client.get(page_url(case)).content.decode()
    client.post(act("play", case), {**SENT, "verdict": "retry"})
    case.refresh_from_db()
    assert case.call == "play_retry"


@pytest.mark.django_db(transaction=True)
def test_in_a_browser_the_papers_are_seen_and_the_case_decided(window: Callable[..., Window]) -> None:
    case = case_of()
    person = scene.operator("Compliance", "compliance-one@example.com", scene.PASSWORD)
    found = window()
    page = sign_in(found, person)
    page.goto(f"{found.base}{reverse('admin:verification_next')}")
    paper = page.locator("img.k-paper")
    expect(paper).to_be_visible()
    page.wait_for_function("document.querySelector('img.k-paper').naturalWidth === 320")
    page.locator(f"[hx-get='{act('approve', case)}'], [href='{act('approve', case)}']").first.click()
    page.fill("#dialog [name=reason]", "the face fits")
    page.locator("#dialog button[type=submit]").click()
    expect(page.get_by_text("The customer is verified.")).to_be_visible()
    case.refresh_from_db()
    assert case.state == "approved"
    assert User.objects.get(pk=case.user_id).verification_level == 1
    # Once before the decision, once on the page that follows it.
    assert views() == 2
    assert found.complaints == []

"""Dialogs and settings: a right, a POST, a reason; a service does it, and the record says who."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from backoffice.roles import offered
from kauri.account import tokens
from kauri.account.admin import LEVELS
from kauri.account.models import Session, User, WhiteIp
from kauri.account.services import MAX_LEVEL
from kauri.balance.models import LedgerAccount
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.admin import page_url
from kauri.core.models import AuditEntry
from kauri.notification.models import Delivery
from kauri.order_core.models import Policy
from kauri.report.models import ReportRun
from tests.backoffice import scene
from tests.moves import give

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
#: What the dialog's own form adds to say that it was sent.
SENT = {"_form_submitted": "True"}


def dialog(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def test_levels_offered_are_the_services_own() -> None:
    assert [level for level, _title in LEVELS] == list(range(MAX_LEVEL + 1))


def test_every_act_on_a_page_is_a_dialog() -> None:
    """Unfold runs a plain action on GET, without a token: none may exist."""
    for model, model_admin in admin.site._registry.items():
        names = (
            *model_admin.actions_list,
            *model_admin.actions_row,
            *model_admin.actions_detail,
            *model_admin.actions_submit_line,
        )
        for name in names:
            if name == "import_rows":  # a page with forms of its own: a GET of it changes nothing
                continue
            method = getattr(model_admin, name)
            assert getattr(method, "dialog", None), f"{model._meta.label}.{name}"
            assert method.allowed_permissions, f"{model._meta.label}.{name}"
            assert not any("." in rule for rule in method.allowed_permissions)


def test_no_form_opens_a_frame(at_desk: AtDesk) -> None:
    client, operator = at_desk("Administrator"), scene.operator("Support").user
    for row in (Policy.objects.first(), operator):
        page = client.get(page_url(row)).content.decode()
        assert "related-widget-wrapper-link" not in page


def test_nothing_is_deleted_from_the_back_office(at_desk: AtDesk) -> None:
    client = at_desk()
    client.person.user.is_superuser = True
    client.person.user.save()
    customer = scene.customer("first@example.com")
    url = reverse("admin:account_user_delete", args=(customer.public_id,))
    assert client.post(url, {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=customer.pk).exists()
    page = client.get(reverse("admin:account_user_changelist")).content.decode()
    assert "delete_selected" not in page


def test_verify_sets_the_level_and_keeps_the_reason(at_desk: AtDesk) -> None:
    client, customer = at_desk("Compliance"), scene.customer("first@example.com", level=1)
    url = dialog("account_user_verify", customer.public_id)
    assert "Set the verification level" in client.get(url).content.decode()
    customer.refresh_from_db()
    assert customer.verification_level == 1
    answer = client.post(url, {**SENT, "level": "2", "reason": "papers seen"}, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == page_url(customer)
    customer.refresh_from_db()
    assert customer.verification_level == 2
    decision = customer.verification_decisions.get()
    assert (decision.from_level, decision.to_level, decision.reason) == (1, 2, "papers seen")
    assert decision.actor_label == client.person.user.email


def test_verify_without_a_reason_does_nothing(at_desk: AtDesk) -> None:
    client, customer = at_desk("Compliance"), scene.customer("first@example.com", level=1)
    page = client.post(
        dialog("account_user_verify", customer.public_id), {**SENT, "level": "2", "reason": " "}
    )
    assert "This field is required" in page.content.decode()
    assert customer.verification_decisions.count() == 0


def test_disable_and_enable_an_account(at_desk: AtDesk) -> None:
    client, customer = at_desk("Compliance"), scene.customer("first@example.com")
    client.post(dialog("account_user_disable", customer.public_id), {**SENT, "reason": "stolen papers"})
    customer.refresh_from_db()
    assert (customer.is_active, customer.disabled_reason) == (False, "stolen papers")
    page = client.get(page_url(customer)).content.decode()
    assert "disabled: stolen papers" in page
    assert dialog("account_user_disable", customer.public_id) not in page
    client.post(dialog("account_user_enable", customer.public_id), {**SENT, "reason": "cleared up"})
    customer.refresh_from_db()
    assert customer.is_active


@pytest.mark.parametrize("role", ["Support", "Treasury", "Finance", "Administrator", "Auditor"])
def test_only_compliance_and_seniors_verify_and_disable(at_desk: AtDesk, role: str) -> None:
    client, customer = at_desk(role), scene.customer("first@example.com", level=1)
    for name in ("verify", "disable"):
        url = dialog(f"account_user_{name}", customer.public_id)
        assert client.post(url, {**SENT, "level": "2", "reason": "x"}).status_code == 403
    customer.refresh_from_db()
    assert (customer.verification_level, customer.is_active) == (1, True)


def test_looking_at_a_customer_is_on_record(at_desk: AtDesk) -> None:
    client, customer = at_desk("Support"), scene.customer("first@example.com")
    client.get(page_url(customer))
    entry = AuditEntry.objects.get(verb="customer_view")
    assert (entry.object_id, entry.actor_label) == (str(customer.pk), client.person.user.email)


def test_balances_are_read_as_of_a_past_moment(at_desk: AtDesk) -> None:
    client, customer = at_desk("Support"), scene.customer("first@example.com")
    give(customer, "UAH", "100.25")
    moment = clock.now()
    give(customer, "UAH", "50")
    url = page_url(customer)
    answer = client.post(
        dialog("account_user_read_as_of", customer.public_id), {**SENT, "at": f"{moment:%Y-%m-%dT%H:%M:%S}"}
    )
    assert answer.headers["Location"] == f"{url}?at={moment:%Y-%m-%dT%H}%3A{moment:%M}%3A{moment:%S}Z"
    then = client.get(url, {"at": moment.isoformat()}).content.decode()
    assert ("100<" in then or "100.25" in then, "150.25" in then, "<p>As of" in then) == (True, False, True)
    assert f'href="{url}">now' in then
    now = client.get(url).content.decode()
    assert "150.25" in now
    assert "<p>As of" not in now


@pytest.mark.parametrize(
    ("at", "said"), [("2001-01-01T00:00:00Z", "the books begin"), ("2999-01-01", "still to come"), ("x", "")]
)
def test_a_moment_that_the_books_do_not_know_is_an_error(at_desk: AtDesk, at: str, said: str) -> None:
    client, customer = at_desk("Support"), scene.customer("first@example.com")
    give(customer, "UAH", "100")
    url = page_url(customer)
    answer = client.get(url, {"at": at}, follow=True)
    assert answer.redirect_chain == [(url, 302)]
    [message] = answer.context["messages"]
    assert said in str(message)


def test_one_account_is_read_as_of_a_past_moment(at_desk: AtDesk) -> None:
    client, customer = at_desk("Finance"), scene.customer("first@example.com")
    give(customer, "UAH", "100")
    moment = clock.now()
    give(customer, "UAH", "11")
    for account, then, now in (
        (LedgerAccount.objects.get(customer=customer, kind=1), "100", "111"),
        (LedgerAccount.objects.get(kind=34, currency__code="UAH"), "100", "111"),
    ):
        page = client.get(page_url(account), {"at": moment.isoformat()}).content.decode()
        shown = page.partition("<p>As of")[2].partition("</div>")[0]
        assert then in shown, account
        assert now not in shown, account


def test_a_role_keeps_the_rights_of_every_app(house: None) -> None:
    """A page that offered only some would take the others away when it is saved."""
    given = set(Permission.objects.filter(group__isnull=False))
    assert given <= set(offered())
    names = {f"{row.content_type.app_label}.{row.codename}" for row in offered()}
    assert {"account.add_customernote", "core.view_provider", "account.secure_user"} <= names
    assert {"account.view_recoverycode", "core.change_auditkey", "balance.delete_transfer"} & names == set()


def test_operators_are_seen_by_those_who_see_roles(at_desk: AtDesk) -> None:
    operator = scene.operator("Finance").user
    operators = reverse("admin:account_user_changelist") + "?who=operators"
    assert operator.email in at_desk("Administrator").get(operators).content.decode()
    assert operator.email not in at_desk("Support").get(operators).content.decode()
    assert at_desk("Support").get(page_url(operator)).status_code == 302


def test_the_administrator_cannot_approve_money_and_the_auditor_changes_nothing() -> None:
    def rights(name: str) -> set[str]:
        return set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))

    assert not {"approve_withdrawaldetail", "reject_withdrawaldetail"} & rights("Administrator")
    assert {right.split("_")[0] for right in rights("Auditor")} == {"view", "download", "export"}
    assert {"approve_withdrawaldetail", "verify_user", "request_report"} <= rights("Senior")


def test_replay_and_send_again_go_through_their_services(at_desk: AtDesk) -> None:
    client, callback = at_desk("Senior"), scene.callback()
    client.post(dialog("callbacks_inboundcallback_replay", callback.public_id), SENT)
    callback.refresh_from_db()
    assert callback.state == InboundCallback.State.STORED
    assert AuditEntry.objects.filter(object_type="callback").exists()
    delivery = scene.delivery(scene.customer("first@example.com"))
    client.post(dialog("notification_delivery_send_again", delivery.public_id), SENT)
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.WAITING


def test_many_dead_webhooks_are_sent_again_at_once(at_desk: AtDesk) -> None:
    user = scene.customer("first@example.com")
    rows = [scene.delivery(user) for _number in range(3)]
    client, url = at_desk("Support"), reverse("admin:notification_delivery_changelist")
    data = {"action": "send_again_selected", "_selected_action": [row.pk for row in rows[:2]]}
    page = client.post(url, data, follow=True).content.decode()
    assert "2 messages are on their way again." in page
    assert Delivery.objects.filter(state=Delivery.State.DEAD).count() == 1
    assert "send_again_selected" not in at_desk("Auditor").get(url).content.decode()


def test_the_proof_of_who_called_is_not_shown(at_desk: AtDesk) -> None:
    page = at_desk("Senior").get(page_url(scene.callback())).content.decode()
    assert "not for the eye" not in page
    assert "&quot;payment&quot;: &quot;p-1&quot;" in page


def change(client: Client, row: Any, **given: Any) -> str:
    """Take the row's form as the page shows it, change what is given (None: leave out), and send it."""
    form = client.get(page_url(row)).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    shown |= {
        f"initial-{name}": shown[name] for name, field in form.fields.items() if field.show_hidden_initial
    }
    data = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in {**shown, **given}.items()
        if value not in (None, False)
    }
    return client.post(page_url(row), data, follow=True).content.decode()


def test_a_report_is_asked_for_and_taken(at_desk: AtDesk, drain: Callable[..., int]) -> None:
    client = at_desk("Finance")
    url = reverse("admin:report_reportrun_ask")
    data = {**SENT, "definition": "balances_and_obligations", "file_format": "xlsx", "as_of": ""}
    assert client.post(url, data).status_code == 302
    run = ReportRun.objects.get()
    assert run.requested_by == client.person.user
    listed = reverse("admin:report_reportrun_changelist")
    assert "data-busy" in client.get(listed).content.decode()
    assert OrmQ.objects.exists()
    drain()
    page = client.get(listed).content.decode()
    file_url = reverse("admin:report_reportrun_file", args=(run.public_id,))
    assert file_url in page
    taken = client.get(file_url)
    assert b"".join(taken.streaming_content)[:2] == b"PK"
    assert run.downloads.get().user == client.person.user
    refused = at_desk("Support").get(file_url)
    assert refused.status_code == 302
    assert run.downloads.count() == 1


def test_the_machinerys_own_screens_stay_out() -> None:
    apps = {model._meta.app_label for model in admin.site._registry}
    assert not apps & {"django_q", "otp_totp", "sessions", "contenttypes"}


def test_sessions_are_ended_and_the_address_list_lifted(at_desk: AtDesk) -> None:
    user = scene.customer("guarded@example.com")
    tokens.issue(user)
    WhiteIp.objects.create(user=user, ip="203.0.113.5", confirmed_at=clock.now())
    shown = at_desk("Support").get(page_url(user)).content.decode()
    assert "203.0.113.5" in shown
    urls = [dialog(f"account_user_{act}", user.public_id) for act in ("sign_out", "lift")]
    for url in urls:
        at_desk("Support").post(url, {**SENT, "reason": "asked by phone"})
    assert Session.objects.get().ended_at is None
    assert WhiteIp.objects.count() == 1
    for url in urls:
        assert at_desk("Compliance").post(url, {**SENT, "reason": "asked by phone"}).status_code == 302
    assert Session.objects.get().end_reason == "operator"
    assert WhiteIp.objects.count() == 0
    verbs = AuditEntry.objects.filter(object_id=str(user.pk), reason="asked by phone")
    assert sorted(verbs.values_list("verb", flat=True)) == ["account_sign_out", "white_ips_lift"]


ACTS = sorted(
    (f"{model._meta.app_label}_{model._meta.model_name}_{name}")
    for model, page in admin.site._registry.items()
    for name in page.actions_detail
    if isinstance(name, str)
)


@pytest.mark.parametrize("role", ["Senior", "Compliance", "Administrator", "Support"])
def test_an_act_on_what_is_not_there_is_not_found(at_desk: AtDesk, role: str) -> None:
    client = at_desk(role)
    asked = {**SENT, "reason": "r", "text": "t", "explanation": "e", "at": "2026-01-01 00:00"}
    for act in ACTS:
        answer = client.post(dialog(act, uuid.uuid4()), asked)
        # 200: the dialog asks again for what this form does not say.
        assert answer.status_code in {200, 302, 403, 404}, act

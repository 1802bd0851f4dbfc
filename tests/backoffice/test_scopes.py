"""A limited operator finds nothing outside: by list, page, search, palette, choice, filter, report, document or service."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from backoffice.dashboard import figures
from backoffice.work import WORK, waiting
from kauri.account import services as accounts
from kauri.account.cases import case_approve
from kauri.account.limits import VERB, last_change, limits_set, named
from kauri.account.models import CustomerGroup, User, VerificationCase
from kauri.balance.models import Entry
from kauri.balance.services import period_close
from kauri.common import clock
from kauri.common.admin import list_url, page_url
from kauri.common.documents import Document
from kauri.common.errors import KauriError
from kauri.common.scopes import EVERYTHING, SCOPED, UNSCOPED, Scope, hidden, narrow
from kauri.core.models import AuditEntry, Currency, Proposal, Provider
from kauri.core.proposals import approve
from kauri.deposit_order.holds import hold_credit
from kauri.deposit_order.models import DepositDetail, UnmatchedMoney
from kauri.deposit_order.unmatched import Kind, act_propose
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import movement_approve, movement_take
from kauri.notification.models import Delivery
from kauri.notification.services import delivery_redeliver
from kauri.order_core.models import Order
from kauri.order_core.services import note_add
from kauri.payment_card.models import PaymentCard
from kauri.payment_card.services import card_stop
from kauri.payment_provider.models import Payin, Payout
from kauri.report.models import ReportRun
from kauri.report.services import report_make, report_open, report_request
from kauri.wallet.models import DepositAddress
from kauri.withdrawal_order.closing import closing_approve, closing_propose
from kauri.withdrawal_order.models import Closing, WithdrawalDetail
from kauri.withdrawal_order.services import withdrawal_approve, withdrawal_reject
from kauri.withdrawal_order.waiting import (
    withdrawal_ask,
    withdrawal_hand,
    withdrawal_hold,
    withdrawal_take,
    withdrawal_unhold,
    withdrawal_untake,
)
from tests.backoffice import scene
from tests.backoffice.test_acts import SENT
from tests.backoffice.test_lists import MODELS, _fill, _name, _queries
from tests.moves import six_digits

AtDesk = Callable[..., Client]
ROW = '<tr class="data-row'

#: What somebody sees who is limited to a group without customers, to the euro, to the Bitcoin node: the thing itself.
ALONE = {
    "groups": {"account.customergroup": 1},
    "currencies": {"core.currency": 1},
    "providers": {"core.provider": 1},
}
#: The scene's only adjustment moves the house's own money.
HOUSES_OWN = {"balance.adjustment"}
#: Rows that are about nobody in particular are seen by all.
GENERAL = {"order_core.policy", "withdrawal_order.reviewrule", "core.pair", "core.network"}


def limited(role: str, **limits: Collection[Any]) -> scene.Person:
    """An operator of a role who sees only this."""
    person, maker = scene.operator(role), scene.operator("Administrator").user
    limits_set(
        operator_id=person.user.pk,
        limits={kind: [row.pk for row in rows] for kind, rows in limits.items()},
        reason="a part of the house",
        code=six_digits(maker),
        actor=maker.as_actor(),
    )
    person.user = User.objects.get(pk=person.user.pk)
    return person


def nothing(kind: str) -> list[Any]:
    """What can be granted of a kind and has no rows."""
    if kind == "groups":
        return [CustomerGroup.objects.create(code="nobody", title="Nobody")]
    if kind == "currencies":
        return [Currency.objects.get(code="EUR")]
    return [Provider.objects.get(code="btc-node")]


def listed(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def label(model: type[Model]) -> str:
    return (model._meta.concrete_model or model)._meta.label_lower


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(KauriError) as caught:
        call()
    return caught.value.code


def vip() -> CustomerGroup:
    """A group that everybody who is there now belongs to."""
    group, _made = CustomerGroup.objects.get_or_create(code="vip-scope", defaults={"title": "VIP"})
    User.objects.filter(is_staff=False).update(group=group)
    return group


@pytest.fixture
def filled(house: None) -> None:
    scene.provider()
    _fill(1)


def test_every_model_of_the_back_office_is_scoped_or_says_why_not() -> None:
    shown = {label(model) for model in admin.site._registry}
    assert shown - set(SCOPED) == set(UNSCOPED)
    assert not set(SCOPED) & set(UNSCOPED)
    assert all(len(reason) > 20 for reason in UNSCOPED.values())


def test_a_scope_is_read_back_as_it_was() -> None:
    scope = Scope(7, groups=frozenset({3, 1}), providers=frozenset())
    assert scope.key == "groups=1,3;providers="
    assert Scope.parsed(scope.key, 7) == scope
    assert Scope.parsed("") == EVERYTHING
    assert not EVERYTHING.is_limited


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("kind", ["groups", "currencies", "providers"])
def test_nothing_outside_is_listed_or_opened(kind: str, at_desk: AtDesk) -> None:
    granted = nothing(kind)
    client = at_desk(person=limited("Auditor", **{kind: granted}))
    for model in MODELS:
        hangs = SCOPED.get(label(model))
        if hangs is None or getattr(hangs, kind) is None or label(model) in GENERAL:
            continue
        page = client.get(listed(model)).content.decode()
        assert page.count(ROW) == ALONE[kind].get(label(model), 0), model
        rows = model._default_manager.order_by("-pk")
        row = (
            rows.exclude(pk__in=[one.pk for one in granted]).first()
            if label(model) in ALONE[kind]
            else rows.first()
        )
        assert row is not None, model
        answer = client.get(page_url(row))
        assert answer.status_code == 302, model
        assert answer.url in (reverse("admin:index"), page_url(row)), model


@pytest.mark.usefixtures("filled")
def test_everything_inside_is_listed_as_before(at_desk: AtDesk) -> None:
    group = vip()
    client, free = at_desk(person=limited("Auditor", groups=[group])), at_desk("Auditor")
    for model in MODELS:
        hangs = SCOPED.get(label(model))
        if hangs is None or hangs.groups in (None, hidden) or label(model) in HOUSES_OWN:
            continue
        seen = client.get(listed(model)).content.decode().count(ROW)
        assert 0 < seen <= free.get(listed(model)).content.decode().count(ROW), model
    order = Order.objects.filter(type="WITHDRAWAL").latest("pk")
    assert client.get(page_url(order.withdrawal)).status_code == 200


@pytest.mark.usefixtures("filled", "one_page")
@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_a_limited_list_costs_the_same_for_many_rows(model: type[Model], at_desk: AtDesk) -> None:
    person = limited("Auditor", groups=[vip()])
    client = at_desk(person=person)
    client.get(listed(model))
    few, _page = _queries(client, listed(model))
    for number in range(2, 4):
        _fill(number)
    vip()
    many, _page = _queries(client, listed(model))
    assert many == few
    assert many <= 17


@pytest.mark.usefixtures("filled")
def test_search_palette_choices_and_filters_know_nothing_outside(at_desk: AtDesk) -> None:
    client = at_desk(person=limited("Administrator", groups=nothing("groups")))
    free = at_desk("Administrator")
    email, order = "filled1@example.com", Order.objects.filter(type="WITHDRAWAL").first()
    address = DepositAddress.objects.get(index=1).address
    for term in (email, str(order.public_id), order.external_id, scene.DESTINATION, address):
        found = client.get(reverse("admin:search"), {"s": term}).content.decode()
        assert "/change/" not in found, term
    assert "/change/" in free.get(reverse("admin:search"), {"s": email}).content.decode()
    assert ROW not in client.get(list_url(User, q=email)).content.decode()
    assert ROW in free.get(list_url(User, q=email)).content.decode()
    choice = {"app_label": "order_core", "model_name": "policy", "field_name": "user", "term": email}
    assert client.get(reverse("admin:autocomplete"), choice).json()["results"] == []
    assert [row["text"] for row in free.get(reverse("admin:autocomplete"), choice).json()["results"]] == [
        email
    ]
    assert "VIP only" not in client.get(list_url(User)).content.decode()
    CustomerGroup.objects.create(code="others", title="VIP only")
    assert "VIP only" not in client.get(list_url(User)).content.decode()
    assert "VIP only" in free.get(list_url(User)).content.decode()


@pytest.mark.usefixtures("filled")
def test_the_desk_counts_what_is_inside(at_desk: AtDesk) -> None:
    client = at_desk(person=limited("Senior", groups=nothing("groups")))
    page = client.get(reverse("admin:index")).content.decode()
    # What hangs on no group stays: nothing of it waits here.
    assert {int(found) for found in re.findall(r'data-testid="count">(\d+)<', page)} == {0}
    assert "Limited view" in page
    assert 'data-testid="coverage-total"' not in page
    free = at_desk("Senior").get(reverse("admin:index")).content.decode()
    assert "Limited view" not in free
    assert {int(found) for found in re.findall(r'data-testid="count">(\d+)<', free)} != {0}
    for name in ("withdrawal_next", "verification_next"):
        assert "queue=waiting" in client.get(reverse(f"admin:{name}")).url


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("kind", ["groups", "currencies", "providers"])
def test_what_waits_is_counted_as_its_lists_narrow_it(kind: str, rf: Any) -> None:
    within = {
        "groups": vip,
        "currencies": lambda: Currency.objects.get(code="USDT"),
        "providers": scene.provider,
    }
    request = rf.get("/")
    request.user = limited("Senior", **{kind: [within[kind]()]}).user
    counts = waiting(request)
    assert counts == {
        work.name: narrow(work.rows(clock.now()), request.user.scope).count()
        for work in WORK
        if work.name in counts
    }
    assert sum(counts.values()) > 0
    free = rf.get("/")
    free.user = scene.operator("Senior").user
    assert all(count <= waiting(free)[name] for name, count in counts.items())


def test_what_waits_takes_its_moments_from_what_it_is_given(house: None) -> None:
    """The statement is kept and its moments are moved to the present: one that a queue took from the clock would move, too."""
    then = datetime(2000, 1, 1, tzinfo=UTC)
    moments = [
        value
        for work in WORK
        for value in work.rows(then).query.sql_with_params()[1]
        if isinstance(value, datetime)
    ]
    assert moments
    assert all(abs(value - then) < timedelta(days=30) for value in moments)


@pytest.mark.usefixtures("filled")
def test_coverage_of_the_currencies_that_are_seen(at_desk: AtDesk, rf: Any) -> None:
    request = rf.get("/")
    request.user = limited("Senior", currencies=[Currency.objects.get(code="UAH")]).user
    assert [row["code"] for row in figures(request)["coverage"]["rows"]] == ["UAH"]
    request = rf.get("/")
    request.user = scene.operator("Senior").user
    assert [row["code"] for row in figures(request)["coverage"]["rows"]] == ["USDT", "UAH"]


def test_others_who_use_a_destination_do_not_leak(house: None, at_desk: AtDesk) -> None:
    scene.provider()
    mine = scene.customer("mine@example.com", balance="20000")
    group = vip()
    order = scene.withdrawal(mine, "1500")
    other = scene.customer("other@example.com", balance="20000")
    scene.withdrawal(other, "1500")
    client = at_desk(person=limited("Treasury", groups=[group]))
    page = client.get(page_url(order.withdrawal)).content.decode()
    assert "mine@example.com" in page
    assert "other@example.com" not in page
    assert "other@example.com" in at_desk("Treasury").get(page_url(order.withdrawal)).content.decode()


def test_a_customers_page_shows_the_currencies_that_are_seen(house: None, at_desk: AtDesk) -> None:
    user = scene.customer("both@example.com", balance="20000")
    scene.fund(user, "777", "UAH")
    client = at_desk(person=limited("Support", currencies=[Currency.objects.get(code="UAH")]))
    page = client.get(page_url(user)).content.decode()
    assert "777" in page
    assert re.search(r"20[,\s]?000", page) is None


@pytest.mark.usefixtures("filled")
def test_documents_and_reports_outside_are_not_handed_out(at_desk: AtDesk) -> None:

    person = limited("Finance", currencies=[Currency.objects.get(code="UAH")])
    free = scene.operator("Finance")

    def ask(who: scene.Person, definition: str = "balances_and_obligations", **given: Any) -> ReportRun:

        return report_request(
            definition=definition,
            file_format="xlsx",
            as_of=clock.now(),
            language="en",
            user=who.user,
            actor=who.user.as_actor(),
            **given,
        )

    whole, part = ask(free), ask(person)
    assert (whole.scope, part.scope) == ("", person.user.scope.key)
    for run in (whole, part):
        report_make(run.pk)
        run.refresh_from_db()
    assert set(part.totals["obligations"]) == {"UAH"}
    assert {"UAH", "USDT"} <= set(whole.totals["obligations"])
    assert code_of(lambda: report_open(run_id=whole.public_id, user=person.user, ip="")) == "not_found"
    assert report_open(run_id=part.public_id, user=person.user, ip="").is_file()
    client = at_desk(person=person)
    assert client.get(list_url(ReportRun)).content.decode().count(ROW) == 1
    answer = client.get(reverse("admin:report_reportrun_file", args=(whole.public_id,)))
    assert answer.status_code == 302
    grouped = limited("Finance", groups=nothing("groups"))
    assert code_of(lambda: ask(grouped)) == "not_found"

    since = Entry.objects.earliest("id").created_at.isoformat()
    named = {"customer": "filled1@example.com", "from": since}
    assert code_of(lambda: ask(grouped, "customer_statement", parameters=named)) == "not_found"
    assert ask(free, "customer_statement", parameters=named).scope == ""


@pytest.mark.usefixtures("filled")
def test_a_case_and_its_papers_outside_are_not_there(at_desk: AtDesk) -> None:
    person = limited("Compliance", groups=nothing("groups"))
    case = VerificationCase.objects.latest("pk")
    paper = case.documents.first()
    url = reverse("admin:verification_document", args=(paper.public_id,))
    assert at_desk(person=person).get(url).status_code == 404
    assert at_desk("Compliance").get(url).status_code == 200


@pytest.mark.usefixtures("filled")
def test_services_refuse_what_is_outside() -> None:

    operator = scene.operator("Senior", "everything@example.com").user
    operator.groups.set(Group.objects.all())
    limits = {"groups": [row.pk for row in nothing("groups")]}
    maker = scene.operator("Administrator").user.as_actor()
    limits_set(operator_id=operator.pk, limits=limits, reason="a part", code=six_digits(maker), actor=maker)
    actor = operator.as_actor()
    user = User.objects.get(email="filled1@example.com")
    order = WithdrawalDetail.objects.latest("pk").order
    movement = MovementDetail.objects.latest("pk").order
    held = DepositDetail.objects.filter(payin__state=Payin.State.HELD).latest("pk").order
    payout, closing = Payout.objects.latest("pk"), Closing.objects.latest("pk")
    money = UnmatchedMoney.objects.filter(state=Payin.State.UNMATCHED).latest("pk")
    paper = Document("letter.pdf", b"%PDF-1.7")
    before = (order.status, movement.status, held.status, user.verification_level, user.is_active)
    acts: list[Callable[[], object]] = [
        lambda: withdrawal_approve(order_id=order.public_id, actor=actor, reason="yes"),
        lambda: withdrawal_reject(order_id=order.public_id, actor=actor, reason="no"),
        lambda: withdrawal_take(order_id=order.public_id, actor=actor),
        lambda: withdrawal_untake(order_id=order.public_id, actor=actor),
        lambda: withdrawal_hand(order_id=order.public_id, to=user.public_id, actor=actor),
        lambda: withdrawal_hold(order_id=order.public_id, reason="later", actor=actor),
        lambda: withdrawal_unhold(order_id=order.public_id, actor=actor),
        lambda: withdrawal_ask(order_id=order.public_id, question="why", actor=actor),
        lambda: movement_approve(order_id=movement.public_id, actor=actor, reason="yes"),
        lambda: movement_take(order_id=movement.public_id, actor=actor),
        lambda: note_add(order_id=order.public_id, text="seen", actor=actor),
        lambda: accounts.customer_verify(user_id=user.pk, level=2, reason="fine", actor=actor),
        lambda: accounts.account_disable(user_id=user.pk, reason="bad", actor=actor),
        lambda: case_approve(
            case_id=VerificationCase.objects.latest("pk").public_id, reason="fine", actor=actor
        ),
        lambda: hold_credit(order_id=held.public_id, reason="fine", actor=actor),
        lambda: act_propose(payin_id=money.public_id, kind=Kind.KEEP, reason="ours", actor=actor),
        lambda: closing_approve(closing_id=closing.public_id, actor=actor),
        lambda: closing_propose(
            payout_id=payout.public_id,
            outcome=Closing.Outcome.PAID,
            reference="x",
            reason="x",
            document=paper,
            actor=actor,
        ),
        lambda: delivery_redeliver(delivery_id=Delivery.objects.latest("pk").pk, actor=actor),
        lambda: card_stop(card_id=PaymentCard.objects.latest("pk").pk, reason="lost", actor=actor),
    ]
    assert [code_of(act) for act in acts] == ["not_found"] * len(acts)
    assert code_of(lambda: period_close(month=clock.now().date(), actor=actor)) == "forbidden"
    for row in (order, movement, held, user):
        row.refresh_from_db()
    assert before == (order.status, movement.status, held.status, user.verification_level, user.is_active)
    assert not AuditEntry.objects.filter(actor_id=actor.id).exists()
    wider = limits_set(
        operator_id=operator.pk, limits={}, reason="all of it", code=six_digits(maker), actor=maker
    )
    assert wider is not None
    assert code_of(acts[0]) == "not_found"
    second = scene.operator("Administrator", "second@example.com").user.as_actor()
    approve(proposal_id=wider.public_id, actor=second, code=six_digits(second))
    note_add(order_id=order.public_id, text="seen", actor=actor)
    withdrawal_take(order_id=order.public_id, actor=actor)


def test_limits_are_set_by_who_changes_roles_and_stay_on_record(house: None, at_desk: AtDesk) -> None:
    person, maker = scene.operator("Support"), scene.operator("Administrator")
    usdt = Currency.objects.get(code="USDT")
    client = at_desk(person=maker)
    page = client.get(page_url(person.user)).content.decode()
    assert "Not limited: sees all that the roles allow." in page
    made = limits_set(
        operator_id=person.user.pk,
        limits={"currencies": [usdt.pk]},
        reason="the crypto desk",
        code=six_digits(maker.user),
        actor=maker.user.as_actor(),
    )
    assert made is None
    assert User.objects.get(pk=person.user.pk).scope == Scope(person.user.pk, currencies=frozenset({usdt.pk}))
    entry = AuditEntry.objects.get(verb=VERB)
    assert (entry.before, entry.after, entry.reason) == ({}, {"currencies": ["USDT"]}, "the crypto desk")
    assert last_change(person.user) == entry
    page = client.get(page_url(person.user)).content.decode()
    assert "the crypto desk" in page
    assert maker.user.email in page
    refused = {
        "forbidden": (maker.user, scene.operator("Senior").user),
        "not_found": (scene.customer("c@example.com"), maker.user),
    }
    who, by = refused["forbidden"]
    set_ = {"limits": {"currencies": [usdt.pk]}, "reason": "x", "code": six_digits(maker.user)}
    assert code_of(lambda: limits_set(operator_id=who.pk, actor=by.as_actor(), **set_)) == "forbidden"
    assert code_of(lambda: limits_set(operator_id=who.pk, actor=maker.user.as_actor(), **set_)) == "forbidden"
    who, by = refused["not_found"]
    assert code_of(lambda: limits_set(operator_id=who.pk, actor=by.as_actor(), **set_)) == "not_found"
    wrong = {**set_, "limits": {"currencies": [10**6]}}
    assert (
        code_of(lambda: limits_set(operator_id=person.user.pk, actor=maker.user.as_actor(), **wrong))
        == "validation_error"
    )
    chief = limited("Administrator", currencies=[usdt]).user
    assert (
        code_of(lambda: limits_set(operator_id=person.user.pk, actor=chief.as_actor(), **set_)) == "forbidden"
    )
    assert AuditEntry.objects.filter(verb=VERB, object_id=str(person.user.pk)).count() == 1


#: From what an operator sees to more, or to something else: by the codes of currencies, none is no limit.
WIDER = [
    (["USDT"], ["UAH", "USDT"]),
    (["USDT"], ["UAH"]),
    (["UAH", "USDT"], []),
]


def set_currencies(person: User, codes: Collection[str], by: User) -> Proposal | None:
    return limits_set(
        operator_id=person.pk,
        limits={"currencies": [row.pk for row in Currency.objects.filter(code__in=codes)]},
        reason="another desk",
        code=six_digits(by),
        actor=by.as_actor(),
    )


def currencies_of(person: User) -> list[str]:
    return named(User.objects.get(pk=person.pk).scope).get("currencies", [])


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_to_see_more_takes_two_people(
    before: list[str], after: list[str], house: None, at_desk: AtDesk
) -> None:
    person = limited("Support", currencies=Currency.objects.filter(code__in=before)).user
    maker, checker = scene.operator("Administrator", "first@example.com"), scene.operator("Administrator")
    person.groups.add(*checker.user.groups.all())
    made = set_currencies(person, after, maker.user)
    assert made is not None
    assert currencies_of(person) == before
    assert AuditEntry.objects.filter(verb=VERB).count() == 1
    page = at_desk(person=checker).get(page_url(made)).content.decode()
    assert "sees only these currencies" in page
    assert ("no limit: all" in page) is (after == [])
    for one in (maker.user, person):
        refused = lambda one=one: approve(  # noqa: E731
            proposal_id=made.public_id, actor=one.as_actor(), code=six_digits(one)
        )
        assert code_of(refused) == "forbidden"
    assert currencies_of(person) == before
    approve(proposal_id=made.public_id, actor=checker.user.as_actor(), code=six_digits(checker.user))
    assert currencies_of(person) == after
    entry = last_change(person)
    assert entry is not None
    assert (entry.verb, entry.actor_label) == ("proposal_apply", checker.user.email)


def test_to_see_less_holds_at_once_and_outlives_an_older_wish(house: None) -> None:
    currencies = Currency.objects.filter(code__in=["UAH", "USDT"])
    person = limited("Support", currencies=currencies).user
    maker, checker = (
        scene.operator("Administrator", "first@example.com").user,
        scene.operator("Administrator").user,
    )
    wider = set_currencies(person, ["EUR", "UAH", "USDT"], maker)
    assert wider is not None
    assert set_currencies(person, ["USDT"], maker) is None
    assert currencies_of(person) == ["USDT"]
    assert code_of(lambda: set_currencies(person, ["USDT"], maker)) == "conflict"
    done = approve(proposal_id=wider.public_id, actor=checker.as_actor(), code=six_digits(checker))
    assert (done.state, done.error) == (Proposal.State.FAILED, "changed meanwhile: seen_currencies")
    assert currencies_of(person) == ["USDT"]


def test_on_the_page_to_see_more_becomes_a_proposal(house: None, at_desk: AtDesk) -> None:
    person = limited("Support", currencies=Currency.objects.filter(code="USDT")).user
    boss = scene.operator("Administrator")
    client = at_desk(person=boss)
    url = reverse("admin:account_user_limit", args=(person.public_id,))
    form = {**SENT, "currencies": [], "reason": "everything again", "code": six_digits(boss.user)}
    answer = client.post(url, form, follow=True)
    assert "Proposed. Nothing has changed yet: a second person decides." in answer.content.decode()
    made = Proposal.objects.get()
    assert (made.target, made.target_id) == ("account.user", str(person.pk))
    assert set(made.after) == {"seen_currencies"}
    assert currencies_of(person) == ["USDT"]

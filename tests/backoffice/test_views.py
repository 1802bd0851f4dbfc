"""Views above a list and the columns of it: kept, shared, opened, and never more than the list itself gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kauri.account.models import CustomerGroup, SignIn, User
from kauri.common.admin import list_url
from kauri.core.models import AuditEntry, ListChoice, SavedView
from kauri.core.views import columns_choose, default_choose, view_save, view_share
from kauri.payment_card.models import PaymentCard
from tests.backoffice import scene
from tests.backoffice.test_exports import body, read, url
from tests.backoffice.test_scopes import ROW, limited
from tests.cards import VISA

AtDesk = Callable[..., Client]
LIST = "account.signin"
ALL = "seen,email,door,result,ip,user_agent"


def post(client: Client, what: str, model: type = SignIn, **fields: object) -> str:
    """Do it; where the list is opened then."""
    options = model._meta
    address = reverse("admin:list_act", args=(options.app_label, options.model_name, what))
    answer = client.post(address, fields)
    assert answer.status_code == 302
    return str(answer.url)


def said(client: Client, path: str) -> str:
    return client.get(path, follow=True).content.decode()


def tabs(page: str) -> list[tuple[str, bool]]:
    """The views of a page: name, and whether it is the open one."""
    found = re.findall(
        r'<a href="[^"]*" data-testid="view"( class="active")?[^>]*>(.*?)</a>', page, re.DOTALL
    )
    return [(re.sub(r"<span.*?</span>", "", inner).strip(), bool(active)) for active, inner in found]


def heads(page: str) -> list[str]:
    return re.findall(r'class="[^"]*column-([a-z_]+)', page)


@pytest.fixture
def sign_ins(house: None) -> None:
    for number in range(4):
        scene.customer(f"n{number}@example.com")
    SignIn.objects.filter(email="n0@example.com").update(succeeded=False, ip="203.0.113.1")


@pytest.mark.usefixtures("sign_ins")
def test_what_is_seen_is_saved_and_opened_by_one_click(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    seen = "succeeded__exact=0&o=2&_cols=ip,email&p=1&_view=all"
    where = post(client, "save", **{"query": seen, "save-name": "Failed"})
    view = SavedView.objects.get()
    assert parse_qs(view.query) == {"succeeded__exact": ["0"], "o": ["2"], "_cols": ["ip,email"]}
    assert where == f"{list_url(SignIn)}?{view.query}"
    page = said(client, where)
    assert tabs(page) == [("Failed", True)]
    assert page.count(ROW) == 1
    assert heads(page) == ["ip", "email"]
    # From the whole list it is one link away, and not the open one.
    page = said(client, list_url(SignIn))
    assert tabs(page) == [("Failed", False)]
    assert f'href="?{view.query.replace("&", "&amp;")}"' in page
    assert page.count(ROW) == 4


@pytest.mark.usefixtures("sign_ins")
def test_garbage_is_kept_out(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    post(
        client,
        "save",
        **{"query": "door__exact=api&evil=<script>&next=//x&e=1&_cols=ip,secret", "save-name": "A"},
    )
    assert parse_qs(SavedView.objects.get().query) == {"door__exact": ["api"], "_cols": ["ip"]}
    for query in ("user__password__startswith=p", "at_from_0=never", "email=" + "x" * 3000):
        where = post(client, "save", **{"query": query, "save-name": "B"})
        assert where.startswith(list_url(SignIn))
    assert SavedView.objects.count() == 1
    # A condition on the list's own rows that no filter offers is one all the same.
    where = post(client, "save", **{"query": "email=n1@example.com", "save-name": "One"})
    assert said(client, where).count(ROW) == 1


def test_a_card_number_is_not_saved(house: None, at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    address = reverse("admin:export", args=("payment_card", "paymentcard", "csv"))
    post(client, "save", PaymentCard, **{"query": f"q={VISA}", "save-name": "Card"})
    assert client.post(f"{address}?q={VISA}").status_code == 302
    assert not SavedView.objects.exists()
    assert VISA not in str(list(AuditEntry.objects.values()))


def test_who_does_not_see_a_list_keeps_no_view_of_it(house: None, at_desk: AtDesk) -> None:
    client = at_desk("Support")
    address = reverse("admin:list_act", args=("core", "auditentry", "save"))
    assert client.post(address, {"save-name": "x"}).status_code == 403
    assert client.post(reverse("admin:list_act", args=("core", "nothing", "save"))).status_code == 404
    assert client.post(reverse("admin:list_act", args=("account", "signin", "burn"))).status_code == 404
    assert client.get(reverse("admin:list_act", args=("account", "signin", "save"))).status_code == 405
    assert not SavedView.objects.exists()


@pytest.mark.usefixtures("sign_ins")
def test_a_shared_view_shows_its_reader_no_more_than_they_see(at_desk: AtDesk) -> None:
    senior = scene.operator("Senior").user.as_actor()
    view = view_save(
        list_name=LIST, name="All of them", query="o=-1&_cols=" + ALL.replace(",", "%2C"), actor=senior
    )
    view_share(view_id=view.public_id, role_id=Group.objects.get(name="Auditor").pk, actor=senior)
    group = CustomerGroup.objects.create(code="few", title="Few")
    User.objects.filter(email="n2@example.com").update(group=group)
    page = said(at_desk(person=limited("Auditor", groups=[group])), f"{list_url(SignIn)}?{view.query}")
    assert tabs(page) == [("All of them", True)]
    assert page.count(ROW) == 1
    assert "n2@example.com" in page
    assert "n1@example.com" not in page
    assert said(at_desk("Auditor"), f"{list_url(SignIn)}?{view.query}").count(ROW) >= 4
    assert tabs(said(at_desk("Support"), list_url(SignIn))) == []


@pytest.mark.usefixtures("sign_ins")
def test_only_who_may_is_offered_to_share(at_desk: AtDesk) -> None:
    for role, offered in (("Senior", True), ("Auditor", False)):
        client = at_desk(role)
        page = said(client, post(client, "save", **{"query": "door__exact=api", "save-name": "Mine"}))
        assert ('name="view-role"' in page) == offered, role
        view = SavedView.objects.get(owner_id=client.person.user.pk)
        auditor = Group.objects.get(name="Auditor")
        post(client, "share", **{"query": view.query, "view": view.public_id, "view-role": auditor.pk})
        view.refresh_from_db()
        assert view.role == (auditor if offered else None)


@pytest.mark.usefixtures("sign_ins")
def test_renamed_made_the_default_and_deleted(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    post(client, "save", **{"query": "succeeded__exact=0", "save-name": "Failed"})
    view = SavedView.objects.get()
    asked = {"query": view.query, "view": view.public_id}
    assert post(client, "rename", **asked, **{"view-name": "Lost"}) == f"{list_url(SignIn)}?{view.query}"
    post(client, "default", **asked)
    answer = client.get(list_url(SignIn))
    assert (answer.status_code, answer.url) == (302, f"?{view.query}")
    # Asked for something else, or for all of it, the list gives that.
    assert client.get(f"{list_url(SignIn)}?door__exact=api").status_code == 200
    assert said(client, f"{list_url(SignIn)}?_view=all").count(ROW) == 4
    page = said(client, list_url(SignIn))
    assert tabs(page) == [("Lost", True)]
    assert page.count(ROW) == 1
    post(client, "default", query=view.query)
    assert client.get(list_url(SignIn)).status_code == 200
    post(client, "default", **asked)
    post(client, "delete", **asked)
    assert tabs(said(client, list_url(SignIn))) == []
    assert client.get(list_url(SignIn)).status_code == 200


@pytest.mark.usefixtures("sign_ins")
def test_a_default_that_the_list_does_not_know_any_more_shuts_nobody_out(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    actor = client.person.user.as_actor()
    view = view_save(list_name=LIST, name="Old", query="user__password__startswith=x&_cols=ip", actor=actor)
    default_choose(list_name=LIST, view_id=view.public_id, actor=actor)
    assert client.get(list_url(SignIn)).status_code == 200


@pytest.mark.usefixtures("sign_ins")
def test_columns_in_the_order_that_was_chosen(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    where = post(client, "columns", query="o=1&_cols=seen&door__exact=api", columns=["ip", "email", "seen"])
    assert where == f"{list_url(SignIn)}?door__exact=api&_view=all"
    page = said(client, where)
    assert heads(page) == ["ip", "email", "seen"]
    # They stay, through sorting and pages, and for this operator alone.
    for query in ("", "?o=2", "?p=1", "?q=n1@example.com"):
        assert heads(said(client, list_url(SignIn) + query)) == ["ip", "email", "seen"], query
    assert heads(said(at_desk("Auditor"), list_url(SignIn))) == ALL.split(",")
    # The address can ask for others, which the links of the page then carry along.
    page = said(client, f"{list_url(SignIn)}?_cols=door,email")
    assert heads(page) == ["door", "email"]
    assert "_cols=door%2Cemail" in re.search(r'formaction="[^"]*csv\?([^"]*)"', page)[1]
    rows = re.findall(r'<a href="/account/signin/\d+/change/', page)
    assert len(rows) == 4
    post(client, "columns", as_shipped="1")
    assert heads(said(client, list_url(SignIn))) == ALL.split(",")


@pytest.mark.usefixtures("sign_ins")
def test_no_other_column_than_the_list_has_and_at_least_one(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    for columns in (["user__password"], ["email", "id"], ["pk"], [], ["email", "email"]):
        post(client, "columns", query="", columns=columns)
        assert not ListChoice.objects.exists(), columns
    for asked in ("user__password", "id,pk,__str__", "", ",,"):
        assert heads(said(client, f"{list_url(SignIn)}?_cols={asked}")) == ALL.split(","), asked
    # What an older version kept and this one has not is not shown.
    columns_choose(list_name=LIST, columns=["gone", "ip"], actor=client.person.user.as_actor())
    assert heads(said(client, list_url(SignIn))) == ["ip"]


@pytest.mark.usefixtures("sign_ins")
def test_the_file_has_the_columns_of_the_list(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    post(client, "columns", query="", columns=["ip", "email"])
    rows = read(body(client, url() + "?succeeded__exact=0"))
    assert rows == [["Address", "E-mail given"], ["203.0.113.1", "n0@example.com"]]
    rows = read(body(client, url() + "?succeeded__exact=0&_cols=email,user__password"))
    assert rows == [["E-mail given"], ["n0@example.com"]]
    columns = (
        AuditEntry.objects.filter(verb="list_export").order_by("pk").values_list("after__columns", flat=True)
    )
    assert list(columns) == [["ip", "email"], ["email"]]


def test_operators_are_a_list_of_their_own(house: None, at_desk: AtDesk) -> None:
    client = at_desk("Senior")
    scene.customer("first@example.com")
    post(client, "columns", User, query="who=operators", columns=["email", "roles"])
    post(client, "save", User, **{"query": "who=operators&is_active__exact=1", "save-name": "Active"})
    assert heads(said(client, list_url(User, who="operators"))) == ["email", "roles"]
    assert tabs(said(client, list_url(User, who="operators"))) == [("Active", False)]
    assert tabs(said(client, list_url(User))) == []
    assert len(heads(said(client, list_url(User)))) == 7


@pytest.mark.usefixtures("sign_ins")
def test_views_and_columns_are_one_query_of_the_page(at_desk: AtDesk) -> None:
    client = at_desk("Senior")
    actor = client.person.user.as_actor()
    for number in range(5):
        view = view_save(list_name=LIST, name=f"V{number}", query="q=n1%40example.com&_cols=ip", actor=actor)
    columns_choose(list_name=LIST, columns=["ip", "email"], actor=actor)
    default_choose(list_name=LIST, view_id=view.public_id, actor=actor)
    for address in (f"{list_url(SignIn)}?_view=all", f"{list_url(SignIn)}?{view.query}"):
        client.get(address)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        asked = [
            row["sql"]
            for row in captured
            if "core_savedview" in row["sql"] or "core_listchoice" in row["sql"]
        ]
        assert len(asked) == 1, asked


@pytest.mark.usefixtures("sign_ins")
def test_a_view_is_saved_over_in_the_dialog(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    post(client, "save", **{"query": "succeeded__exact=0", "save-name": "Failed"})
    page = said(client, f"{list_url(SignIn)}?succeeded__exact=1")
    [choice] = re.findall(r'<option value="([0-9a-f-]{36}:[0-9a-f]{16})"[^>]*>\s*Failed', page)
    where = post(client, "replace", **{"query": "succeeded__exact=1&p=3&nothing=1", "over-view": choice})
    query = SavedView.objects.get().query
    assert parse_qs(query) == {"succeeded__exact": ["1"], "_cols": [ALL]}
    assert where == f"{list_url(SignIn)}?{query}"
    assert tabs(said(client, where)) == [("Failed", True)]
    # The same dialog, sent again, has seen what is no more; nonsense finds nothing.
    post(client, "replace", **{"query": "q=x", "over-view": choice})
    post(client, "replace", **{"query": "q=x", "over-view": "x"})
    assert SavedView.objects.get().query == query

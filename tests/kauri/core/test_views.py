"""Views of lists: whose they are, who finds them, and what the database does not take."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction

from kauri.account.limits import limits_set
from kauri.account.models import CustomerGroup, User
from kauri.common.actor import SYSTEM, Actor
from kauri.core import views
from kauri.core.models import AuditEntry, ListChoice, SavedView
from kauri.core.models.views import mark_of
from kauri.core.selectors import list_state
from tests.moves import code_of, six_digits, together

Operator = Callable[..., Actor]
LIST = "account.signin"


def save(
    actor: Actor, name: str = "Failed", query: str = "succeeded__exact=0", where: str = LIST
) -> SavedView:
    return views.view_save(list_name=where, name=name, query=query, actor=actor)


def names(actor: Actor, where: str = LIST) -> list[str]:
    return [view.name for view in list_state(int(actor.id), where).views]


def role(name: str) -> int:
    return Group.objects.get(name=name).pk


def test_a_view_is_found_again_by_its_owner_on_its_list(operator: Operator) -> None:
    mine, other = operator("Auditor"), operator("Auditor")
    view = save(mine, "  Failed   at night ")
    [found] = list_state(int(mine.id), LIST).views
    assert (found.id, found.name, found.query) == (view.public_id, "Failed at night", "succeeded__exact=0")
    assert (found.is_own, found.role, found.owner) == (True, "", mine.label)
    assert names(mine, "core.auditentry") == []
    assert names(other) == []
    entry = AuditEntry.objects.get(verb="view_save")
    assert (entry.actor_id, entry.object_id) == (mine.id, str(view.public_id))
    assert entry.after == {"list": LIST, "name": "Failed at night", "query": "succeeded__exact=0"}


def test_a_name_is_taken_once_per_operator_and_list(operator: Operator) -> None:
    mine, other = operator("Auditor"), operator("Auditor")
    save(mine)
    assert code_of(lambda: save(mine, query="q=x")) == "conflict"
    assert SavedView.objects.get().query == "succeeded__exact=0"
    save(other)
    save(mine, where="core.auditentry")
    second = save(mine, "Second")
    assert (
        code_of(lambda: views.view_rename(view_id=second.public_id, name="Failed", actor=mine)) == "conflict"
    )
    second.refresh_from_db()
    assert second.name == "Second"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 61},
        {"name": "a\u202eb"},
        {"query": "q=" + "x" * 2000},
        {"query": "q=<script>"},
        {"query": "?q=1#x"},
        {"query": "q=1\nSet-Cookie: a"},
    ],
)
def test_what_is_no_view(operator: Operator, fields: dict[str, str]) -> None:
    assert code_of(lambda: save(operator("Auditor"), **fields)) == "validation_error"
    assert not SavedView.objects.exists()


def test_only_operators_and_not_too_many(operator: Operator, customer: Callable[..., User]) -> None:
    mine = operator("Auditor")
    assert code_of(lambda: save(customer().as_actor())) == "forbidden"
    assert code_of(lambda: save(SYSTEM)) == "forbidden"
    for number in range(views.MAX_VIEWS):
        save(mine, f"View {number}")
    assert code_of(lambda: save(mine, "One more")) == "limit_exceeded"
    assert SavedView.objects.count() == views.MAX_VIEWS


def test_others_views_are_not_there(operator: Operator) -> None:
    mine, other = operator("Auditor"), operator("Senior")
    view = save(mine)
    for act in (
        lambda: views.view_rename(view_id=view.public_id, name="Mine now", actor=other),
        lambda: views.view_share(view_id=view.public_id, role_id=role("Senior"), actor=other),
        lambda: views.view_delete(view_id=view.public_id, actor=other),
        lambda: views.default_choose(list_name=LIST, view_id=view.public_id, actor=other),
        lambda: views.view_delete(view_id=uuid.uuid4(), actor=mine),
    ):
        assert code_of(act) == "not_found"
    view.refresh_from_db()
    assert (view.name, view.role) == ("Failed", None)
    assert not ListChoice.objects.exists()


def test_shared_with_the_people_of_a_role(operator: Operator) -> None:
    senior, reader, stranger = operator("Senior"), operator("Auditor"), operator("Support")
    view = save(senior)
    save(reader, "A view of my own")
    views.view_share(view_id=view.public_id, role_id=role("Auditor"), actor=senior)
    assert names(reader) == ["A view of my own", "Failed"]
    assert names(stranger) == []
    shared = list_state(int(reader.id), LIST).views[1]
    assert (shared.is_own, shared.role, shared.owner) == (False, "Auditor", senior.label)
    # To see it is not to own it.
    assert code_of(lambda: views.view_rename(view_id=view.public_id, name="x", actor=reader)) == "not_found"
    assert code_of(lambda: views.view_delete(view_id=view.public_id, actor=reader)) == "forbidden"
    # Whoever may share takes away what somebody left behind, where they see it.
    assert code_of(lambda: views.view_delete(view_id=view.public_id, actor=operator("Senior"))) == "not_found"
    views.view_share(view_id=view.public_id, role_id=None, actor=senior)
    assert names(reader) == ["A view of my own"]
    views.view_share(view_id=view.public_id, role_id=role("Senior"), actor=senior)
    views.view_delete(view_id=view.public_id, actor=operator("Senior"))
    assert names(senior) == []
    changes = AuditEntry.objects.filter(verb="view_share").order_by("pk").values_list("after", flat=True)
    assert list(changes) == [{"role": "Auditor"}, {"role": None}, {"role": "Senior"}]


def test_sharing_takes_a_right_and_the_whole_house(operator: Operator) -> None:
    for actor in (operator("Auditor"), operator("Treasury")):
        view = save(actor)
        share = lambda view=view, actor=actor: views.view_share(  # noqa: E731
            view_id=view.public_id, role_id=role("Auditor"), actor=actor
        )
        assert code_of(share) == "forbidden"
    limited, maker = operator("Senior"), operator("Administrator")
    view = save(limited)
    limits_set(
        operator_id=int(limited.id),
        limits={"groups": [CustomerGroup.objects.get(code="default").pk]},
        reason="a part",
        code=six_digits(maker),
        actor=maker,
    )
    share = lambda: views.view_share(view_id=view.public_id, role_id=role("Auditor"), actor=limited)  # noqa: E731
    assert code_of(share) == "forbidden"
    free = operator("Senior")
    mine = save(free)
    nowhere = lambda: views.view_share(view_id=mine.public_id, role_id=0, actor=free)  # noqa: E731
    assert code_of(nowhere) == "validation_error"
    assert not SavedView.objects.filter(role__isnull=False).exists()


def test_a_list_opens_with_one_view_and_forgets_it_with_the_view(operator: Operator) -> None:
    mine = operator("Auditor")
    first, second = save(mine, "First"), save(mine, "Second")
    for view in (first, second):
        views.default_choose(list_name=LIST, view_id=view.public_id, actor=mine)
        default = list_state(int(mine.id), LIST).default
        assert default is not None
        assert default.id == view.public_id
    foreign = lambda: views.default_choose(list_name="core.switch", view_id=first.public_id, actor=mine)  # noqa: E731
    assert code_of(foreign) == "not_found"
    views.view_delete(view_id=second.public_id, actor=mine)
    assert list_state(int(mine.id), LIST).default is None
    assert ListChoice.objects.count() == 1


def test_columns_are_kept_per_operator_and_list(operator: Operator) -> None:
    mine, other = operator("Auditor"), operator("Auditor")
    views.columns_choose(list_name=LIST, columns=["ip", "email"], actor=mine)
    view = save(mine)
    views.default_choose(list_name=LIST, view_id=view.public_id, actor=mine)
    state = list_state(int(mine.id), LIST)
    assert (state.columns, state.default and state.default.name) == (("ip", "email"), "Failed")
    assert list_state(int(other.id), LIST).columns == ()
    assert list_state(int(mine.id), "core.switch").columns == ()
    for wrong in (["ip", "ip"], ["ip,email"], ["ip;"], [""], ["x" * 1001]):
        choose = lambda wrong=wrong: views.columns_choose(list_name=LIST, columns=wrong, actor=mine)  # noqa: E731
        assert code_of(choose) == "validation_error", wrong
    assert list_state(int(mine.id), LIST).columns == ("ip", "email")
    views.columns_choose(list_name=LIST, columns=[], actor=mine)
    assert list_state(int(mine.id), LIST).columns == ()


def test_it_is_one_query_with_all_of_it(operator: Operator, django_assert_num_queries: object) -> None:
    mine = operator("Senior")
    view = save(mine)
    views.default_choose(list_name=LIST, view_id=view.public_id, actor=mine)
    with django_assert_num_queries(1):  # type: ignore[operator]
        state = list_state(int(mine.id), LIST, with_roles=True)
    assert [name for _pk, name in state.roles] == sorted(Group.objects.values_list("name", flat=True))
    assert list_state(int(mine.id), LIST).roles == ()


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ("update core_savedview set name = ''", "view_has_a_name"),
        ("update core_savedview set name = 'First'", "view_named_once"),
        ("update core_savedview set query = 'q=<b>'", "view_is_a_plain_query"),
        ("update core_savedview set query = repeat('q', 2001)", "too long"),
        ("update core_listchoice set columns = 'ip,'", "list_columns_are_names"),
        ("update core_listchoice set columns = 'ip; drop'", "list_columns_are_names"),
        (
            "insert into core_listchoice (owner_id, list_name, columns) select owner_id, list_name, '' "
            "from core_listchoice",
            "list_choice_once",
        ),
    ],
)
def test_the_database_holds_the_same(operator: Operator, change: str, law: str) -> None:
    mine = operator("Auditor")
    save(mine, "First")
    save(mine, "Second")
    views.columns_choose(list_name=LIST, columns=["ip"], actor=mine)
    with pytest.raises(DatabaseError, match=law), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_its_owner_saves_over_a_view_with_before_and_after(operator: Operator) -> None:
    mine, other = operator("Auditor"), operator("Auditor")
    view = save(mine)
    seen = mark_of(view.query)
    replace = partial(views.view_replace, list_name=LIST)
    other_list = partial(replace, list_name="core.auditentry", view_id=view.public_id, seen=seen)
    assert code_of(lambda: other_list(query="q=x", actor=mine)) == "not_found"
    assert (
        code_of(lambda: replace(view_id=view.public_id, query="q=x", seen=seen, actor=other)) == "not_found"
    )
    bad = "q=<x>"
    assert (
        code_of(lambda: replace(view_id=view.public_id, query=bad, seen=seen, actor=mine))
        == "validation_error"
    )
    replace(view_id=view.public_id, query="q=x", seen=seen, actor=mine)
    view.refresh_from_db()
    assert (view.name, view.query) == ("Failed", "q=x")
    entry = AuditEntry.objects.get(verb="view_replace")
    assert (entry.before, entry.after) == ({"query": "succeeded__exact=0"}, {"query": "q=x"})
    # What was seen is not what stands now.
    assert (
        code_of(lambda: replace(view_id=view.public_id, query="q=y", seen=seen, actor=mine))
        == "changed_meanwhile"
    )
    replace(view_id=view.public_id, query="q=x", seen=mark_of("q=x"), actor=mine)
    assert AuditEntry.objects.filter(verb="view_replace").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_windows_that_save_over_one_view_one_is_told(operator: Operator) -> None:
    mine = operator("Auditor")
    view = save(mine)
    seen = mark_of(view.query)
    results = together(
        4,
        lambda number: code_of(
            lambda: views.view_replace(
                list_name=LIST, view_id=view.public_id, query=f"q=x{number}", seen=seen, actor=mine
            )
        ),
    )
    assert sorted(results) == ["changed_meanwhile"] * 3 + ["ok"]
    view.refresh_from_db()
    assert view.query == f"q=x{results.index('ok')}"
    assert AuditEntry.objects.filter(verb="view_replace").count() == 1

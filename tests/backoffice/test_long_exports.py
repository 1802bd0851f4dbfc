"""A long list as a file: written in turns, by the rights of the moment, whole or not at all, for its asker alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from backoffice import exports as short
from kauri.account.limits import limits_set
from kauri.account.models import CustomerGroup, SignIn, User
from kauri.common import clock
from kauri.common.admin import list_url, page_url
from kauri.core.models import AuditEntry
from kauri.report import exports, sheets
from kauri.report.models import ListExport
from kauri.report.sheets import Draft
from tests.backoffice import scene
from tests.backoffice.test_exports import FORMULA, read, url
from tests.moves import Killed, code_of, forget_queue, queued, six_digits

AtDesk = Callable[..., Client]
Drain = Callable[..., int]
ROWS = 1_203
GROUP = "few"


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chunk a turn, and no list is short."""
    monkeypatch.setattr(exports, "TURN", 0)
    monkeypatch.setattr(short, "DIRECT_ROWS", 10)


@pytest.fixture
def many(house: None) -> User:
    """Sign-ins of one customer; the oldest has a device that a spreadsheet would run."""
    return make(ROWS)


def make(count: int) -> User:
    user = scene.customer("n@example.com", group=CustomerGroup.objects.create(code=GROUP, title="Few"))
    SignIn.objects.all().delete()
    first = clock.now().replace(microsecond=0) - timedelta(days=1)
    SignIn.objects.bulk_create(
        SignIn(
            user=user,
            email=f"n{number}@example.com",
            door=SignIn.Door.API,
            succeeded=number % 2 == 0,
            ip="198.51.100.7",
            user_agent=FORMULA if number == 0 else "Firefox",
            at=first + timedelta(seconds=number),
        )
        for number in range(count)
    )
    return user


@pytest.fixture
def finance(at_desk: AtDesk) -> Client:
    return at_desk("Finance")


def ask(client: Client, query: str = "?o=0", file_format: str = "csv") -> ListExport:
    answer = client.post(url(file_format) + query)
    export = ListExport.objects.latest("pk")
    assert (answer.status_code, answer.url) == (302, page_url(export))
    return export


def turn(export: ListExport) -> ListExport:
    """What a worker does with the newest task of this export."""
    [*_older, (pk, rows_read)] = queued("export_write")
    assert pk == export.pk
    exports.export_write(pk, rows_read)
    export.refresh_from_db()
    return export


def standing(export: ListExport) -> tuple[str, int | None, int, int]:
    export.refresh_from_db()
    return (export.state, export.rows_total, export.rows_read, export.rows_done)


def files() -> list[str]:
    return sorted(path.name for path in exports.folder().iterdir()) if exports.folder().is_dir() else []


def take(client: Client, export: ListExport) -> Any:
    return client.get(reverse("admin:report_listexport_file", args=(export.public_id,)))


def data_of(client: Client, export: ListExport) -> bytes:
    answer = take(client, export)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def cells_of(client: Client, export: ListExport) -> list[list[str]]:
    data = data_of(client, export)
    if export.format == "csv":
        return read(data)
    sheet = load_workbook(io.BytesIO(data)).worksheets[0]
    return [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]


def numbers(rows: list[list[str]]) -> list[str]:
    return [row[1] for row in rows[1:]]


def shown(client: Client, export: ListExport) -> str:
    return client.get(page_url(export), follow=True).content.decode()


@pytest.mark.usefixtures("many")
def test_turn_by_turn_to_a_whole_file(finance: Client) -> None:
    export = ask(finance)
    assert standing(export) == ("waiting", None, 0, 0)
    steps = []
    while export.state != "ready":
        assert take(finance, export).status_code == 302
        turn(export)
        steps.append((export.state, export.rows_total, export.rows_read, export.percent))
    assert steps == [("running", ROWS, 500, 41), ("running", ROWS, 1000, 83), ("ready", ROWS, ROWS, 100)]
    assert (export.file_name in files(), len(files())) == (True, 1)
    rows = read(data_of(finance, export))
    assert rows[0] == ["When", "E-mail given", "Door", "Result", "Address", "Device"]
    assert numbers(rows) == [f"n{number}@example.com" for number in range(ROWS)]
    # What a spreadsheet would run has its apostrophe in long files too.
    assert rows[1][-1] == f"'{FORMULA}"
    path = exports.folder() / export.file_name
    assert (path.stat().st_size, oct(path.stat().st_mode)[-3:]) == (export.file_size, "600")
    taken = AuditEntry.objects.get(verb="list_export")
    assert (taken.object_type, taken.after["rows"], taken.after["sha256"]) == (
        "account.signin",
        ROWS,
        export.file_sha256,
    )
    assert taken.actor_id == str(export.requested_by_id)


@pytest.mark.usefixtures("many")
def test_as_excel_with_the_columns_and_rows_that_were_seen(finance: Client, drain: Drain) -> None:
    export = ask(finance, "?succeeded__exact=1&_cols=user_agent,email&o=1", "xlsx")
    drain()
    assert standing(export) == ("ready", 602, 602, 602)
    sheet = load_workbook(io.BytesIO(data_of(finance, export))).worksheets[0]
    rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    assert rows[0] == ["Device", "E-mail given"]
    assert sorted(row[1] for row in rows[1:]) == sorted(
        f"n{number}@example.com" for number in range(0, ROWS, 2)
    )
    assert {row[0] for row in rows[1:]} == {"Firefox", f"'{FORMULA}"}
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "inlineStr"}
    assert (sheet.freeze_panes, sheet["A1"].font.b, sheet["A2"].font.b) == ("A2", True, False)


def dying(*_args: object, **_more: object) -> None:
    raise Killed


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
@pytest.mark.usefixtures("many")
def test_a_killed_worker_leaves_no_half_and_no_doubled_row(
    finance: Client, drain: Drain, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after rows are on disk and before anybody is told."""
    export = ask(finance, "?o=0", file_format)
    turn(export)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "_note", dying)
        with pytest.raises(Killed):
            turn(export)
    assert standing(export) == ("running", ROWS, 500, 500)
    assert take(finance, export).status_code == 302
    # While its lease runs, nobody else goes on; then the sweep finds it.
    assert exports.exports_sweep() == 0
    turn(export)
    assert standing(export) == ("running", ROWS, 500, 500)
    with clock.standing_at(clock.now() + exports.LEASE + timedelta(seconds=1)):
        assert exports.exports_sweep() == 1
        drain()
    assert standing(export) == ("ready", ROWS, ROWS, ROWS)
    assert (export.restarts, len(files())) == (1, 1)
    assert numbers(cells_of(finance, export)) == [f"n{number}@example.com" for number in range(ROWS)]


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
@pytest.mark.parametrize("where", ["the name is given", "the word is written"])
@pytest.mark.usefixtures("many")
def test_killed_at_the_end(
    finance: Client, drain: Drain, file_format: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies with the end of the file written, before or after the file has its name."""
    export = ask(finance, "?o=0", file_format)
    turn(export)
    turn(export)
    with monkeypatch.context() as patch:
        place = (sheets.os, "replace") if where == "the name is given" else (exports, "_digest")
        patch.setattr(*place, dying)
        with pytest.raises(Killed):
            turn(export)
    assert standing(export) == ("running", ROWS, ROWS, ROWS)
    assert take(finance, export).status_code == 302
    with clock.standing_at(clock.now() + exports.LEASE + timedelta(seconds=1)):
        assert exports.exports_sweep() == 1
        drain()
    assert standing(export) == ("ready", ROWS, ROWS, ROWS)
    assert numbers(cells_of(finance, export)) == [f"n{number}@example.com" for number in range(ROWS)]


@pytest.mark.usefixtures("many")
def test_three_deaths_are_enough(finance: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ask(finance)
    monkeypatch.setattr(Draft, "find", lambda *_args: (_ for _ in ()).throw(Killed()))
    for number in range(3):
        with (
            clock.standing_at(clock.now() + number * (exports.LEASE + timedelta(seconds=1))),
            pytest.raises(Killed),
        ):
            turn(export)
    with clock.standing_at(clock.now() + 4 * exports.LEASE):
        turn(export)
    assert (export.state, export.error_code) == ("failed", "internal_error")
    assert files() == []
    assert "Something went wrong on our side." in shown(finance, export)


@pytest.mark.usefixtures("many")
def test_a_task_that_comes_twice_does_its_work_once(finance: Client, drain: Drain) -> None:
    export = ask(finance)
    exports.export_write(export.pk, 500)
    assert standing(export) == ("waiting", None, 0, 0)
    drain(times=2)
    assert standing(export) == ("ready", ROWS, ROWS, ROWS)
    assert len(read(data_of(finance, export))) == ROWS + 1
    exports.export_write(export.pk, ROWS)
    assert export.state == "ready"


@pytest.mark.usefixtures("many")
def test_a_second_process_waits_until_the_first_is_gone(finance: Client) -> None:
    export = ask(finance)
    with Draft(exports.folder(), str(export.public_id)).alone() as is_alone:
        assert is_alone
        turn(export)
        assert standing(export) == ("running", None, 0, 0)
        assert not [name for name in files() if name.endswith(".part")]


@pytest.mark.usefixtures("many")
def test_a_lost_task_and_lost_files_are_made_good(finance: Client, drain: Drain) -> None:
    export = ask(finance)
    turn(export)
    forget_queue()
    for name in files():
        (exports.folder() / name).unlink()
    assert exports.exports_sweep() == 0
    with clock.standing_at(clock.now() + exports.PATIENCE + timedelta(seconds=1)):
        assert exports.exports_sweep() == 1
        assert exports.exports_sweep() == 0
    assert queued("export_write") == [(export.pk, 500)]
    drain()
    assert standing(export) == ("ready", ROWS, ROWS, ROWS)
    assert numbers(read(data_of(finance, export))) == [f"n{number}@example.com" for number in range(ROWS)]


def _no_right(user: User) -> None:
    Group.objects.get(name="Finance").permissions.remove(
        *Group.objects.get(name="Finance").permissions.filter(codename="export_list")
    )


def _no_list(user: User) -> None:
    user.groups.get().permissions.remove(*user.groups.get().permissions.filter(codename="view_signin"))


def _gone(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _limited(user: User) -> None:
    maker = scene.operator("Administrator").user
    limits_set(
        operator_id=user.pk,
        limits={"groups": [CustomerGroup.objects.get(code="default").pk]},
        reason="a part",
        code=six_digits(maker),
        actor=maker.as_actor(),
    )


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("happens", "code"),
    [(_no_right, "forbidden"), (_no_list, "forbidden"), (_gone, "forbidden"), (_limited, "scope_changed")],
)
def test_rights_that_are_lost_meanwhile_end_it(
    finance: Client, happens: Callable[[User], None], code: str
) -> None:
    export = ask(finance)
    turn(export)
    happens(finance.person.user)  # type: ignore[attr-defined]
    turn(export)
    assert standing(export) == ("failed", ROWS, 500, 500)
    assert (export.error_code, export.file_name, files()) == (code, "", [])
    # Nothing more is queued than was.
    assert queued("export_write") == [(export.pk, 0), (export.pk, 500)]


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("happens", "status"),
    [(_no_right, 302), (_no_list, 302), (_limited, 404)],
    ids=["right", "list", "scope"],
)
def test_rights_that_are_lost_afterwards_keep_the_file_shut(
    finance: Client, drain: Drain, happens: Callable[[User], None], status: int
) -> None:
    export = ask(finance)
    drain()
    user = finance.person.user  # type: ignore[attr-defined]
    happens(user)
    assert take(finance, export).status_code == status
    assert code_of(
        lambda: exports.export_open(export_id=export.public_id, user=User.objects.get(pk=user.pk), ip="")
    ) in (
        "forbidden",
        "not_found",
    )
    assert not AuditEntry.objects.filter(verb="list_export").exists()


def test_a_limited_operators_file_has_what_they_see(many: User, at_desk: AtDesk, drain: Drain) -> None:
    other = scene.customer("other@example.com")
    SignIn.objects.filter(email__in=["n3@example.com", "n5@example.com"]).update(user=other)
    person, maker = scene.operator("Finance"), scene.operator("Administrator").user
    limits_set(
        operator_id=person.user.pk,
        limits={"groups": [CustomerGroup.objects.get(code=GROUP).pk]},
        reason="a part",
        code=six_digits(maker),
        actor=maker.as_actor(),
    )
    person.user = User.objects.get(pk=person.user.pk)
    client = at_desk(person=person)
    export = ask(client)
    assert export.scope == person.user.scope.key != ""
    drain()
    found = numbers(read(data_of(client, export)))
    assert len(found) == ROWS - 2
    assert not {"n3@example.com", "n5@example.com", "other@example.com"} & set(found)


@pytest.mark.usefixtures("many")
def test_what_left_the_list_meanwhile_is_not_told(finance: Client, drain: Drain) -> None:
    export = ask(finance, "?succeeded__exact=1&o=0")
    turn(export)
    SignIn.objects.filter(email__in=["n1000@example.com", "n1002@example.com"]).update(succeeded=False)
    SignIn.objects.filter(email="n1004@example.com").delete()
    drain()
    assert standing(export) == ("ready", 602, 602, 599)
    found = numbers(read(data_of(finance, export)))
    assert len(found) == 599
    assert not {"n1000@example.com", "n1002@example.com", "n1004@example.com"} & set(found)


@pytest.mark.usefixtures("many")
def test_somebody_elses_export_is_not_there(finance: Client, at_desk: AtDesk, drain: Drain) -> None:
    export = ask(finance)
    for other in (at_desk("Finance"), at_desk("Auditor"), at_desk("Senior")):
        assert take(other, export).status_code == 404
        assert export.public_id.hex not in other.get(list_url(ListExport)).content.decode().replace("-", "")
        assert other.get(page_url(export)).status_code == 302
        stop = reverse("admin:report_listexport_stop", args=(export.public_id,))
        assert other.post(stop, {"_form_submitted": "True"}).status_code in (302, 403, 404)
    drain()
    assert export.requested_by == finance.person.user  # type: ignore[attr-defined]
    assert standing(export)[0] == "ready"
    assert take(at_desk("Finance"), export).status_code == 404
    assert take(at_desk("Support"), export).status_code == 302
    assert not AuditEntry.objects.filter(verb="list_export").exists()
    assert AuditEntry.objects.get(verb="list_export_ask").actor_id == str(export.requested_by_id)


@pytest.mark.usefixtures("many")
def test_cancelled(finance: Client, at_desk: AtDesk) -> None:
    export = ask(finance)
    # Another operator's is theirs, and waits for nobody.
    assert exports.place_of(turn(ask(at_desk("Finance")))) == 0
    exports.export_write(export.pk, 0)
    stop = reverse("admin:report_listexport_stop", args=(export.public_id,))
    assert finance.post(stop, {"_form_submitted": "True"}).status_code == 302
    assert standing(export) == ("cancelled", ROWS, 500, 500)
    assert AuditEntry.objects.get(verb="list_export_cancel").object_id == str(export.public_id)
    exports.export_write(export.pk, 500)
    assert standing(export) == ("cancelled", ROWS, 500, 500)
    assert code_of(lambda: _cancel(export)) == "wrong_state"
    assert take(finance, export).status_code == 302
    assert ask(finance).pk != export.pk


@pytest.mark.usefixtures("many")
def test_the_second_waits_and_is_started_by_the_end_of_the_first(finance: Client, drain: Drain) -> None:
    first, second, third = (ask(finance) for _number in range(3))
    assert queued("export_write") == [(first.pk, 0)]
    assert [exports.place_of(row) for row in (first, second, third)] == [0, 1, 2]
    assert "3: 2 exports of yours are before it" in shown(finance, third)
    assert (
        "exports of yours are before it: this one waits" in finance.post(url(), follow=True).content.decode()
    )
    # Not before its turn, whoever sends a worker.
    exports.export_write(third.pk, 0)
    exports.export_write(second.pk, 0)
    assert standing(second) == standing(third) == ("waiting", None, 0, 0)
    while turn(first).state == "running":
        exports.export_write(second.pk, 0)
        assert standing(second)[0] == "waiting"
    assert first.state == "ready"
    assert queued("export_write")[-1] == (second.pk, 0)
    assert turn(second).state == "running"
    drain()
    assert [standing(row)[0] for row in (first, second, third)] == ["ready"] * 3
    assert second.finished_at is not None
    assert third.finished_at is not None
    assert second.finished_at < third.finished_at


@pytest.mark.usefixtures("many")
def test_beyond_the_cap_it_is_refused(finance: Client) -> None:
    for _number in range(exports.AT_MOST):
        ask(finance)
    answer = finance.post(url(), follow=True)
    assert "Too many exports of yours wait" in answer.content.decode()
    assert ListExport.objects.count() == exports.AT_MOST
    _cancel(ListExport.objects.latest("pk"))
    ask(finance)


@pytest.mark.usefixtures("many")
def test_cancelled_in_the_queue(finance: Client, drain: Drain) -> None:
    first, second, third = (ask(finance) for _number in range(3))
    _cancel(second)
    assert [exports.place_of(row) for row in (first, third)] == [0, 1]
    assert queued("export_write") == [(first.pk, 0)]
    turn(first)
    _cancel(first)
    assert queued("export_write")[-1] == (third.pk, 0)
    drain()
    assert [standing(row)[0] for row in (first, second, third)] == ["cancelled", "cancelled", "ready"]


@pytest.mark.usefixtures("many")
def test_a_worker_that_dies_keeps_nobody_waiting_for_ever(
    finance: Client, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ask(finance), ask(finance)
    with monkeypatch.context() as broken:
        broken.setattr(Draft, "find", lambda *_args: (_ for _ in ()).throw(Killed()))
        moment = clock.now()
        for _death in range(3):
            with clock.standing_at(moment), pytest.raises(Killed):
                exports.export_write(first.pk, 0)
            moment += exports.LEASE + timedelta(seconds=1)
            with clock.standing_at(moment):
                # The queue behind it is not swept in its place.
                assert exports.exports_sweep() == 1
                assert queued("export_write")[-1] == (first.pk, 0)
        with clock.standing_at(moment):
            exports.export_write(first.pk, 0)
    assert standing(first)[0] == "failed"
    assert queued("export_write")[-1] == (second.pk, 0)
    # The task that was to go on is lost too: the sweep finds that it is this one's turn.
    forget_queue()
    with clock.standing_at(moment + exports.PATIENCE):
        assert exports.exports_sweep() == 1
    assert queued("export_write") == [(second.pk, 0)]
    drain()
    assert standing(second)[0] == "ready"


def _cancel(export: ListExport) -> None:
    exports.export_cancel(export_id=export.public_id, actor=export.requested_by.as_actor())


@pytest.mark.usefixtures("many")
def test_cancelled_in_the_middle_of_a_turn(finance: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ask(finance)
    put = Draft.put

    def cancelling(self: Draft, start: int, data: bytes) -> int:
        if start:
            _cancel(export)
        return put(self, start, data)

    monkeypatch.setattr(Draft, "put", cancelling)
    turn(export)
    assert standing(export) == ("cancelled", ROWS, 0, 0)
    assert files() == []


@pytest.mark.usefixtures("many")
def test_too_many_rows_are_refused_with_nothing_left(
    finance: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_EXPORT_ROWS", ROWS - 1)
    export = turn(ask(finance))
    assert (export.state, export.error_code, files()) == ("failed", "too_many_rows", [])
    monkeypatch.setattr(exports, "MAX_EXPORT_ROWS", ROWS)
    assert turn(ask(finance)).state == "running"


def test_no_file_is_longer_than_a_sheet() -> None:
    assert exports.MAX_EXPORT_ROWS == 1_000_000 <= 1_048_576 - 1


@pytest.mark.usefixtures("many")
def test_asking_counts_no_more_than_is_needed(finance: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(40) as captured:
        ask(finance)
    counts = [row["sql"] for row in captured if "COUNT(" in row["sql"] and "account_signin" in row["sql"]]
    assert len(counts) == 1
    assert "LIMIT 11" in counts[0]


@pytest.mark.usefixtures("many")
def test_kept_for_a_week_and_then_removed(finance: Client, drain: Drain) -> None:
    export = ask(finance)
    drain()
    export.refresh_from_db()
    assert export.expires_at - export.finished_at == timedelta(days=7)
    with clock.standing_at(export.expires_at - timedelta(seconds=1)):
        exports.exports_sweep()
        assert len(read(data_of(finance, export))) == ROWS + 1
    with clock.standing_at(export.expires_at + timedelta(seconds=1)):
        exports.exports_sweep()
    assert standing(export)[0] == "expired"
    assert (export.file_name, files(), len(export.file_sha256)) == ("", [], 64)
    assert take(finance, export).status_code == 302


@pytest.mark.usefixtures("many")
def test_what_belongs_to_nothing_is_removed(finance: Client, drain: Drain) -> None:
    done = ask(finance)
    drain()
    busy = turn(ask(finance))
    done.refresh_from_db()
    for name in ("signin-20260101T000000Z-00000000.csv", ".0190.part", ".0190.keys"):
        (exports.folder() / name).write_bytes(b"lost")
    before = files()
    exports.exports_sweep()
    assert files() == before
    with clock.standing_at(clock.now() + timedelta(hours=2)):
        exports.exports_sweep()
    assert done.file_name in files()
    assert {name for name in files() if name != done.file_name} == {
        f".{busy.public_id}.{kind}" for kind in ("keys", "part", "lock")
    }


@pytest.mark.parametrize("change", ["edited", "removed"])
@pytest.mark.usefixtures("many")
def test_a_file_that_is_not_the_one_that_was_made(finance: Client, drain: Drain, change: str) -> None:
    export = ask(finance)
    drain()
    export.refresh_from_db()
    path: Path = exports.folder() / export.file_name
    if change == "edited":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    assert take(finance, export).status_code == 302
    assert not AuditEntry.objects.filter(verb="list_export").exists()


@pytest.mark.usefixtures("many")
def test_the_page_shows_how_far_it_is(finance: Client, drain: Drain) -> None:
    export = ask(finance)
    assert 'value="0"' in shown(finance, export)
    turn(export)
    page = shown(finance, export)
    assert 'data-busy max="100" value="41"' in page
    assert "Cancel the export" in page
    drain()
    page = shown(finance, export)
    assert "data-busy" not in page
    assert "Cancel the export" not in page
    assert reverse("admin:report_listexport_file", args=(export.public_id,)) in page
    assert page.count(f"{list_url(SignIn)}?") >= 1


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("change", "law"),
    [
        ("set file_name = 'half.csv'", "export_file_is_whole"),
        ("set state = 'ready', finished_at = now(), file_name = 'half.csv'", "export_file_is_whole"),
        (
            "set state = 'ready', finished_at = now(), expires_at = now(), file_name = 'half.csv', "
            "file_sha256 = repeat('0', 64)",
            "export_file_is_whole",
        ),
        (
            "set state = 'ready', finished_at = now(), expires_at = now(), file_name = 'half.csv', "
            "file_sha256 = repeat('0', 64), rows_total = null, rows_read = 0, rows_done = 0",
            "export_file_is_whole",
        ),
        ("set rows_done = rows_read + 1", "export_rows_in_bounds"),
        ("set rows_read = rows_total + 1", "export_rows_in_bounds"),
        ("set rows_total = null", "export_rows_in_bounds"),
        ("set rows_total = 1000001", "export_rows_in_bounds"),
        ("set state = 'failed', finished_at = now()", "export_fails_with_a_code"),
        ("set error_code = 'forbidden'", "export_fails_with_a_code"),
        ("set state = 'cancelled'", "export_ends_at_a_moment"),
    ],
)
def test_the_database_holds_the_same(finance: Client, change: str, law: str) -> None:
    turn(ask(finance))
    with pytest.raises(DatabaseError, match=law), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"update report_listexport {change}")


@pytest.mark.usefixtures("many")
def test_one_at_a_time_is_a_law_and_no_row_is_deleted(finance: Client) -> None:
    export = turn(ask(finance))
    other = ListExport.objects.create(
        requested_by=export.requested_by, list_name="account.signin", format="csv"
    )
    with pytest.raises(DatabaseError, match="export_one_at_a_time"), transaction.atomic():
        ListExport.objects.filter(pk=other.pk).update(state="running")
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        ListExport.objects.all()._raw_delete(using="default")
    assert ListExport.objects.count() == 2


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_twenty_five_thousand_rows(
    finance: Client, drain: Drain, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With turns as long as they are; every row once, in its order, none invented."""
    make(25_000)
    monkeypatch.setattr(exports, "TURN", 10)
    monkeypatch.setattr(short, "DIRECT_ROWS", 2_000)
    export = ask(finance, "?o=2&_cols=email,user_agent,seen", file_format)
    drain()
    assert standing(export) == ("ready", 25_000, 25_000, 25_000)
    data = data_of(finance, export)
    if file_format == "csv":
        found = [row[0] for row in read(data)[1:]]
    else:
        sheet = load_workbook(io.BytesIO(data), read_only=True).worksheets[0]
        found = [str(row[0]) for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert found == [f"n{number}@example.com" for number in range(25_000)]

"""A short list as a file: what is filtered and shown, by those who may, on record, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from backoffice import exports
from backoffice.cells import text_of
from kauri.account.models import SignIn
from kauri.common import clock
from kauri.common.admin import copyable, list_url, money, page_url, when
from kauri.common.formulas import harmless
from kauri.core.models import AuditEntry, Currency
from kauri.report.models import ListExport
from tests.backoffice import scene
from tests.moves import queued

AtDesk = Callable[..., Client]
ROWS = 1_500
FORMULA = '=HYPERLINK("http://evil.example","x")'


def url(file_format: str = "csv", model: str = "signin", app: str = "account") -> str:
    return reverse("admin:export", args=(app, model, file_format))


def body(client: Client, path: str) -> bytes:
    answer = client.post(path)
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith('attachment; filename="signin-')
    return b"".join(answer.streaming_content)


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.fixture
def many(house: None) -> datetime:
    first = clock.now().replace(microsecond=0) - timedelta(days=1)
    SignIn.objects.bulk_create(
        SignIn(
            email=f"n{number}@example.com",
            door=SignIn.Door.API,
            succeeded=number % 2 == 0,
            ip="198.51.100.7",
            user_agent=FORMULA if number == 0 else "Firefox",
            at=first + timedelta(seconds=number),
        )
        for number in range(ROWS)
    )
    return first


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_rows_as_they_are_shown(many: datetime, at_desk: AtDesk, file_format: str) -> None:
    client = at_desk("Auditor")
    data = body(client, url(file_format))
    if file_format == "csv":
        rows = read(data)
    else:
        sheet = load_workbook(io.BytesIO(data)).worksheets[0]
        rows = [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n", "inlineStr"}
    assert rows[0] == ["When", "E-mail given", "Door", "Result", "Address", "Device"]
    assert len(rows) == ROWS + 1
    last = many + timedelta(seconds=ROWS - 1)
    assert rows[1][:3] == [clock.iso(last), f"n{ROWS - 1}@example.com", "API"]
    assert rows[-1][-1] == f"'{FORMULA}"
    entry = AuditEntry.objects.get(verb="list_export")
    assert (entry.object_type, entry.after["rows"], entry.after["format"]) == (
        "account.signin",
        ROWS,
        file_format,
    )
    assert entry.actor_id == str(client.person.user.pk)


def test_only_what_is_filtered(many: datetime, at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    rows = read(body(client, url() + "?q=n7@example.com"))
    assert [row[1] for row in rows[1:]] == ["n7@example.com"]
    assert len(read(body(client, url() + "?succeeded__exact=1"))) == ROWS // 2 + 1
    kept = (
        AuditEntry.objects.filter(verb="list_export").order_by("pk").values_list("after__filter", flat=True)
    )
    assert list(kept) == ["q=n7%40example.com", "succeeded__exact=1"]


def test_a_list_too_long_to_wait_for_is_a_workers(
    many: datetime, at_desk: AtDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "DIRECT_ROWS", ROWS - 1)
    client = at_desk("Auditor")
    answer = client.post(url() + "?o=2")
    export = ListExport.objects.get()
    assert answer.url == page_url(export)
    assert (export.state, export.rows_total, export.requested_by) == ("waiting", None, client.person.user)
    assert export.query == "o=2&_cols=seen%2Cemail%2Cdoor%2Cresult%2Cip%2Cuser_agent"
    assert queued("export_write") == [(export.pk, 0)]
    verbs = list(AuditEntry.objects.filter(verb__startswith="list_export").values_list("verb", flat=True))
    assert verbs == ["list_export_ask"]


def test_looking_exports_nothing(many: datetime, at_desk: AtDesk) -> None:
    """A link in a letter is a GET: it makes no file and no row."""
    assert at_desk("Auditor").get(url()).status_code == 405
    assert not AuditEntry.objects.filter(verb="list_export").exists()
    assert not ListExport.objects.exists()


def test_a_query_that_the_list_does_not_know(many: datetime, at_desk: AtDesk) -> None:
    for query in ("?nonsense=1", "?user__password__startswith=p", "?at_from_0=never"):
        answer = at_desk("Auditor").post(url() + query)
        assert answer.url == list_url(SignIn), query
    assert not AuditEntry.objects.filter(verb__startswith="list_export").exists()


@pytest.mark.parametrize(
    ("role", "app", "model", "status"),
    [
        ("Support", "account", "signin", 403),
        ("Finance", "callbacks", "inboundcallback", 403),
        ("Auditor", "account", "nothing", 404),
    ],
)
def test_who_may_not(at_desk: AtDesk, role: str, app: str, model: str, status: int) -> None:
    assert at_desk(role).post(url(model=model, app=app)).status_code == status
    assert not AuditEntry.objects.filter(verb="list_export").exists()


def test_the_links_are_for_those_who_may(at_desk: AtDesk) -> None:
    scene.customer("first@example.com")
    page = reverse("admin:account_signin_changelist")
    filtered = f"{url()}?door__exact=api"
    assert filtered in at_desk("Auditor").get(page + "?door__exact=api").content.decode()
    assert url() not in at_desk("Support").get(page).content.decode()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+380 cmd", "'+380 cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", "'\t=1"),
        ("-2+3", "'-2+3"),
        ("-12.50 USDT", "-12.50 USDT"),
        ("a=1", "a=1"),
    ],
)
def test_formulas(text: str, safe: str) -> None:
    assert harmless(text) == safe


def test_cells_are_whole(house: None) -> None:
    usdt, now = Currency.objects.get(code="USDT"), clock.now()
    amount = text_of(money(Decimal("-12500.5"), usdt))
    assert amount.partition(".")[0] == "-12500"
    assert amount.endswith(" USDT")
    assert text_of(when(now)) == clock.iso(now)
    assert text_of(copyable("0x" + "ab" * 20, "0xab…abab")) == "0x" + "ab" * 20
    assert text_of(when(None)) == ""

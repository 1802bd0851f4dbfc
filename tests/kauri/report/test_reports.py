"""A report says what the ledger said at its moment, to the last digit, and is kept from other hands."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from kauri.account.models import User
from kauri.balance.models import Entry
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from kauri.report import renderers, services
from kauri.report.definition import Column, Content, Table
from kauri.report.models import ReportDownload, ReportRun
from tests.moves import Killed, code_of, give, queued

Drain = Callable[..., int]
NAME = "balances_and_obligations"


@pytest.fixture
def treasurer(operator: Callable[..., Actor]) -> Actor:
    return operator("Finance")


def person(actor: Actor) -> User:
    return User.objects.get(pk=int(actor.id))


def ask(
    actor: Actor, file_format: str = "pdf", as_of: datetime | None = None, language: str = "en"
) -> ReportRun:
    return services.report_request(
        definition=NAME,
        file_format=file_format,
        as_of=as_of or clock.now(),
        language=language,
        user=person(actor),
        actor=actor,
    )


def made(run: ReportRun, actor: Actor) -> bytes:
    services.report_make(run.pk)
    run.refresh_from_db()
    assert (run.state, run.error, run.progress) == ("ready", "", 100)
    return services.report_open(run_id=run.public_id, user=person(actor), ip="127.0.0.1").read_bytes()


def pdf_text(data: bytes) -> str:
    return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).replace("\u00a0", " ")


def cells(data: bytes) -> list[list[Any]]:
    book = load_workbook(io.BytesIO(data))
    return [
        [cell for cell in row if cell is not None]
        for sheet in book
        for row in sheet.iter_rows(values_only=True)
    ]


@pytest.fixture
def money(customer: Callable[..., User]) -> User:
    user = customer()
    give(user, "ETH", "12345678901234567.123456789012345678")
    give(user, "UAH", "1234567.50")
    return user


def test_a_pdf_has_every_digit(money: User, treasurer: Actor) -> None:
    run = ask(treasurer)
    text = pdf_text(made(run, treasurer))
    assert "12 345 678 901 234 567.123456789012345678" in text
    assert "1 234 567.50" in text
    assert f"{run.as_of:%Y-%m-%d %H:%M:%S} UTC" in text
    assert run.totals["obligations"]["ETH"] == "12345678901234567.123456789012345678"
    assert set(run.totals["proof"].values()) == {"0"}


def test_a_workbook_has_every_digit_as_text(money: User, treasurer: Actor) -> None:
    rows = cells(made(ask(treasurer, "xlsx"), treasurer))
    assert any("12345678901234567.123456789012345678" in row for row in rows)
    assert any("1234567.50" in row for row in rows)
    assert not any(isinstance(cell, float) for row in rows for cell in row)


def test_as_of_a_past_moment_with_later_postings(money: User, treasurer: Actor) -> None:
    last = Entry.objects.order_by("-created_at")[0].created_at
    give(money, "UAH", "0.51")
    now, then = ask(treasurer, "xlsx"), ask(treasurer, "xlsx", as_of=last)
    made(now, treasurer)
    made(then, treasurer)
    totals = [run.totals["obligations"]["UAH"] for run in (now, then)]
    assert totals == ["1234568.01", "1234567.5"]
    # What the books can't know is refused when it is asked for.
    runs = ReportRun.objects.count()
    assert code_of(lambda: ask(treasurer, as_of=last - timedelta(days=1))) == "moment_unknown"
    assert ReportRun.objects.count() == runs
    # Asked for again, the past is the same.
    again = ask(treasurer, "xlsx", as_of=last)
    made(again, treasurer)
    assert again.totals == then.totals


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
def test_languages(money: User, treasurer: Actor, language: str) -> None:
    text = pdf_text(made(ask(treasurer, language=language), treasurer))
    assert ("Balances and obligations" in text) == (language == "en")
    assert any("а" <= char <= "я" for char in text.lower()) == (language != "en")


def test_who_may_ask_and_take(money: User, treasurer: Actor, operator: Callable[..., Actor]) -> None:
    run = ask(treasurer)
    services.report_make(run.pk)
    run.refresh_from_db()
    strangers = [operator("Support"), operator("Treasury"), money.as_actor()]
    for who in strangers:
        assert code_of(lambda who=who: ask(who)) == "forbidden"
        take = code_of(lambda who=who: services.report_open(run_id=run.public_id, user=person(who), ip=""))
        assert take == "forbidden"
    assert ReportRun.objects.count() == 1
    assert ReportDownload.objects.count() == 0
    assert AuditEntry.objects.filter(verb="report_download").count() == 0


def test_each_download_is_recorded(treasurer: Actor) -> None:
    run = ask(treasurer, "xlsx")
    made(run, treasurer)
    services.report_open(run_id=run.public_id, user=person(treasurer), ip="198.51.100.7")
    assert [row.ip for row in ReportDownload.objects.order_by("id")] == ["127.0.0.1", "198.51.100.7"]
    entries = AuditEntry.objects.filter(verb="report_download")
    assert {(entry.actor_id, entry.object_id) for entry in entries} == {(treasurer.id, str(run.public_id))}
    assert AuditEntry.objects.get(verb="report_request").after["format"] == "xlsx"


def test_what_is_no_report(treasurer: Actor) -> None:
    def wrong(**fields: Any) -> str:
        values = {
            "definition": NAME,
            "file_format": "pdf",
            "as_of": clock.now(),
            "language": "en",
            "user": person(treasurer),
            "actor": treasurer,
        }
        return code_of(lambda: services.report_request(**{**values, **fields}))  # type: ignore[arg-type]

    for fields in (
        {"definition": "../secrets"},
        {"file_format": "exe"},
        {"as_of": clock.now() + timedelta(minutes=1)},
        {"as_of": datetime(2026, 1, 1)},  # noqa: DTZ001 - the point
    ):
        assert wrong(**fields) == "validation_error"
    assert ReportRun.objects.count() == 0
    missing = code_of(lambda: services.report_open(run_id=uuid.uuid4(), user=person(treasurer), ip=""))
    assert missing == "not_found"
    early = ask(treasurer)
    assert (
        code_of(lambda: services.report_open(run_id=early.public_id, user=person(treasurer), ip=""))
        == "wrong_state"
    )


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_tampered_file_is_refused(treasurer: Actor, settings: Any, change: str) -> None:
    run = ask(treasurer, "xlsx")
    made(run, treasurer)
    path = Path(settings.FILES_DIR) / run.file_name
    assert oct(path.stat().st_mode)[-3:] == "600"
    if change == "edited":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    taken = code_of(lambda: services.report_open(run_id=run.public_id, user=person(treasurer), ip=""))
    assert taken == "internal_error"
    assert ReportDownload.objects.count() == 1


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(renderers, "to_xlsx", lambda _: (_ for _ in ()).throw(error))
        yield


def test_a_killed_maker_is_followed_by_another(treasurer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ask(treasurer, "xlsx")
    with broken(monkeypatch, Killed()), pytest.raises(Killed):
        services.report_make(run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("running", 1)
    services.report_make(run.pk)
    run.refresh_from_db()
    assert run.attempts == 1
    with clock.standing_at(clock.now() + services.LEASE + timedelta(seconds=1)):
        services.reports_sweep()
        assert queued("report_make")[-1] == (run.pk,)
        made(run, treasurer)
    assert run.attempts == 2


def test_three_failures_are_enough(treasurer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ask(treasurer, "xlsx")
    moment = clock.now() + timedelta(seconds=11)
    with broken(monkeypatch, ValueError("no")):
        for _ in range(3):
            with clock.standing_at(moment), pytest.raises(ValueError, match="no"):
                services.report_make(run.pk)
            moment += services.LEASE + timedelta(seconds=1)
    with clock.standing_at(moment):
        services.reports_sweep()
        services.report_make(run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.error) == ("failed", 3, "the worker failed three times")


def content(cell: str, rows: int = 1) -> Content:
    return Content(
        title="T",
        as_of=clock.now(),
        tables=(
            Table(
                title="t",
                columns=(Column("A"), Column("B", is_amount=True)),
                rows=[(cell, Decimal("1.10"))] * rows,
            ),
        ),
        totals={},
    )


def test_the_template_reads_no_network_and_no_file(tmp_path: Path) -> None:
    """A customer's name may be anything; it stays text."""
    secret = tmp_path / "secret.txt"
    secret.write_text("hot key")
    for url in (f"file://{secret}", "http://127.0.0.1:9/x", "file:///etc/passwd", "static/../manage.py"):
        with pytest.raises(ValueError, match="only the report's own font"):
            renderers._only_ours()(url)
    cell = f'<img src="file://{secret}"><link rel="attachment" href="file://{secret}">'
    data = renderers.to_pdf(content(cell))
    assert "<img src=" in pdf_text(data).replace("\n", "")
    assert list(PdfReader(io.BytesIO(data)).attachments) == []


def test_the_font_is_ours_and_in_the_file(settings: Any) -> None:
    font = (Path(settings.BASE_DIR) / renderers.FONT).as_uri()
    assert renderers._only_ours()(font).read(4) == b"\x00\x01\x00\x00"
    page = PdfReader(io.BytesIO(renderers.to_pdf(content("Їжак")))).pages[0]
    fonts = page["/Resources"]["/Font"].get_object()  # type: ignore[index]
    assert {str(font.get_object()["/BaseFont"])[8:] for font in fonts.values()} <= {"Kauri", "Kauri-Bold"}


def test_a_formula_stays_text() -> None:
    book = load_workbook(io.BytesIO(renderers.to_xlsx(content('=HYPERLINK("http://x")'))))
    cell = book.worksheets[0]["A5"]
    assert (cell.value, cell.data_type) == ('=HYPERLINK("http://x")', "s")


def test_too_many_rows_for_a_pdf(treasurer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(renderers.TooLong):
        renderers.to_pdf(content("x", rows=renderers.MAX_PDF_ROWS + 1))
    monkeypatch.setattr(renderers, "MAX_PDF_ROWS", 1)
    run = ask(treasurer)
    services.report_make(run.pk)
    run.refresh_from_db()
    assert run.state == "failed"
    assert "ask for Excel" in run.error

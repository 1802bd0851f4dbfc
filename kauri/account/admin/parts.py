"""The parts of a verification case's page: papers, answers, moves, other cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from kauri.account.cases import files
from kauri.account.cases.queue import same_papers
from kauri.account.models import User, VerificationCase, VerificationDocument
from kauri.account.states import CaseState
from kauri.common.admin import EMPTY, age, badge, link, page_link, raw, table, when
from kauri.common.models import choice
from kauri.common.scopes import EVERYTHING

STATE_TONES: Final[dict[str, str]] = {
    CaseState.STARTED: "info",
    CaseState.WAITING_FOR_CUSTOMER: "info",
    CaseState.WAITING_FOR_PROVIDER: "info",
    CaseState.WAITING_FOR_OPERATOR: "warn",
    CaseState.ASKED_AGAIN: "info",
    CaseState.APPROVED: "good",
    CaseState.REJECTED: "bad",
}
ANSWER_TONES: Final[dict[str, str]] = {
    "approved": "good",
    "rejected": "bad",
    "retry": "warn",
    "unknown": "bad",
}
_KIB: Final = 1024


def papers_table(case: VerificationCase, *, may_open: bool) -> SafeString:
    """The documents, and who else sent the very same file."""
    twins = same_papers(case, getattr(case, "viewer_scope", EVERYTHING))
    return table(
        (_("Document"), _("Kind"), _("Size"), _("Sent"), _("From"), _("Same file")),
        (
            (
                _paper(document, may_open=may_open),
                document.get_kind_display(),
                f"{-(-document.size // _KIB)} KiB",
                when(document.created_at),
                document.ip or EMPTY,
                _twins(twins.get(document.sha256, [])),
            )
            for document in case.documents.all()
        ),
        _("No documents were sent here."),
    )


def _paper(document: VerificationDocument, *, may_open: bool) -> SafeString:
    """A thumbnail through the view that keeps a record, or the kind of file alone."""
    if not may_open:
        return badge(document.content_type)
    url = reverse("admin:verification_document", args=(document.public_id,))
    if document.content_type == files.PDF:
        return link(url, _("Download"))
    return format_html(
        '<a href="{}"><img class="k-paper" src="{}" alt="{}"></a>', url, url, document.get_kind_display()
    )


def _twins(people: list[User]) -> SafeString:
    """The house's first sign of a second account."""
    if not people:
        return EMPTY
    who = format_html_join(", ", "{}", ((page_link(person),) for person in people))
    return format_html("{} {}", badge(_("also sent by"), "bad"), who)


def answers_table(case: VerificationCase) -> SafeString:
    """What operators and providers said, in their order."""
    return table(
        (_("When"), _("By"), _("Answer"), _("Reason"), _("Words"), _("As it was said")),
        (
            (
                when(row.at),
                row.actor_label,
                badge(choice(row, "verdict"), ANSWER_TONES.get(row.verdict, "")),
                row.get_reason_code_display() or EMPTY,
                row.words or EMPTY,
                raw(row.detail),
            )
            for row in case.answers.order_by("id")
        ),
        _("Nobody has answered yet."),
    )


def moves_list(case: VerificationCase) -> SafeString:
    """What the case became, through whom, why."""
    items = format_html_join(
        "",
        "<li>{} <span>{}</span>{}<small>{} UTC · {}</small></li>",
        (
            (
                badge(choice(row, "to_state"), STATE_TONES.get(row.to_state, "")),
                row.actor_label,
                format_html("<p>{}</p>", row.reason) if row.reason else "",
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                age(row.at),
            )
            for row in case.moves.order_by("id")
        ),
    )
    return format_html('<ol class="k-moves">{}</ol>', items)


def cases_table(rows: Iterable[VerificationCase]) -> SafeString:
    """Cases inside another page."""
    return table(
        (_("Started"), _("Level"), _("State"), _("Provider"), _("Finished")),
        (
            (
                page_link(row, f"{row.created_at:%Y-%m-%d %H:%M} UTC"),
                row.level,
                badge(choice(row, "state"), STATE_TONES.get(row.state, "")),
                row.provider,
                when(row.finished_at),
            )
            for row in rows
        ),
        _("No other cases."),
    )

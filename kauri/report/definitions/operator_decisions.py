"""What each operator decided, day by day: how much, and how often a second person saw it otherwise."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django.utils.translation import gettext_lazy as _

from kauri.common.money import CONTEXT, ZERO, plain
from kauri.common.scopes import EVERYTHING, Scope
from kauri.order_core.models import Approval, ApprovalVote
from kauri.report.definition import SINCE, Cell, Column, Content, Definition, Table

_CENT: Final = Decimal("0.01")
_TENTH: Final = Decimal("0.1")
_COLUMNS: Final = (
    Column(_("Day (UTC)")),
    Column(_("Operator")),
    Column(_("Decisions"), is_amount=True),
    Column(_("Approved, USD"), is_amount=True),
    Column(_("Without a rate"), is_amount=True),
    Column(_("Rejected"), is_amount=True),
    Column(_("Second looks"), is_amount=True),
    Column(_("Second looks, % of approvals"), is_amount=True),
    Column(_("Disagreements"), is_amount=True),
    Column(_("Disagreements, % of second looks"), is_amount=True),
)


@dataclass(slots=True)
class _Sum:
    decisions: int = 0
    usd: Decimal = ZERO
    unpriced: int = 0
    rejected: int = 0
    looks: int = 0
    against: int = 0

    def add(self, vote: ApprovalVote, *, against: bool) -> None:
        self.decisions += 1
        if vote.decision == ApprovalVote.Decision.REJECT:
            self.rejected += 1
            return
        self.usd += vote.usd or ZERO
        self.unpriced += vote.usd is None
        self.looks += vote.picked
        self.against += against

    @property
    def approved(self) -> int:
        return self.decisions - self.rejected

    def cells(self) -> tuple[Cell, ...]:
        return (
            self.decisions,
            self.usd.quantize(_CENT, ROUND_HALF_UP, CONTEXT),
            self.unpriced,
            self.rejected,
            self.looks,
            _share(self.looks, self.approved),
            self.against,
            _share(self.against, self.looks),
        )


def make(as_of: datetime, since: datetime, *, scope: Scope = EVERYTHING) -> Content:
    """Votes of ``[since, as_of]``; a disagreement is a second look that ended, by then, in a rejection.

    It can't be narrowed: a limited operator is refused before.
    """
    del scope
    votes = list(ApprovalVote.objects.filter(at__gte=since, at__lte=as_of).order_by("at", "id"))
    rejected = set(
        ApprovalVote.objects.filter(
            approval__in={vote.approval_id for vote in votes if vote.picked},
            approval__state=Approval.State.REJECTED,
            decision=ApprovalVote.Decision.REJECT,
            at__lte=as_of,
        ).values_list("approval_id", flat=True)
    )
    days: dict[tuple[str, str], _Sum] = defaultdict(_Sum)
    people: dict[str, _Sum] = defaultdict(_Sum)
    for vote in votes:
        against = vote.picked and vote.approval_id in rejected
        days[f"{vote.at:%Y-%m-%d}", vote.actor_label].add(vote, against=against)
        people[vote.actor_label].add(vote, against=against)
    period = Table(title=_("Period"), columns=(Column(_("From")), Column(_("Until"))), rows=[(since, as_of)])
    by_day = Table(
        title=_("By operator and day"),
        columns=_COLUMNS,
        rows=[(*key, *found.cells()) for key, found in sorted(days.items())],
        empty=_("Nobody decided on anything in the period."),
    )
    by_operator = Table(
        title=_("By operator"),
        columns=_COLUMNS[1:],
        rows=[(who, *found.cells()) for who, found in sorted(people.items())],
        empty=_("Nobody decided on anything in the period."),
    )
    return Content(
        title=_("Operator decisions"),
        as_of=as_of,
        tables=(period, by_operator, by_day),
        totals={
            who: {
                "decisions": found.decisions,
                "usd": plain(found.usd),
                "unpriced": found.unpriced,
                "rejected": found.rejected,
                "second_looks": found.looks,
                "disagreements": found.against,
            }
            for who, found in sorted(people.items())
        },
    )


def _share(part: int, whole: int) -> Cell:
    if not whole:
        return None
    return CONTEXT.divide(Decimal(100 * part), Decimal(whole)).quantize(_TENTH, ROUND_HALF_UP, CONTEXT)


DEFINITION = Definition(
    code="operator_decisions",
    title=_("Operator decisions"),
    make=make,
    parameters=(SINCE,),
    narrows=frozenset(),
)

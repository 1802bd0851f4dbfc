"""The operators' queue of verification cases."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Min, Q, QuerySet

from kauri.account.models import User, VerificationCase, VerificationDocument
from kauri.account.states import CaseState
from kauri.common import clock
from kauri.common.scopes import EVERYTHING, Scope, narrow

#: A customer who handed everything in is answered within a day.
OVERDUE_AFTER: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class QueueState:
    count: int
    oldest: datetime | None
    overdue: int


def queue() -> QuerySet[VerificationCase]:
    """Cases that wait for an operator."""
    return VerificationCase.objects.filter(state=CaseState.WAITING_FOR_OPERATOR)


def queue_state(scope: Scope = EVERYTHING) -> QueueState:
    """One query over the partial index of waiting cases, those that an operator of ``scope`` sees."""
    found = narrow(queue(), scope).aggregate(
        count=Count("id"),
        oldest=Min("updated_at"),
        overdue=Count("id", filter=Q(updated_at__lt=clock.now() - OVERDUE_AFTER)),
    )
    return QueueState(count=found["count"], oldest=found["oldest"], overdue=found["overdue"])


def next_waiting(after: uuid.UUID | None = None, scope: Scope = EVERYTHING) -> VerificationCase | None:
    """The case in ``scope`` that waits longest; with ``after``, the longest but that one."""
    waiting = narrow(queue(), scope).order_by("updated_at", "id")
    return (waiting.exclude(public_id=after) if after is not None else waiting).first()


def same_papers(case: VerificationCase, scope: Scope = EVERYTHING) -> dict[str, list[User]]:
    """Other customers in ``scope`` who sent the very same file, by its SHA-256."""
    rows = (
        narrow(VerificationDocument.objects.filter(sha256__in=case.documents.values("sha256")), scope)
        .exclude(case__user_id=case.user_id)
        .select_related("case__user")
        .order_by("id")[:50]
    )
    found: dict[str, list[User]] = {}
    for row in rows:
        people = found.setdefault(row.sha256, [])
        if row.case.user not in people:
            people.append(row.case.user)
    return found

"""What a report is: tables of exact figures as of one moment, and totals to check them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from django.utils.functional import Promise

from kauri.account.models import User
from kauri.common.errors import KauriError
from kauri.common.scopes import EVERYTHING, Scope, narrow
from kauri.report.selectors import customer_named

Cell = str | int | Decimal | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    """Amounts are aligned right and written with all the digits of their currency."""

    title: str | Promise
    is_amount: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    title: str | Promise
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]]
    empty: str | Promise = ""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a renderer needs. ``totals`` is plain and kept with the run, for whoever checks."""

    title: str | Promise
    as_of: datetime
    tables: tuple[Table, ...]
    totals: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What some reports are asked besides their moment: its name among a run's parameters, its reader.

    ``read`` turns what was asked into what the report needs, or raises ``validation_error``.
    """

    name: str
    read: Callable[[str], Any]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise KauriError("validation_error", fields={"from": "a moment with its time zone"})


CUSTOMER: Final = Parameter("customer", customer_named)
#: Where the period begins that ends at the report's own moment.
SINCE: Final = Parameter("from", _moment)


@dataclass(frozen=True, slots=True)
class Definition:
    """One report: its code, its name, the function that reads the figures, and what that is asked.

    ``make`` gets the moment, then the parameters as read, in the order of ``parameters``.
    """

    code: str
    title: str | Promise
    make: Callable[..., Content]
    parameters: tuple[Parameter, ...] = ()
    #: The kinds of limits that it can be narrowed to; who is limited in another kind can't have it.
    narrows: frozenset[str] = frozenset({"currencies"})

    def content(self, as_of: datetime, kept: Mapping[str, str], scope: Scope = EVERYTHING) -> Content:
        """The report of a run with these parameters, of what ``scope`` holds."""
        given = self.read(kept, scope)
        return self.make(as_of, *given, scope=scope)

    def read(self, kept: Mapping[str, str], scope: Scope) -> list[Any]:
        """The parameters as read. ``not_found`` for what is outside of ``scope``, or can't be narrowed to it."""
        if set(scope.kinds) - self.narrows:
            raise KauriError("not_found", "this report is of the whole house")
        given = [parameter.read(kept[parameter.name]) for parameter in self.parameters]
        for value in given:
            if isinstance(value, User) and not narrow(User.objects.filter(pk=value.pk), scope).exists():
                raise KauriError("not_found")
        return given

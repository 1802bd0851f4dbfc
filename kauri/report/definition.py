"""What a report is: tables of exact figures as of one moment, and totals to check them by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise

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
class Definition:
    """One report: its code, its name, and the function that reads the figures."""

    code: str
    title: str | Promise
    make: Callable[[datetime], Content]

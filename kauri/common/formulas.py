"""Texts that a spreadsheet would run, and how they are written so that none does."""

from __future__ import annotations

import re
from typing import Final

#: What a spreadsheet would run; a plain number, with its currency or without, is none of it.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r|%]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?( [A-Z0-9]{2,12})?")


def runs(text: str) -> bool:
    """Whether a spreadsheet would take ``text`` for a formula."""
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)


def harmless(text: str) -> str:
    """``text`` as no spreadsheet runs it: what looks like a formula gets an apostrophe before it."""
    return f"'{text}" if runs(text) else text


def guarded(text: str) -> str:
    """As :func:`harmless`, for files that are read again: :func:`unguarded` gives exactly ``text`` back."""
    return f"'{text}" if runs(text.lstrip("'")) else text


def unguarded(text: str) -> str:
    """A cell without the apostrophe that :func:`guarded` has put before it."""
    return text[1:] if text.startswith("'") and runs(text.lstrip("'")) else text

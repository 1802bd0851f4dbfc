"""A cell as people read it.

The house's own cells are read as text rather than given to django-import-export: that library would
write fields, past the columns of the list and past the pages' own rights, and would hold all rows at once.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_VOID: Final = frozenset({"br", "img", "input", "hr"})
_INLINE: Final = frozenset({"u", "i", "b"})
_SILENT: Final = ("k-none", "material-symbols-outlined")


class _Cell(HTMLParser):
    """The words of a cell: moments and shortened ids whole, amounts without their grouping, no icons."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.skips = 0
        self.amounts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.parts.append(" ")
            return
        if self.skips:
            self.skips += 1
            return
        given = dict(attrs)
        classes = given.get("class") or ""
        whole = (
            given.get("datetime") if tag == "time" else given.get("title") if tag in ("code", "a") else None
        )
        if tag not in _INLINE:
            self.parts.append(" ")
        if whole:
            self.parts.append(whole)
        if whole or tag == "button" or any(name in classes for name in _SILENT):
            self.skips = 1
        elif self.amounts or "k-money" in classes:
            self.amounts += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if self.skips:
            self.skips -= 1
        elif self.amounts:
            self.amounts -= 1

    def handle_data(self, data: str) -> None:
        if not self.skips:
            self.parts.append(data.replace("\u00a0", "") if self.amounts else data)


def text_of(value: object) -> str:
    """A cell as people read it, on one line."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(text_of, value)))
    if not hasattr(value, "__html__"):
        return str(value)
    cell = _Cell()
    cell.feed(str(value))
    cell.close()
    return " ".join("".join(cell.parts).split())

"""Who demands a permission demands the operator's scope as well: buttons are not the law."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "kauri"
SCOPE = {"require_scope", "require_whole", "scope_of"}
#: Where the permission is asked for others, who name the rows.
ELSEWHERE = {"payment_card/bans.py:_may": "each of its callers asks for the card or the ban"}


def _functions(path: Path) -> dict[str, set[str]]:
    """Each function of a module with the names that it calls."""
    tree = ast.parse(path.read_text())
    return {
        node.name: {
            called.func.id
            for called in ast.walk(node)
            if isinstance(called, ast.Call) and isinstance(called.func, ast.Name)
        }
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }


def _reached(name: str, functions: dict[str, set[str]], seen: frozenset[str] = frozenset()) -> set[str]:
    found = set(functions.get(name, ()))
    for called in functions.get(name, ()):
        if called in functions and called not in seen:
            found |= _reached(called, functions, seen | {called})
    return found


def _askers() -> list[tuple[str, set[str]]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        functions = _functions(path)
        for name, called in functions.items():
            if "require_permission" in called:
                found.append((f"{path.relative_to(ROOT)}:{name}", _reached(name, functions)))
    return found


@pytest.mark.parametrize(
    ("where", "called"), _askers(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_permission_comes_with_a_scope(where: str, called: set[str]) -> None:
    assert (where in ELSEWHERE) != bool(called & SCOPE), where


def test_there_are_askers() -> None:
    assert len(_askers()) > 30
    assert {where for where, _called in _askers()} >= set(ELSEWHERE)

"""Every act that the code can put on record has a name on the audit's pages, and no name is of nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from kauri.core.admin.words import ACTS, OBJECTS, act_title, object_title

ROOT = Path(__file__).parents[2]


def _trees() -> list[ast.Module]:
    files = [path for room in ("kauri", "backoffice") for path in (ROOT / room).rglob("*.py")]
    return [ast.parse(path.read_text()) for path in files if "migrations" not in path.parts]


def _takers(tree: ast.Module) -> dict[str, int]:
    """Functions of a file that take a ``verb``, and at which place."""
    return {
        node.name: place
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for place, argument in enumerate(node.args.args)
        if argument.arg == "verb"
    }


def _verbs(trees: list[ast.Module]) -> Iterator[ast.expr]:
    """What is given as the verb, wherever one is given."""
    shared = {"audit": 1, "record": 1}
    for tree in trees:
        takers = {**shared, **_takers(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = takers.get(name)
            if place is not None and len(node.args) > place:
                yield node.args[place]


def _said(expression: ast.expr) -> Iterator[str]:
    """The codes that an expression can be; of a made one its beginning, with a star."""
    match expression:
        case ast.Constant(value=str(code)):
            yield code
        case ast.IfExp(body=one, orelse=other):
            yield from _said(one)
            yield from _said(other)
        case ast.JoinedStr(values=[ast.Constant(value=str(head)), *_rest]):
            yield f"{head}*"


def test_every_act_has_a_name() -> None:
    codes = {code for found in _verbs(_trees()) for code in _said(found)}
    assert len(codes) > 90
    whole = {code for code in codes if not code.endswith("*")}
    assert sorted(whole - set(ACTS)) == []
    heads = {code.removesuffix("*") for code in codes - whole}
    assert [head for head in sorted(heads) if not any(act.startswith(head) for act in ACTS)] == []


def test_no_name_is_of_nothing() -> None:
    texts = "\n".join(
        path.read_text()
        for room in ("kauri", "backoffice")
        for path in (ROOT / room).rglob("*.py")
        if path.name != "words.py"
    )
    ends = {code: code.partition("_")[2] for code in ACTS}
    assert [code for code in ACTS if f'"{code}"' not in texts and f'"{ends[code]}"' not in texts] == []


def test_a_settings_change_goes_by_the_settings_name() -> None:
    assert act_title("provider_change") == "Changed: provider"
    assert act_title("customergroup_add") == "Added: customer group"
    assert act_title("what_nobody_wrote") == "what_nobody_wrote"


def test_objects_go_by_their_models_names() -> None:
    assert {code: object_title(code) for code in ("order", "verification_case", "order_core.policy")} == {
        "order": "order",
        "verification_case": "verification case",
        "order_core.policy": "policy",
    }
    assert [code for code in OBJECTS if object_title(code) == code and "_" in code] == []

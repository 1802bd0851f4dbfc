"""The Postman collection: the committed one is the document's, and it runs, by signed key and by token."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backoffice.collection import collection
from backoffice.settings.env import ROOT
from compose.local import npm
from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.order_core.models import Order
from tests.contract.caller import document
from tests.moves import give, sandbox_on

FILE = ROOT / "fixtures" / "kauri.postman_collection.json"
KEY = {"key": "k" * 40, "secret": "of the key"}


def test_snapshot() -> None:
    """Regenerate with ``make openapi`` and look at the difference."""
    assert collection(document()) == json.loads(FILE.read_text(encoding="utf-8"))


def test_every_call_is_in_a_folder_of_its_tag() -> None:
    found = json.loads(FILE.read_text(encoding="utf-8"))
    calls = {(folder["name"], item["name"]) for folder in found["item"] for item in folder["item"]}
    assert calls == {
        (operation["tags"][0], operation["operationId"])
        for operations in document()["paths"].values()
        for operation in operations.values()
    }
    assert {row["key"]: row["value"] for row in found["variable"]} == {
        "baseUrl": "http://localhost:8000",
        "key": "",
        "secret": "",
        "token": "",
    }


def run(folder: str, tmp_path: Path, **variables: str) -> dict[str, tuple[int, Any]]:
    """Run one folder as Postman does; operation -> status and body of its answer."""
    report = tmp_path / "report.json"
    with npm.callable_npm():
        newman = npm.installed("newman", "newman/bin/newman.js")
        argv = ["node", str(newman), "run", str(FILE), "--folder", folder]
        argv += ["--reporters", "json", "--reporter-json-export", str(report)]
        for name, value in variables.items():
            argv += ["--global-var", f"{name}={value}", "--env-var", f"{name}={value}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))["run"]
    assert found["failures"] == []
    return {
        row["item"]["name"]: (
            row["response"]["code"],
            json.loads(bytes(row["response"]["stream"]["data"])),
        )
        for row in found["executions"]
    }


@pytest.fixture
def person(transactional_db: None, customer: Callable[..., User]) -> User:
    user = customer()
    give(user, "UAH", "100.50")
    give(user, "USDT", "100")
    sandbox_on()
    return user


def test_it_signs_with_a_key(person: User, live_server: Any, tmp_path: Path) -> None:
    ApiKey.objects.create(
        user=person,
        name="shop",
        scopes=["read", "trade", "withdraw"],
        state=ApiKey.State.ACTIVE,
        **KEY,
    )
    answers = run("Orders", tmp_path, baseUrl=live_server.url, **KEY)
    assert {name: status for name, (status, _) in answers.items()} == {
        "orders_history": 200,
        "orders_details": 404,
        "statistics": 200,
    }
    money = run("Internal movements", tmp_path, baseUrl=live_server.url, **KEY)
    assert money["internal_movement_create"][1]["code"] == "recipient_not_found"
    wrong = run("Orders", tmp_path, baseUrl=live_server.url, key=KEY["key"], secret="another")
    assert {body["code"] for _, body in wrong.values()} == {"invalid_signature"}
    assert Order.objects.count() == 0


def test_it_sends_the_token_where_there_is_no_key(person: User, live_server: Any, tmp_path: Path) -> None:
    answers = run("Orders", tmp_path, baseUrl=live_server.url, token=tokens.issue(person))
    assert answers["orders_history"][0] == 200
    nobody = run("Orders", tmp_path, baseUrl=live_server.url)
    assert {body["code"] for _, body in nobody.values()} == {"unauthenticated"}

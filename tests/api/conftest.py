"""Every answer that the tests of the API get is one that the API's document knows."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from django.test import Client

from backoffice.api import schema


@cache
def documented() -> dict[tuple[str, str], dict[int, list[str]]]:
    """(method, path) -> status -> the codes of that refusal; an empty list for what is no refusal."""
    document = schema()
    shared = document["components"]["responses"]
    found: dict[tuple[str, str], dict[int, list[str]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = found.setdefault((method.upper(), path), {})
            for status, response in operation["responses"].items():
                name = response.get("$ref", "").rpartition("/")[2]
                shape = shared[name]["content"]["application/json"]["schema"] if name else {}
                answers[int(status)] = shape.get("properties", {}).get("code", {}).get("enum", [])
    return found


@pytest.fixture(autouse=True)
def _documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare each answer with the document."""
    request_of = Client.request

    def compared(self: Client, **request: Any) -> Any:
        answer = request_of(self, **request)
        path = "/" + "/".join(part for part in request["PATH_INFO"].split("/") if part)
        answers = documented().get((request["REQUEST_METHOD"], path))
        if answers is not None:
            code = answer.json().get("code", "") if answer.status_code >= 400 else ""
            known = answers.get(answer.status_code)
            assert known is not None, f"{path} answers {answer.status_code} {code}, which is not documented"
            assert not code or code in known, f"{path} answers {code}, which is not documented"
        return answer

    monkeypatch.setattr(Client, "request", compared)

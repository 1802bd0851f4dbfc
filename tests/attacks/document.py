"""The API's own document, walked: attacks are made on every operation that it lists, today's and tomorrow's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from backoffice.api import schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: its name, what its body takes, and what stands beside the body."""

    name: str
    method: str
    path: str
    properties: dict[str, Any]
    parameters: tuple[str, ...]
    is_open: bool
    is_form: bool

    @property
    def ids(self) -> list[str]:
        """What it takes that names something: of the caller's, or of somebody else's."""
        return [name for name in (*self.properties, *self.parameters) if _names_something(name)]


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the document."""
    document = schema()
    return tuple(
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )


def posts() -> list[Operation]:
    """Those that take a JSON object."""
    return [operation for operation in operations() if operation.properties and not operation.is_form]


def _names_something(name: str) -> bool:
    return name.lower().replace("-", "_").endswith(("_id", "_key", "_number")) or name == "cursor"


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Operation:
    content = operation.get("requestBody", {}).get("content", {})
    [body] = [kind["schema"] for kind in content.values()] or [{}]
    if "$ref" in body:
        body = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    return Operation(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        properties=body.get("properties", {}),
        parameters=tuple(parameter["name"] for parameter in operation.get("parameters", [])),
        is_open=not operation.get("security"),
        is_form="multipart/form-data" in content,
    )

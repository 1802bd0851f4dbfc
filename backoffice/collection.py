"""The API as a Postman collection (v2.1; Bruno and Insomnia read it too), made from its own document."""

from __future__ import annotations

import json
from typing import Any, Final

Part = dict[str, Any]

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
#: Runs before each request: signs by version 2 where a key is set, else sends the token, if there is one.
PRE_REQUEST: Final = """\
const path = pm.variables.replaceIn(pm.request.url.getPath());
const query = pm.variables.replaceIn(pm.request.url.getQueryString());
const body = pm.request.body && pm.request.body.raw ? pm.variables.replaceIn(pm.request.body.raw) : "";
const key = pm.variables.get("key");
const token = pm.variables.get("token");
if (key) {
    const timestamp = String(Date.now());
    const nonce = pm.variables.replaceIn("{{$guid}}");
    const message = [timestamp, nonce, pm.request.method, path, query, CryptoJS.SHA256(body).toString()].join("\\n");
    const sign = CryptoJS.HmacSHA256(message, pm.variables.get("secret")).toString();
    pm.request.headers.upsert({ key: "Key", value: key });
    pm.request.headers.upsert({ key: "Sign", value: sign });
    pm.request.headers.upsert({ key: "Timestamp", value: timestamp });
    pm.request.headers.upsert({ key: "Nonce", value: nonce });
} else if (token) {
    pm.request.headers.upsert({ key: "Authorization", value: "Bearer " + token });
}
"""
VARIABLES: Final = {
    "baseUrl": "http://localhost:8000",
    "key": "",
    "secret": "",
    "token": "",
}


def collection(document: Part) -> Part:
    """A folder per tag, a request per call, each with the examples of the document."""
    folders: dict[str, list[Part]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            folders.setdefault(operation["tags"][0], []).append(_request(path, method, operation, document))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": "Set `key` and `secret` to sign, or `token` to call as a signed-in customer.",
            "schema": SCHEMA,
        },
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "event": [
            {
                "listen": "prerequest",
                "script": {"type": "text/javascript", "exec": PRE_REQUEST.splitlines()},
            }
        ],
        "item": [{"name": tag, "item": items} for tag, items in sorted(folders.items())],
    }


def _request(path: str, method: str, operation: Part, document: Part) -> Part:
    query = [
        {
            "key": row["name"],
            "value": _text(_parameter(row, document)),
            "description": row.get("description", ""),
            "disabled": not row.get("required", False),
        }
        for row in operation["parameters"]
        if row["in"] == "query"
    ]
    sent = [row for row in query if not row["disabled"]]
    raw = (
        "{{baseUrl}}"
        + path
        + ("?" + "&".join(f"{row['key']}={row['value']}" for row in sent) if sent else "")
    )
    request: Part = {
        "method": method.upper(),
        "description": operation.get("description", ""),
        "header": [
            {"key": row["name"], "value": _text(_parameter(row, document)), "disabled": True}
            for row in operation["parameters"]
            if row["in"] == "header"
        ],
        "url": {
            "raw": raw,
            "host": ["{{baseUrl}}"],
            "path": path.strip("/").split("/"),
            "query": query,
        },
    }
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        request["body"] = _body(kind, content["schema"], document)
        if kind == "application/json":
            request["header"].append({"key": "Content-Type", "value": kind})
    return {"name": operation["operationId"], "request": request}


def _body(kind: str, schema: Part, document: Part) -> Part:
    shape = resolved(schema, document)
    if kind == "application/json":
        return {
            "mode": "raw",
            "raw": json.dumps(example(shape, document), indent=2, ensure_ascii=False),
            "options": {"raw": {"language": "json"}},
        }
    return {
        "mode": "formdata",
        "formdata": [
            {"key": name, "type": "file", "src": []}
            if field.get("format") == "binary"
            else {"key": name, "type": "text", "value": _text(example(field, document))}
            for name, field in shape["properties"].items()
        ],
    }


def _parameter(row: Part, document: Part) -> Any:
    return row["example"] if "example" in row else example(row["schema"], document)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def resolved(schema: Part, document: Part) -> Part:
    """The schema with its reference followed; what stands beside the reference counts more."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return {**document["components"]["schemas"][name], **schema} if name else schema


def example(schema: Part, document: Part) -> Any:
    """The schema's own example, or one put together from those of its parts.

    An object's example has what is required and whatever else the document gives an example of.
    """
    shape = resolved(schema, document)
    if shape.get("examples"):
        return shape["examples"][0]
    if "properties" in shape:
        required = shape.get("required", [])
        return {
            name: example(field, document)
            for name, field in shape["properties"].items()
            if name in required or resolved(field, document).get("examples")
        }
    if "default" in shape:
        return shape["default"]
    for way in [*shape.get("anyOf", []), *shape.get("allOf", [])]:
        return example(way, document)
    if "enum" in shape:
        return shape["enum"][0]
    made: Part = {
        "string": "0a6282ec-f63d-4a15-a16c-a128b46eb7eb" if shape.get("format") == "uuid" else "text",
        "integer": 1,
        "number": 1,
        "boolean": False,
        "array": [],
        "object": {},
    }
    return made.get(shape.get("type", ""))

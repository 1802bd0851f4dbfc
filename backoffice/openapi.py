"""The API's document: what the code says of each call, and what holds for all of them."""

from __future__ import annotations

from typing import Any, Final

from kauri.common.api import CODES_OF, COMPONENT, COMPONENTS, ErrorOut, ProblemOut
from kauri.common.errors import CODES

Part = dict[str, Any]

#: What a key needs for a call. A call for signed-in people that is not here takes no key at all.
SCOPES: Final = {
    "account_info": "read",
    "account_setting_list": "read",
    "account_setting_set": "trade",
    "balance_read": "read",
    "card_create": "withdraw",
    "card_delete": "withdraw",
    "card_list": "read",
    "card_switch": "withdraw",
    "deposit_address": "read",
    "deposit_address_details": "read",
    "deposit_cancel": "trade",
    "deposit_list": "read",
    "deposit_repeat": "read",
    "internal_movement_create": "trade",
    "internal_movement_repeat": "trade",
    "orders_details": "read",
    "orders_history": "read",
    "statistics": "read",
    "withdrawal_addresses": "read",
    "withdrawal_cancel": "withdraw",
    "withdrawal_confirm": "withdraw",
    "withdrawal_confirm_resend": "withdraw",
    "withdrawal_create": "withdraw",
    "withdrawal_repeat": "withdraw",
}

_TOKEN: Final = "AccessToken"  # noqa: S105 - a name
SCHEMES: Final[Part] = {
    _TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `token` of `user/obtain_token` or `user/refresh_token`; good for 15 minutes. Where the "
        "account has a second factor, only after `user/totp/verify`.",
    },
    "Key": {"type": "apiKey", "in": "header", "name": "Key", "description": "The public half of an API key."},
    "Sign": {
        "type": "apiKey",
        "in": "header",
        "name": "Sign",
        "description": "Version 2: hex HMAC-SHA256, under the key's secret, of `timestamp\\nnonce\\nMETHOD\\npath\\n"
        "raw query\\nsha256hex(raw body)`. Version 1, only for keys made so and without `Timestamp` and `Nonce`: of "
        "`METHOD-path-parameters`, sorted, flattened by one level and form-encoded.",
    },
    "Timestamp": {
        "type": "apiKey",
        "in": "header",
        "name": "Timestamp",
        "description": "Milliseconds since 1970; off by at most the key's `window_ms`.",
    },
    "Nonce": {
        "type": "apiKey",
        "in": "header",
        "name": "Nonce",
        "description": "8 to 64 printable ASCII characters; each is good once.",
    },
    "TelegramBotKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Telegram-Bot-Key",
        "description": "The bot's own key. It reads, and changes nothing.",
    },
    "TelegramUser": {
        "type": "apiKey",
        "in": "header",
        "name": "Telegram-User-Id",
        "description": "The Telegram user, tied to an account, for whom the bot reads.",
    },
}
HEADERS: Final[Part] = {
    "X-Request-Id": {
        "description": "The request's id: the caller's own, or one of ours.",
        "required": True,
        "schema": {"type": "string", "minLength": 8, "maxLength": 64},
    },
    "RateLimit-Policy": {
        "description": "The tightest of the rates that this call was counted against: its name, limit, seconds.",
        "schema": {"type": "string", "examples": ['"account";q=600;w=60']},
    },
    "RateLimit": {
        "description": "What is left of it, and the seconds until it starts anew.",
        "schema": {"type": "string", "examples": ['"account";r=599;t=12']},
    },
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}},
    "Idempotency-Replayed": {
        "description": "This is the stored answer of the first such call.",
        "schema": {"type": "string", "const": "true"},
    },
    "ETag": {"description": "For `If-None-Match`.", "schema": {"type": "string"}},
}
_ID: Final = "$response.body#/order_id"
#: Operation -> name of the link -> the next call, and what it takes from the answer.
LINKS: Final[dict[str, dict[str, tuple[str, Part]]]] = {
    "withdrawal_create": {
        "details": ("orders_details", {"order_id": _ID}),
        "cancel": ("withdrawal_cancel", {"order_id": _ID}),
        "repeat": ("withdrawal_repeat", {"order_id": _ID}),
        "resend": ("withdrawal_confirm_resend", {"order_id": _ID}),
    },
    "withdrawal_confirm": {"details": ("orders_details", {"order_id": _ID})},
    "withdrawal_address_create": {
        "delete": ("withdrawal_address_delete", {"address_id": "$response.body#/address/address_id"}),
    },
    "withdrawal_cancel": {
        "details": ("orders_details", {"order_id": _ID}),
        "repeat": ("withdrawal_repeat", {"order_id": _ID}),
    },
    "withdrawal_repeat": {
        "details": ("orders_details", {"order_id": _ID}),
        "cancel": ("withdrawal_cancel", {"order_id": _ID}),
    },
    "internal_movement_create": {
        "details": ("orders_details", {"order_id": _ID}),
        "repeat": ("internal_movement_repeat", {"order_id": _ID}),
    },
    "internal_movement_repeat": {"details": ("orders_details", {"order_id": _ID})},
    "card_create": {
        "switch": ("card_switch", {"card_id": "$response.body#/card_id"}),
        "delete": ("card_delete", {"card_id": "$response.body#/card_id"}),
    },
    "card_list": {
        "switch": ("card_switch", {"card_id": "$response.body#/cards/0/card_id"}),
        "delete": ("card_delete", {"card_id": "$response.body#/cards/0/card_id"}),
    },
    "orders_history": {
        "details": ("orders_details", {"order_id": "$response.body#/orders/0/external_id"}),
        "next": ("orders_history", {"cursor": "$response.body#/next_cursor"}),
    },
    "api_key_create": {
        "verify": ("api_key_verify", {"api_key_id": "$response.body#/api_key_id"}),
        "delete": ("api_key_delete", {"api_key_id": "$response.body#/api_key_id"}),
    },
    "api_key_verify": {"delete": ("api_key_delete", {"api_key_id": "$response.body#/api_key_id"})},
    "obtain_token": {"refresh": ("refresh_token", {"refresh": "$response.body#/refresh"})},
    "refresh_token": {"refresh": ("refresh_token", {"refresh": "$response.body#/refresh"})},
    "sessions": {"end": ("session_end", {"session_id": "$response.body#/sessions/0/session_id"})},
    "telegram_assign": {"verify": ("telegram_verify", {"code": "$response.body#/code"})},
    "white_ip_create": {"delete": ("white_ip_delete", {"ip": "$response.body#/ip"})},
}
#: Calls whose answers say how often they may be asked again unchanged.
_CACHED: Final = frozenset({"currency_list", "pair_list"})
_KEY: Final = "Idempotency-Key"


def finished(document: Part) -> Part:
    """The framework's document with errors, headers, schemes and links of every call."""
    components = document["components"]
    components["securitySchemes"] = SCHEMES
    components["headers"] = HEADERS
    components["schemas"].update(
        {model.__name__: model.model_json_schema(mode="serialization") for model in (ErrorOut, ProblemOut)}
    )
    known = {
        operation["operationId"]: operation
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    components["responses"] = {}
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _finish(method, operation, known, components["responses"])
    schemas = {**components["schemas"], **COMPONENTS}
    components["schemas"] = {name: _named_once(shape) for name, shape in schemas.items()}
    document["paths"] = _named_once(document["paths"])
    return document


def _named_once(part: Any) -> Any:
    """Every use of a component's shape as a reference to it, with what is said of that use alone."""
    if isinstance(part, list):
        return [_named_once(item) for item in part]
    if not isinstance(part, dict):
        return part
    name = part.get(COMPONENT)
    if name is None:
        return {key: _named_once(item) for key, item in part.items()}
    own = {key: item for key, item in part.items() if key != COMPONENT and COMPONENTS[name].get(key) != item}
    return {"$ref": f"#/components/schemas/{name}", **own}


def _finish(method: str, operation: Part, known: dict[str, Part], shared: Part) -> None:
    name = operation["operationId"]
    has_account = "security" in operation
    if has_account:
        operation["security"] = _security(method, name)
        scope = SCOPES.get(name)
        whom = f"For keys with the scope `{scope}`." if scope else "For signed-in people; no key opens it."
        operation["description"] = f"{operation.get('description', '')}\n\n{whom}".strip()
    for parameter in operation["parameters"]:
        if isinstance(parameter.get("examples"), list):  # JSON Schema's form, which is not a parameter's
            parameter["example"] = parameter.pop("examples")[0]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["schema"].pop("title", None)
    responses = operation["responses"]
    refusals = _refusals(method, operation, has_account)
    for status in [status for status in responses if int(status) in refusals]:
        del responses[status]
    for response in responses.values():
        response["headers"] = _headers(200, operation)
        if links := _links(name, known):
            response["links"] = links
    if name in _CACHED:
        operation["parameters"].append(
            {
                "in": "header",
                "name": "If-None-Match",
                "description": "The `ETag` of an answer that the caller still has.",
                "schema": {"type": "string"},
                "required": False,
            }
        )
        responses[304] = {
            "description": "Nothing has changed since.",
            "headers": _headers(304, operation),
        }
    for status, codes in sorted(refusals.items()):
        name = ".".join([str(status), *sorted(codes)])
        shared.setdefault(name, _refusal(status, sorted(codes), _headers(status)))
        responses[status] = {"$ref": f"#/components/responses/{name}"}


def _security(method: str, name: str) -> list[dict[str, list[str]]]:
    ways: list[dict[str, list[str]]] = [{_TOKEN: []}]
    if scope := SCOPES.get(name):
        ways.append({"Key": [scope], "Sign": [], "Timestamp": [], "Nonce": []})
        ways.append({"Key": [scope], "Sign": []})
        if method == "get":
            ways.append({"TelegramBotKey": [], "TelegramUser": []})
    return ways


def _refusals(method: str, operation: Part, has_account: bool) -> dict[int, list[str]]:
    """Status -> codes: those of the call itself, and those of the door that it stands behind."""
    codes = [
        code
        for status, response in operation["responses"].items()
        if int(status) >= 400  # noqa: PLR2004 - where refusals begin
        for code in response["content"]["application/json"]["schema"].pop(CODES_OF)
    ]
    if has_account:
        codes += ["unauthenticated", "two_factor_required", "account_disabled", "ip_not_allowed", "forbidden"]
        codes += ["rate_limited"]
        if operation["operationId"] in SCOPES or method == "post":
            codes += ["invalid_signature", "replayed_request"]
    if operation["parameters"]:
        codes += ["validation_error"]
    if method == "post":
        codes += ["conflict", "payload_too_large"]
    if "requestBody" in operation:
        codes += ["validation_error"]
    found: dict[int, list[str]] = {}
    for code in [*codes, "internal_error"]:
        names = found.setdefault(CODES[code].status, [])
        if code not in names:
            names.append(code)
    return found


def _refusal(status: int, codes: list[str], headers: Part) -> Part:
    return {
        "description": "\n".join(f"- `{code}`: {CODES[code].en}" for code in codes),
        "headers": headers,
        "content": {
            kind: {
                "schema": {
                    "allOf": [{"$ref": f"#/components/schemas/{model.__name__}"}],
                    "properties": {"code": {"enum": codes}},
                },
                "example": example,
            }
            for kind, model, example in (
                ("application/json", ErrorOut, _example(codes[0])),
                ("application/problem+json", ProblemOut, _problem(status, codes[0])),
            )
        },
    }


def _example(code: str) -> Part:
    return {
        "status": "error",
        "error": CODES[code].en,
        "code": code,
        "detail": "",
        "field_errors": {},
        "request_id": "5f0c2a9b9d0c4c5e8a3b6d1e2f3a4b5c",
    }


def _problem(status: int, code: str) -> Part:
    return {
        "type": f"urn:kauri:error:{code}",
        "title": CODES[code].en,
        "status": status,
        "detail": CODES[code].en,
        "instance": "urn:kauri:request:5f0c2a9b9d0c4c5e8a3b6d1e2f3a4b5c",
        "code": code,
        "field_errors": {},
    }


def _headers(status: int, operation: Part | None = None) -> Part:
    names = ["X-Request-Id"]
    is_cached = operation is not None and operation["operationId"] in _CACHED
    if not is_cached:
        names += ["RateLimit-Policy", "RateLimit"]
    if status == 401:  # noqa: PLR2004 - as RFC 9110 names them
        names.append("WWW-Authenticate")
    elif status == 429:  # noqa: PLR2004
        names.append("Retry-After")
    elif is_cached:
        names.append("ETag")
    elif operation is not None and any(row["name"] == _KEY for row in operation["parameters"]):
        names.append("Idempotency-Replayed")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _links(name: str, known: dict[str, Part]) -> Part:
    found: Part = {}
    for link, (target, taken) in LINKS.get(name, {}).items():
        asked = {row["name"] for row in known[target]["parameters"]}
        if taken.keys() <= asked:
            found[link] = {"operationId": target, "parameters": taken}
        else:
            found[link] = {"operationId": target, "requestBody": taken}
    return found

"""A caller of the old platform: two headers, no time, no nonce. Written from its documentation."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from kauri.account.models import ApiKey, User


def flat(params: dict[str, Any]) -> dict[str, Any]:
    """One level of nesting, as the old documentation describes it."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict):
            found.update({f"{name}_{inner}": item for inner, item in value.items()})
        else:
            found[name] = value
    return found


def key_of(user: User, **fields: Any) -> ApiKey:
    """A key that takes version 1, from the tests' own address."""
    values: dict[str, Any] = {
        "scopes": ["invoice", "read", "trade", "withdraw"],
        "state": "active",
        "secret": "test-api-secret-0001",
        "signature_version": 1,
        "ips": ["127.0.0.1"],
        **fields,
    }
    name = f"old-{user.pk}-{ApiKey.objects.count()}"
    return ApiKey.objects.create(user=user, name=name, key=name, **values)


class OldClient:
    """Signs as version 1 does."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.http = Client()

    def sign(self, method: str, path: str, params: dict[str, Any]) -> str:
        message = f"{method}-{path}-{urlencode(sorted(flat(params).items()))}"
        return hmac.new(self.key.secret.encode(), message.encode(), hashlib.sha256).hexdigest()

    def send(self, method: str, target: str, body: bytes, sign: str, **headers: str) -> Any:
        path, _, query = target.partition("?")
        return self.http.generic(
            method,
            "/",
            body,
            content_type="application/json",
            headers={"Key": self.key.key, "Sign": sign, **headers},
            PATH_INFO=path,
            QUERY_STRING=query,
        )

    def get(self, path: str, **params: Any) -> Any:
        target = f"{path}?{urlencode(params)}" if params else path
        return self.send("GET", target, b"", self.sign("GET", path, params))

    def post(self, path: str, params: dict[str, Any], **headers: str) -> Any:
        body = json.dumps(params).encode()
        return self.send("POST", path, body, self.sign("POST", path, params), **headers)

"""A caller of the API, as the documentation describes one."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from django.test import Client


class ApiClient:
    """Speaks JSON with a token, or signs with a key (version 2)."""

    def __init__(self, token: str = "", key: str = "", secret: str = "") -> None:
        self.http = Client()
        self.token = token
        self.key = key
        self.secret = secret

    def request(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        body = b"" if data is None else json.dumps(data).encode()
        given = self.sign(method, path, body) if self.key else {}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        return self.http.generic(
            method, path, body, content_type="application/json", headers={**given, **headers}
        )

    def sign(self, method: str, target: str, body: bytes, **override: str) -> dict[str, str]:
        path, _, query = target.partition("?")
        timestamp = override.get("timestamp", str(int(time.time() * 1000)))
        nonce = override.get("nonce", uuid.uuid4().hex)
        message = "\n".join([timestamp, nonce, method, path, query, hashlib.sha256(body).hexdigest()])
        signature = hmac.new(self.secret.encode(), message.encode(), hashlib.sha256).hexdigest()
        return {"Key": self.key, "Sign": signature, "Timestamp": timestamp, "Nonce": nonce}

    def get(self, path: str, **headers: str) -> Any:
        return self.request("GET", path, None, **headers)

    def post(self, path: str, data: Any, **headers: str) -> Any:
        return self.request("POST", path, data, **headers)

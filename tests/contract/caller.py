"""The API's document as a test reads it, and the WSGI application behind a signing door."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from backoffice.api import schema
from backoffice.wsgi import application
from kauri.account import tokens
from kauri.account.models import ApiKey, User

SECRET = "test-api-secret-0001"
MARK = "the-contract"


def document() -> dict[str, Any]:
    """The document as it is served."""
    return dict(json.loads(json.dumps(schema(), default=str)))


class Door:
    """The application, to which whoever says ``MARK`` is the test's customer.

    Schemathesis makes its requests before there is a customer; here they get the access token, or the
    signature of the query and the body as they are sent.
    """

    token = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") == f"Bearer {MARK}":
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.token}"
        if environ.get("HTTP_KEY") == MARK:
            environ.update(_signed(environ))
        return application(environ, start_response)

    def opens_to(self, user: User) -> None:
        """From now on ``MARK`` is this customer's token, and the name of their key."""
        self.token = tokens.issue(user)
        ApiKey.objects.create(
            user=user, name=MARK, key=MARK, secret=SECRET, state="active", scopes=list(ApiKey.Scope.values)
        )


def _signed(environ: dict[str, Any]) -> dict[str, Any]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    timestamp, nonce = str(int(time.time() * 1000)), uuid.uuid4().hex
    message = "\n".join(
        [
            timestamp,
            nonce,
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ["QUERY_STRING"],
            hashlib.sha256(body).hexdigest(),
        ]
    )
    sign = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest()
    return {
        "HTTP_SIGN": sign,
        "HTTP_TIMESTAMP": timestamp,
        "HTTP_NONCE": nonce,
        "wsgi.input": io.BytesIO(body),
    }


class Token:
    """Every case carries an access token."""

    header, value = "Authorization", f"Bearer {MARK}"

    def get(self, case: Any, context: Any) -> str:
        del case, context
        return self.value

    def set(self, case: Any, data: str, context: Any) -> None:
        del context
        case.headers = {**(case.headers or {}), self.header: data}


class SignedKey(Token):
    """Every case carries a key, and is signed with it."""

    header, value = "Key", MARK


@contextmanager
def forgotten() -> Iterator[None]:
    """What happens inside is as if it had never been: sessions that ended, passwords that were changed."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)

"""API keys: asked for, confirmed by a code, shown once; and the check of a signed request."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import connection, transaction

from kauri.account import signing
from kauri.account.models import ApiKey, ConfirmationCode, UsedNonce, User
from kauri.account.second_factor import totp_prove
from kauri.account.selectors import key_named
from kauri.account.services import letter
from kauri.common import clock, throttle
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.throttle import Rate, Window
from kauri.core.audit import audit

PURPOSE: Final = "api_key"
CODE_LIFE: Final = timedelta(minutes=15)
MAX_KEYS: Final = 20
#: A key's last use is written so often at most.
USE_NOTED_EVERY: Final = timedelta(minutes=1)
WINDOW_MS: Final = (1000, 60_000)
_NONCE: Final = re.compile(r"[\x21-\x7e]{8,64}")
_USED: Final = (
    " used as (update account_apikey set last_used_at = %s where id = %s"  # noqa: S608 - constants
    " and (last_used_at is null or last_used_at < %s) and exists (select 1 from fresh)),"
    " hits as (" + throttle.COUNT_IF_FRESH + ")"
    " select name, hits from hits union all select '', count(*) from fresh"
)
_NOTE: Final = "with fresh as (select 1)," + _USED
_NOTE_NONCE: Final = (
    "with fresh as (insert into account_usednonce (key_id, nonce, at) values (%s, %s, %s)"  # noqa: S608
    " on conflict (key_id, nonce) do nothing returning 1)," + _USED
)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a customer wants a key to be."""

    name: str
    scopes: list[str]
    ips: list[str] = field(default_factory=list)
    signature_version: int = ApiKey.Signature.V2
    window_ms: int = 5000
    decimals_as_strings: bool = False


@transaction.atomic
def api_key_create(*, user: User, request: KeyRequest, ip: str) -> ApiKey:
    """A pending key; its confirmation code goes out by e-mail.

    Raises ``validation_error`` naming the field, ``limit_exceeded`` (too many keys).
    """
    ips = _checked(request)
    lock(User.objects.filter(pk=user.pk)).get()
    if ApiKey.objects.filter(user=user).exclude(state=ApiKey.State.REVOKED).count() >= MAX_KEYS:
        raise KauriError("limit_exceeded", f"at most {MAX_KEYS} keys")
    key = ApiKey.objects.create(
        user=user,
        name=request.name.strip()[:64] or "API",
        key=secrets.token_hex(20),
        secret=secrets.token_urlsafe(36),
        scopes=sorted(set(request.scopes)),
        ips=ips,
        signature_version=request.signature_version,
        window_ms=request.window_ms,
        decimals_as_strings=request.decimals_as_strings,
    )
    code = f"{secrets.randbelow(10**8):08d}"
    ConfirmationCode.objects.create(
        user=user,
        purpose=PURPOSE,
        subject_id=key.public_id,
        code_hash=make_password(code),
        expires_at=clock.now() + CODE_LIFE,
    )
    audit(
        user.as_actor(ip),
        "api_key_create",
        object_type="api_key",
        object_id=key.public_id,
        label=key.name,
        after={"scopes": key.scopes, "ips": ips, "signature_version": key.signature_version},
    )
    letter(user, "api_key_code", {"code": code, "name": key.name})
    return key


def api_key_verify(
    *, user: User, api_key_id: uuid.UUID, ip: str, code: str = "", totp_code: str = ""
) -> ApiKey:
    """Activate a pending key by the letter's code, or by a one-time code of the account's authenticator.

    The caller shows key and secret, this once. A wrong code of the letter costs one of five tries,
    also when the answer is lost; ``wrong_code`` then, and ``totp_invalid`` for the other.
    """
    if totp_code:
        totp_prove(user, totp_code)
    with transaction.atomic():
        key = lock(ApiKey.objects.filter(public_id=api_key_id, user=user)).first()
        if key is None:
            raise KauriError("not_found")
        if key.state != ApiKey.State.PENDING:
            raise KauriError("wrong_state", "this key was already confirmed or deleted")
        good = bool(totp_code) or _is_the_letters(key, code)
        if good:
            key.state = ApiKey.State.ACTIVE
            key.activated_at = clock.now()
            key.save(update_fields=["state", "activated_at"])
            audit(
                user.as_actor(ip),
                "api_key_verify",
                object_type="api_key",
                object_id=key.public_id,
                label=key.name,
                after={"by": "totp" if totp_code else "letter"},
            )
    if not good:
        raise KauriError("wrong_code")
    return key


def _is_the_letters(key: ApiKey, code: str) -> bool:
    """Whether the letter said this code: used up then, one try less otherwise. In a transaction."""
    stored = lock(
        ConfirmationCode.objects.filter(
            user_id=key.user_id, purpose=PURPOSE, subject_id=key.public_id, used_at__isnull=True
        )
    ).first()
    if stored is None or stored.tries_left == 0 or stored.expires_at <= clock.now():
        return False
    good = check_password(code.strip(), stored.code_hash)
    if good:
        stored.used_at = clock.now()
    else:
        stored.tries_left -= 1
    stored.save(update_fields=["used_at", "tries_left"])
    return good


def _checked(request: KeyRequest) -> list[str]:
    """The addresses in their one spelling; ``validation_error`` for what no key can be."""
    unknown = sorted(set(request.scopes) - set(ApiKey.Scope.values))
    if unknown or not request.scopes:
        raise KauriError(
            "validation_error", fields={"scopes": f"choose from {', '.join(ApiKey.Scope.values)}"}
        )
    if request.signature_version not in ApiKey.Signature.values:
        raise KauriError("validation_error", fields={"signature_version": "1 or 2"})
    least, most = WINDOW_MS
    if not least <= request.window_ms <= most:
        raise KauriError("validation_error", fields={"window_ms": f"{least} to {most}"})
    addresses = []
    for address in request.ips:
        try:
            addresses.append(str(ip_address(address)))
        except ValueError:
            raise KauriError("validation_error", fields={"ips": f"{address} is not an address"}) from None
    return addresses


@transaction.atomic
def api_key_delete(*, user: User, api_key_id: uuid.UUID, ip: str) -> ApiKey:
    """Stop a key for ever; a second deletion changes nothing."""
    key = lock(ApiKey.objects.filter(public_id=api_key_id, user=user)).first()
    if key is None:
        raise KauriError("not_found")
    if key.state != ApiKey.State.REVOKED:
        key.state = ApiKey.State.REVOKED
        key.revoked_at = clock.now()
        key.save(update_fields=["state", "revoked_at"])
        audit(
            user.as_actor(ip),
            "api_key_delete",
            object_type="api_key",
            object_id=key.public_id,
            label=key.name,
        )
    return key


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signed request says of itself, and where it came from."""

    key: str
    signature: str
    timestamp: str
    nonce: str
    method: str
    path: str
    query: str
    body: bytes
    ip: str

    @property
    def version(self) -> int:
        """Version 1 knows neither time nor nonce; either of them makes it version 2."""
        return 2 if self.timestamp or self.nonce else 1

    def message(self) -> bytes | None:
        """What its sender signed; None when such a request can't be signed."""
        if self.version == ApiKey.Signature.V2:
            return signing.string_to_sign(
                timestamp=self.timestamp,
                nonce=self.nonce,
                method=self.method,
                path=self.path,
                query=self.query,
                body=self.body,
            )
        try:
            return signing.string_to_sign_v1(
                method=self.method, path=self.path, query=self.query, body=self.body
            )
        except signing.Unsignable:
            return None


@dataclass(frozen=True, slots=True)
class Admission:
    """The key behind a request, and what is left of its rates; ``is_white``: from an address that
    its owner has listed."""

    key: ApiKey
    window: Window
    is_white: bool


def authenticate(request: SignedRequest, rates: Callable[[ApiKey], Sequence[Rate]]) -> Admission:
    """The active key behind a signed request. Two statements: one reads the key, one writes that it was used.

    Order matters: signature before time window before nonce and rates, so that a forger learns
    nothing and burns neither. The caller looks at the window. Raises ``invalid_signature``,
    ``replayed_request``, ``ip_not_allowed``, ``account_disabled``.
    """
    named = key_named(request.key, request.ip)
    key, account_allows, account_lists = named or (None, False, False)
    message = request.message()
    # An unknown key costs the same work and gets the same answer as a wrong signature.
    good = signing.matches(key.secret if key else "no such key", message or b"", request.signature)
    if key is None or not good or message is None or key.state != ApiKey.State.ACTIVE:
        raise KauriError("invalid_signature")
    if request.version < key.signature_version:
        raise KauriError("invalid_signature", "this key signs by version 2")
    if request.version == ApiKey.Signature.V2:
        _in_time(request, key)
    if not account_allows or (key.ips and request.ip not in key.ips):
        raise KauriError("ip_not_allowed")
    if not key.user.is_active:
        raise KauriError("account_disabled")
    return Admission(key, _note(request, key, rates(key)), is_white=bool(key.ips) or account_lists)


def nonces_forget() -> int:
    """Delete nonces that no time window could accept any more."""
    deleted, _ = UsedNonce.objects.filter(at__lt=clock.now() - timedelta(minutes=5)).delete()
    return deleted


def _in_time(request: SignedRequest, key: ApiKey) -> None:
    if not (request.timestamp.isascii() and request.timestamp.isdigit() and _NONCE.fullmatch(request.nonce)):
        raise KauriError("replayed_request", "Timestamp is in ms, Nonce has 8 to 64 printable characters")
    sent = datetime.fromtimestamp(min(int(request.timestamp[:20]), 10**14) / 1000, tz=UTC)
    if abs(clock.now() - sent) > timedelta(milliseconds=key.window_ms):
        raise KauriError("replayed_request", "outside the time window")


def _note(request: SignedRequest, key: ApiKey, rates: Sequence[Rate]) -> Window:
    """Use up the nonce (version 2), count the request, note the key's use: all or nothing, in one statement."""
    now = clock.now()
    in_redis = bool(settings.KAURI.redis_url)
    used: list[Any] = [now, key.pk, now - USE_NOTED_EVERY]
    counted = throttle.counted([] if in_redis else rates)
    with connection.cursor() as cursor:
        if request.version == ApiKey.Signature.V2:
            cursor.execute(_NOTE_NONCE, [key.pk, request.nonce, now, *used, *counted])
        else:
            cursor.execute(_NOTE, [*used, *counted])
        hits = dict(cursor.fetchall())
    if not hits.pop(""):
        raise KauriError("replayed_request", "this nonce was used")
    return throttle.hit_all(rates) if in_redis else throttle.tightest(rates, hits)

"""API keys: asked for, confirmed by a code, shown once; and the check of a signed request."""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from django.contrib.auth.hashers import check_password, make_password
from django.db import IntegrityError, transaction

from kauri.account import signing
from kauri.account.models import ApiKey, ConfirmationCode, UsedNonce, User
from kauri.account.services import letter
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit

PURPOSE: Final = "api_key"
CODE_LIFE: Final = timedelta(minutes=15)
MAX_KEYS: Final = 20
_NONCE: Final = re.compile(r"[\x21-\x7e]{8,64}")


@transaction.atomic
def api_key_create(*, user: User, name: str, scopes: list[str], ips: list[str], ip: str) -> ApiKey:
    """A pending key; its confirmation code goes out by e-mail."""
    unknown = sorted(set(scopes) - set(ApiKey.Scope.values))
    if unknown or not scopes:
        raise KauriError(
            "validation_error", fields={"scopes": f"choose from {', '.join(ApiKey.Scope.values)}"}
        )
    for address in ips:
        try:
            ip_address(address)
        except ValueError:
            raise KauriError("validation_error", fields={"ips": f"{address} is not an address"}) from None
    lock(User.objects.filter(pk=user.pk)).get()
    if ApiKey.objects.filter(user=user).exclude(state=ApiKey.State.REVOKED).count() >= MAX_KEYS:
        raise KauriError("limit_exceeded", f"at most {MAX_KEYS} keys")
    key = ApiKey.objects.create(
        user=user,
        name=name.strip()[:64] or "API",
        key=secrets.token_hex(20),
        secret=secrets.token_urlsafe(36),
        scopes=sorted(set(scopes)),
        ips=ips,
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
        after={"scopes": key.scopes, "ips": ips},
    )
    letter(user, "api_key_code", {"code": code, "name": key.name})
    return key


def api_key_verify(*, user: User, api_key_id: uuid.UUID, code: str, ip: str) -> ApiKey:
    """Activate a pending key with its code; the caller shows key and secret, this once.

    A wrong code costs one of five tries, also when the answer is lost; ``wrong_code`` then.
    """
    with transaction.atomic():
        key = lock(ApiKey.objects.filter(public_id=api_key_id, user=user)).first()
        if key is None:
            raise KauriError("not_found")
        if key.state != ApiKey.State.PENDING:
            raise KauriError("wrong_state", "this key was already confirmed or deleted")
        stored = lock(
            ConfirmationCode.objects.filter(
                user=user, purpose=PURPOSE, subject_id=key.public_id, used_at__isnull=True
            )
        ).first()
        alive = stored is not None and stored.tries_left > 0 and stored.expires_at > clock.now()
        right = stored is not None and alive and check_password(code.strip(), stored.code_hash)
        if stored is not None and right:
            now = clock.now()
            stored.used_at = now
            stored.save(update_fields=["used_at"])
            key.state = ApiKey.State.ACTIVE
            key.activated_at = now
            key.save(update_fields=["state", "activated_at"])
            audit(
                user.as_actor(ip),
                "api_key_verify",
                object_type="api_key",
                object_id=key.public_id,
                label=key.name,
            )
        elif stored is not None and alive:
            stored.tries_left -= 1
            stored.save(update_fields=["tries_left"])
    if not right:
        raise KauriError("wrong_code")
    return key


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


def authenticate(
    *,
    key_text: str,
    signature: str,
    timestamp: str,
    nonce: str,
    method: str,
    path: str,
    query: str,
    body: bytes,
    ip: str,
) -> ApiKey:
    """The active key behind a signed request (version 2).

    Order matters: signature before time window before nonce, so that a forger learns nothing and
    burns no nonce. Raises ``invalid_signature``, ``replayed_request``, ``ip_not_allowed``,
    ``account_disabled``.
    """
    key = ApiKey.objects.select_related("user").filter(key=key_text).first()
    message = signing.string_to_sign(
        timestamp=timestamp, nonce=nonce, method=method, path=path, query=query, body=body
    )
    # An unknown key costs the same work and gets the same answer as a wrong signature.
    good = signing.matches(key.secret if key else "no such key", message, signature)
    if key is None or not good or key.state != ApiKey.State.ACTIVE:
        raise KauriError("invalid_signature")
    if not timestamp.isdigit() or not _NONCE.fullmatch(nonce):
        raise KauriError("replayed_request", "Timestamp is in ms, Nonce has 8 to 64 printable characters")
    sent = datetime.fromtimestamp(min(int(timestamp), 10**14) / 1000, tz=UTC)
    if abs(clock.now() - sent) > timedelta(milliseconds=key.window_ms):
        raise KauriError("replayed_request", "outside the time window")
    if key.ips and ip not in key.ips:
        raise KauriError("ip_not_allowed")
    if not key.user.is_active:
        raise KauriError("account_disabled")
    now = clock.now()
    try:
        with transaction.atomic():
            UsedNonce.objects.create(key=key, nonce=nonce, at=now)
    except IntegrityError:
        raise KauriError("replayed_request", "this nonce was used") from None
    if key.last_used_at is None or now - key.last_used_at > timedelta(minutes=1):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def nonces_forget() -> int:
    """Delete nonces that no time window could accept any more."""
    deleted, _ = UsedNonce.objects.filter(at__lt=clock.now() - timedelta(minutes=5)).delete()
    return deleted

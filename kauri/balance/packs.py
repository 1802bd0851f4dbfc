"""The signed trial balance of a closed period: what it says, its signature, and how to check it.

The body is exact JSON with sorted keys and no spaces; amounts are plain decimal strings. The signature is Ed25519 (RFC 8032)
over the body's UTF-8 bytes, so any tool can check it against the public key that the house made known.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import zipfile
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from kauri.balance.chart import CHART
from kauri.balance.models import LedgerDay, Period, TrialBalancePack
from kauri.balance.selectors import trial_balance
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import ZERO, plain


def signing_key() -> Ed25519PrivateKey:
    """The house's key from ``KAURI_BOOKS_KEY``. Raises ``wrong_state`` where there is none."""
    if not settings.KAURI.books_key:
        raise KauriError("wrong_state", "KAURI_BOOKS_KEY is not set: nothing could sign the trial balance")
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.KAURI.books_key))


def sign(period: Period, key: Ed25519PrivateKey) -> TrialBalancePack:
    """Write and sign the period's pack."""
    body = json.dumps(_content(period), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return TrialBalancePack.objects.create(
        period=period,
        body=body,
        signature=key.sign(body.encode()),
        public_key=key.public_key().public_bytes_raw(),
        created_at=clock.now(),
    )


def is_genuine(body: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether ``body`` is what the owner of ``public_key`` signed."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, body)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def archive(pack: TrialBalancePack) -> bytes:
    """The pack as a ZIP: trial balance (JSON and CSV), signature and public key (base64)."""
    content = json.loads(pack.body)
    lines = ["currency,kind,account,opening,change,closing"]
    lines += [
        f"{row['currency']},{row['kind']},{row['account']},{row['opening']},{row['change']},{row['closing']}"
        for row in content["totals"]
    ]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive_file:
        archive_file.writestr("trial_balance.json", pack.body)
        archive_file.writestr("trial_balance.csv", "\n".join(lines) + "\n")
        archive_file.writestr("trial_balance.json.sig", base64.b64encode(bytes(pack.signature)))
        archive_file.writestr("public_key", base64.b64encode(bytes(pack.public_key)))
    return out.getvalue()


def _content(period: Period) -> dict[str, Any]:
    """Signed sums by currency and kind at both ends, days with their digests, and the pack before."""
    # As of the last microsecond of the period: ends_at itself belongs to the next one.
    last = period.ends_at - timedelta(microseconds=1)
    closing = {(row.currency.code, row.kind): row.amount for row in trial_balance(last)}
    earlier = Period.objects.filter(ends_at__lte=period.starts_at).order_by("-ends_at").first()
    if earlier is None:
        opening = dict.fromkeys(closing, ZERO)
    else:
        moment = period.starts_at - timedelta(microseconds=1)
        opening = {(row.currency.code, row.kind): row.amount for row in trial_balance(moment)}
    days = LedgerDay.objects.filter(day__gte=period.starts_at.date(), day__lt=period.ends_at.date())
    return {
        "title": "Trial balance",
        "period": {"from": clock.iso(period.starts_at), "until": clock.iso(period.ends_at)},
        "closed_at": clock.iso(period.closed_at),
        "closed_by": period.actor,
        "totals": [
            {
                "currency": code,
                "kind": int(kind),
                "account": kind.name.lower(),
                "normal": CHART[kind].normal,
                "opening": plain(opening[code, kind]),
                "change": plain(closing[code, kind] - opening[code, kind]),
                "closing": plain(closing[code, kind]),
            }
            for code, kind in closing
            if closing[code, kind] or opening[code, kind]
        ],
        "days": [
            {
                "day": row.day.isoformat(),
                "entries": row.entries,
                "transfers": row.transfers,
                "digest": bytes(row.digest).hex(),
            }
            for row in days.order_by("day")
        ],
        "previous_sha256": None if earlier is None else _sha256(earlier.pack),
    }


def _sha256(pack: TrialBalancePack) -> str:
    return hashlib.sha256(pack.body.encode()).hexdigest()

"""The audit can be proven: entries are sealed into a chain of keyed digests, and the chain is proven on schedule.

A trigger notes every entry as waiting in the transaction that writes it; the sealer takes what has
committed, so that no writer waits for another. What was changed, taken out, put in behind the trigger's
back or cut off the end is found and named by :func:`audit_verify`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from kauri.common import clock
from kauri.common.ids import ledger_key
from kauri.common.locks import advisory, claim
from kauri.core.models import AuditBlock, AuditCheck, AuditEntry, AuditKey, AuditPending
from kauri.core.outbox import emit

logger = logging.getLogger(__name__)

BLOCK: Final = 500
#: Blocks that one run makes at most: the next run goes on.
_RUN: Final = 200
#: An entry that waits for longer is a finding: nobody seals.
LATE: Final = timedelta(minutes=15)
#: Findings that are kept of each kind; the rest is counted.
_NAMED: Final = 20
_MARK: Final = 32
_FIELDS: Final = (
    "verb",
    "object_type",
    "object_id",
    "object_label",
    "before",
    "after",
    "reason",
    "ip",
    "actor_kind",
    "actor_id",
    "actor_label",
    "request_id",
)


def audit_seal() -> int:
    """Put entries that wait into blocks; how many entries. One sealer at a time."""
    sealed = 0
    for _number in range(_RUN):
        with transaction.atomic():
            advisory("audit", "seal")
            waiting = claim(AuditPending.objects.order_by("entry_id"), limit=BLOCK)
            if not waiting:
                break
            ids = [row.entry_id for row in waiting]
            rows = AuditEntry.objects.in_bulk(ids)
            key, last = _key(), AuditBlock.objects.order_by("-seq").first()
            there = [pk for pk in ids if pk in rows]
            marks = [_mark(key, rows[pk]) for pk in there]
            if there:
                AuditBlock.objects.create(
                    seq=1 if last is None else last.seq + 1,
                    entries=there,
                    marks=marks,
                    digest=_link(key, "" if last is None else last.digest, there, marks),
                )
            AuditPending.objects.filter(pk__in=ids).delete()
        sealed += len(there)
        if len(ids) < BLOCK:
            break
    return sealed


def audit_verify() -> AuditCheck:
    """Prove the whole chain, keep the result, and alert when something is not as it was written."""
    started = clock.now()
    with transaction.atomic():
        if not connection.savepoint_ids:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read")
        before = AuditCheck.objects.order_by("-blocks", "-id").first()
        findings, blocks, entries, head = _walked(before)
        findings += _outside(started)
        check = AuditCheck.objects.create(
            started_at=started,
            finished_at=clock.now(),
            is_clean=not findings,
            findings=findings,
            entries=entries,
            blocks=blocks,
            head=head,
        )
        if findings:
            emit(
                "audit.broken",
                subject_type="audit_check",
                subject_id=ledger_key("audit_check", check.pk),
                payload={"laws": [finding["law"] for finding in findings], "check": check.pk},
            )
    # Logs leave the house: an end of the chain that was seen there can't be cut off unseen.
    logger.info("audit: %s entries in %s blocks, end of the chain %s", entries, blocks, head)
    return check


def _walked(before: AuditCheck | None) -> tuple[list[dict[str, Any]], int, int, str]:
    """Every block against its entries and the block before it."""
    key, previous, expected, entries = _key(), "", 1, 0
    changed: list[int] = []
    gone: list[int] = []
    torn: list[int] = []
    was: str | None = None
    for block in AuditBlock.objects.order_by("seq").iterator(chunk_size=50):
        if block.seq != expected or _link(key, previous, block.entries, block.marks) != block.digest:
            torn.append(block.seq)
        rows = AuditEntry.objects.in_bulk(block.entries)
        gone += [pk for pk in block.entries if pk not in rows]
        changed += [
            pk
            for pk, mark in zip(block.entries, block.marks, strict=True)
            if pk in rows and not hmac.compare_digest(_mark(key, rows[pk]), mark)
        ]
        previous, expected, entries = block.digest, block.seq + 1, entries + len(block.entries)
        if before is not None and block.seq == before.blocks:
            was = block.digest
    findings = [
        *_finding("entries that are not as they were written", changed),
        *_finding("entries that are gone", gone),
        *_finding("blocks that do not follow the one before", torn),
    ]
    # An empty chain has no end to compare.
    if before is not None and before.blocks and was != before.head:
        findings += _finding("the chain does not go on from where it was proven", [before.blocks])
    return findings, expected - 1, entries, previous


def _outside(now: datetime) -> list[dict[str, Any]]:
    """Entries that came past the trigger, that stand in two blocks, or that nobody seals."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from core_auditentry except select entry_id from core_auditpending"
            " except select unnest(entries) from core_auditblock order by 1"
        )
        behind = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "select id from (select unnest(entries) as id from core_auditblock) b"
            " group by id having count(*) > 1 order by id"
        )
        twice = [row[0] for row in cursor.fetchall()]
    late = list(
        AuditEntry.objects.filter(pk__in=AuditPending.objects.values("pk"), at__lt=now - LATE)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    return [
        *_finding("entries that came past the trigger", behind),
        *_finding("entries that stand in two blocks", twice),
        *_finding("entries that nobody seals", late),
    ]


def _finding(law: str, rows: list[int]) -> Iterator[dict[str, Any]]:
    if rows:
        yield {"law": law, "count": len(rows), "rows": rows[:_NAMED]}


def _key() -> bytes:
    row, _made = AuditKey.objects.get_or_create(pk=1, defaults={"secret": secrets.token_hex(32)})
    return bytes.fromhex(row.secret)


def _mark(key: bytes, entry: AuditEntry) -> str:
    """The digest of an entry's whole row."""
    values = [entry.pk, entry.at.isoformat(), *(getattr(entry, name) for name in _FIELDS)]
    text = json.dumps(values, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_MARK]


def _link(key: bytes, previous: str, ids: list[int], marks: list[str]) -> str:
    text = json.dumps([previous, ids, marks], separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

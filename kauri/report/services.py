"""Reports: asked for, made by a worker, kept, taken by those who may."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import translation

from kauri.account.models import User
from kauri.account.selectors import require_permission, require_scope, scope_of
from kauri.balance.selectors import known, settled
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.scopes import Scope
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.report import renderers
from kauri.report.definition import SINCE, Definition
from kauri.report.definitions import DEFINITIONS
from kauri.report.models import ReportDownload, ReportRun

TASK: Final = "kauri.report.tasks.report_make"
LEASE: Final = timedelta(minutes=10)
MAX_ATTEMPTS: Final = 3
_SECOND: Final = timedelta(seconds=1)


@transaction.atomic
def report_request(
    *,
    definition: str,
    file_format: str,
    as_of: datetime,
    language: str,
    user: User,
    actor: Actor,
    parameters: Mapping[str, str] | None = None,
) -> ReportRun:
    """Ask for a report as of a past or the present moment; a worker makes it.

    ``parameters``: those that the definition names, all of them and no other.
    """
    require_permission(actor, "report.request_report")
    scope = scope_of(actor)
    if definition not in DEFINITIONS:
        raise KauriError("validation_error", fields={"definition": "unknown report"})
    if file_format not in ReportRun.Format.values:
        raise KauriError("validation_error", fields={"format": "pdf or xlsx"})
    now = clock.now()
    if as_of.tzinfo is None or as_of > now + _SECOND:
        raise KauriError("validation_error", fields={"as_of": "a past moment with its time zone"})
    as_of = known(min(as_of, now))
    kept = _parameters(DEFINITIONS[definition], parameters or {}, as_of)
    DEFINITIONS[definition].read(kept, scope)
    run = ReportRun.objects.create(
        definition=definition,
        parameters=kept,
        format=file_format,
        as_of=as_of,
        language=language,
        requested_by=user,
        scope=scope.key,
    )
    audit(
        actor,
        "report_request",
        object_type="report",
        object_id=run.public_id,
        label=definition,
        after={"format": file_format, "as_of": as_of.isoformat(), **kept},
    )
    enqueue(TASK, run.pk)
    return run


def _parameters(definition: Definition, given: Mapping[str, str], as_of: datetime) -> dict[str, str]:
    """What is kept of ``given``. Raises ``validation_error`` with each fault, ``moment_unknown``."""
    taken = {parameter.name: parameter for parameter in definition.parameters}
    faults = {name: "this report does not take it" for name in given if name not in taken}
    kept: dict[str, str] = {}
    for name, parameter in taken.items():
        kept[name] = given.get(name, "").strip()
        if not kept[name]:
            faults[name] = "required"
            continue
        try:
            parameter.read(kept[name])
        except KauriError as error:
            faults.update(error.fields)
    if SINCE.name in kept and SINCE.name not in faults:
        since: datetime = SINCE.read(kept[SINCE.name])
        kept[SINCE.name] = since.isoformat()
        if since > as_of:
            faults[SINCE.name] = "after the period's end"
    if faults:
        raise KauriError("validation_error", fields=faults)
    if SINCE.name in kept:
        # People ask in whole seconds: the second in which the books begin counts as known.
        known(min(SINCE.read(kept[SINCE.name]) + _SECOND, as_of))
    return kept


def report_make(run_id: int) -> None:
    """Make a claimed report: figures in one snapshot, file written whole, then shown as ready."""
    run = _claimed(run_id)
    if run is None:
        return
    definition = DEFINITIONS[run.definition]
    try:
        settled(run.as_of)
        with translation.override(run.language):
            with transaction.atomic():
                if not connection.savepoint_ids:
                    with connection.cursor() as cursor:
                        cursor.execute("set transaction isolation level repeatable read, read only")
                content = definition.content(run.as_of, run.parameters, Scope.parsed(run.scope))
            _progress(run, 40)
            data = (
                renderers.to_pdf(content)
                if run.format == ReportRun.Format.PDF
                else renderers.to_xlsx(content)
            )
    except renderers.TooLong as exc:
        _fail(run, str(exc))
        return
    name = f"{run.definition}-{run.as_of:%Y%m%dT%H%M%SZ}-{run.public_id.hex[-8:]}.{run.format}"
    _write(name, data)
    with transaction.atomic():
        row = lock(ReportRun.objects.filter(pk=run.pk)).get()
        row.state = ReportRun.State.READY
        row.progress = 100
        row.file_name = name
        row.file_size = len(data)
        row.file_sha256 = hashlib.sha256(data).hexdigest()
        row.totals = content.totals
        row.lease_until = None
        row.error = ""
        row.finished_at = clock.now()
        row.save()


def report_open(*, run_id: uuid.UUID, user: User, ip: str) -> Path:
    """The file of a ready report, for one who may have it; the download is recorded.

    Raises ``not_found``, ``wrong_state`` (not ready), ``forbidden``, ``internal_error`` when the
    stored file is not the one that was made.
    """
    actor = user.as_actor(ip)
    require_permission(actor, "report.download_report")
    run = ReportRun.objects.filter(public_id=run_id).first()
    if run is None:
        raise KauriError("not_found")
    require_scope(actor, run)
    if run.state != ReportRun.State.READY:
        raise KauriError("wrong_state", "the report is not ready")
    path = Path(settings.FILES_DIR) / run.file_name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != run.file_sha256:
        raise KauriError("internal_error", "the stored file is not the one that was made")
    with transaction.atomic():
        ReportDownload.objects.create(run=run, user=user, ip=ip or None)
        audit(actor, "report_download", object_type="report", object_id=run.public_id, label=run.file_name)
    return path


def reports_sweep() -> int:
    """Enqueue reports whose maker died; after three tries give up and say so."""
    now = clock.now()
    stale = ReportRun.objects.filter(state__in=[ReportRun.State.WAITING, ReportRun.State.RUNNING]).exclude(
        lease_until__gt=now
    )
    for run in stale.filter(created_at__lt=now - timedelta(seconds=10))[:50]:
        if run.attempts >= MAX_ATTEMPTS:
            _fail(run, "the worker failed three times")
        else:
            enqueue(TASK, run.pk)
    return len(stale)


def _claimed(run_id: int) -> ReportRun | None:
    with transaction.atomic():
        now = clock.now()
        rows = claim(
            ReportRun.objects.filter(
                pk=run_id,
                state__in=[ReportRun.State.WAITING, ReportRun.State.RUNNING],
                attempts__lt=MAX_ATTEMPTS,
            ).exclude(lease_until__gt=now)
        )
        if not rows:
            return None
        run = rows[0]
        run.state = ReportRun.State.RUNNING
        run.attempts += 1
        run.progress = 10
        run.lease_until = now + LEASE
        run.save(update_fields=["state", "attempts", "progress", "lease_until"])
        return run


def _progress(run: ReportRun, percent: int) -> None:
    ReportRun.objects.filter(pk=run.pk).update(progress=percent)


def _fail(run: ReportRun, error: str) -> None:
    ReportRun.objects.filter(pk=run.pk).update(
        state=ReportRun.State.FAILED, error=error[:300], lease_until=None, finished_at=clock.now()
    )


def _write(name: str, data: bytes) -> None:
    """Whole or not at all: written beside and renamed."""
    folder = Path(settings.FILES_DIR)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / f".{name}.part"
    part.write_bytes(data)
    part.chmod(0o600)
    os.replace(part, folder / name)

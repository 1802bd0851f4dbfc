"""Long lists as files: asked for, written by a worker in turns, kept a week, taken by their asker alone.

Which rows it is about is found once and kept as keys; what they hold is read turn by turn, through the
list as its asker sees it then. Who lost the right meanwhile, or whose limits changed, gets no file.
How a list is read is known to the shell, which hands it in at its start (:func:`read_lists`).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import translation

from kauri.account.models import User
from kauri.account.selectors import require_permission, require_scope, scope_of
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import LANGUAGES, KauriError
from kauri.common.locks import advisory, claim, lock
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.report.models import MAX_EXPORT_ROWS, ListExport
from kauri.report.sheets import SHEETS, Draft

PERMISSION: Final = "report.export_list"
TASK: Final = "kauri.report.tasks.export_write"
#: One turn, in seconds: letters and webhooks wait for the same worker.
TURN: Final = 10
#: Longer than any task may run: who is silent for so long is dead.
LEASE: Final = timedelta(minutes=3)
#: A task that was lost is missed after this.
PATIENCE: Final = timedelta(minutes=1)
KEPT: Final = timedelta(days=7)
MAX_RESTARTS: Final = 2
#: An operator's exports that have not ended: one is written, the others wait for it.
AT_MOST: Final = 5
_CHUNK: Final = 500
_HOUR: Final = timedelta(hours=1)

Row = tuple[str, ...]


class OpenList(Protocol):
    """A list as one operator sees it now."""

    def titles(self) -> Row:
        """The titles of its columns."""

    def keys(self, limit: int) -> Iterator[str]:
        """The primary keys of its rows, in its order, at most so many."""

    def rows(self, keys: Sequence[str]) -> Iterator[Row]:
        """The cells of the rows of these keys, in their order; without those that are not in the list any more."""


class Lists(Protocol):
    """What the shell knows of lists."""

    def may(self, user: User, list_name: str) -> bool:
        """Whether there is such a list, and the user may see it."""

    def open(self, user: User, list_name: str, query: str) -> OpenList:
        """The list; ``validation_error`` for a query that it does not know."""


class Stopped(Exception):
    """Cancelled, or gone on with by somebody else."""


_LISTS: Final[list[Lists]] = []


def read_lists(lists: Lists) -> None:
    """Say once, at the start, how lists are read."""
    _LISTS[:] = [lists]


@transaction.atomic
def export_request(
    *, list_name: str, query: str, file_format: str, language: str, user: User, actor: Actor
) -> ListExport:
    """Ask for a list as a file; a worker writes it. Nothing is counted here.

    One of an operator's exports is written at a time: the others wait for those before them. Raises
    ``forbidden``, ``validation_error``, ``too_many_exports`` (:data:`AT_MOST` that have not ended).
    """
    require_permission(actor, PERMISSION)
    _demand(user, list_name)
    longest = ListExport._meta.get_field("query").max_length or 0
    if file_format not in SHEETS or len(query) > longest:
        raise KauriError("validation_error", fields={"format": "csv or xlsx", "query": f"up to {longest}"})
    advisory("list_export", user.pk)
    ahead = ListExport.objects.filter(requested_by=user, state__in=ListExport.BUSY).count()
    if ahead >= AT_MOST:
        raise KauriError("too_many_exports", f"at most {AT_MOST} at once")
    export = ListExport.objects.create(
        requested_by=user,
        scope=scope_of(actor).key,
        list_name=list_name,
        query=query,
        format=file_format,
        language=language if language in LANGUAGES else "en",
        due_at=clock.now() + PATIENCE,
    )
    _record(actor, "list_export_ask", export)
    if not ahead:
        enqueue(TASK, export.pk, 0)
    return export


def place_of(export: ListExport) -> int:
    """How many exports of its asker are written before this one; 0 for the one whose turn it is."""
    return _before(export.requested_by_id, export.pk).count() if export.state in ListExport.BUSY else 0


@transaction.atomic
def export_cancel(*, export_id: uuid.UUID, actor: Actor) -> ListExport:
    """Stop one's own export, also one that waits for others. Raises ``not_found``, ``wrong_state`` (it has ended)."""
    rows = ListExport.objects.filter(public_id=export_id, requested_by=int(actor.id))
    export = lock(rows).first() if actor.is_operator else None
    if export is None:
        raise KauriError("not_found")
    if export.state not in ListExport.BUSY:
        raise KauriError("wrong_state", "it has ended already")
    export.state = ListExport.State.CANCELLED
    export.finished_at = clock.now()
    export.save(update_fields=["state", "finished_at"])
    _record(actor, "list_export_cancel", export)
    _start_next(export)
    transaction.on_commit(_draft(export).discard)
    return export


def export_open(*, export_id: uuid.UUID, user: User, ip: str) -> Path:
    """The file of one's own finished export; the download is on record.

    Raises ``not_found`` (somebody else's, or made when the asker saw more than now), ``forbidden``,
    ``wrong_state`` (not ready, or its time is over), ``internal_error`` when the file is not the one that was made.
    """
    actor = user.as_actor(ip)
    require_permission(actor, PERMISSION)
    export = ListExport.objects.filter(public_id=export_id, requested_by=user).first()
    if export is None:
        raise KauriError("not_found")
    require_scope(actor, export)
    _demand(user, export.list_name)
    if export.state != ListExport.State.READY:
        raise KauriError("wrong_state", "there is no file")
    path = folder() / export.file_name
    if not path.is_file() or _digest(path) != export.file_sha256:
        raise KauriError("internal_error", "the stored file is not the one that was made")
    with transaction.atomic():
        _record(actor, "list_export", export)
    return path


def export_write(export_id: int, rows_read: int) -> None:
    """One turn of a claimed export; then the queue is others' until the next one."""
    export = _claimed(export_id, rows_read)
    if export is None:
        return
    draft = _draft(export)
    with draft.alone() as is_alone:
        if not is_alone:
            return
        try:
            with translation.override(export.language):
                is_whole = _turn(export, draft)
            if is_whole:
                _finish(export, draft)
            else:
                _hand_over(export)
        except KauriError as error:
            _fail(export, error.code)
            draft.discard()
        except (Stopped, FileNotFoundError):
            # Cancelled, with the files taken away under it; what is only lost is made anew after the lease.
            if not ListExport.objects.filter(pk=export.pk, state__in=ListExport.BUSY).exists():
                draft.discard()


def exports_sweep() -> int:
    """Go on with exports whose worker died; remove files whose time is over. How many had nobody."""
    now = clock.now()
    stale = ListExport.objects.filter(
        ~Exists(_before(OuterRef("requested_by"), OuterRef("pk"))), state__in=ListExport.BUSY, due_at__lte=now
    ).order_by("due_at")[:50]
    for export in stale:
        with transaction.atomic():
            ListExport.objects.filter(pk=export.pk, lease__isnull=True).update(due_at=now + PATIENCE)
            enqueue(TASK, export.pk, export.rows_read)
    over = ListExport.objects.filter(state=ListExport.State.READY, expires_at__lte=now)
    for export in over[:50]:
        over.filter(pk=export.pk).update(state=ListExport.State.EXPIRED, file_name="")
        (folder() / export.file_name).unlink(missing_ok=True)
    _tidy()
    return len(stale)


def folder() -> Path:
    return Path(settings.FILES_DIR) / "exports"


def _turn(export: ListExport, draft: Draft) -> bool:
    """Write rows for a while; whether all are written."""
    found = _opened(export)
    sheet = SHEETS[export.format]
    if export.rows_total is None or not draft.has(export.part_size):
        count = draft.find(found.keys(MAX_EXPORT_ROWS + 1))
        if count > MAX_EXPORT_ROWS:
            raise KauriError("too_many_rows")
        size = draft.put(0, sheet.head(found.titles()))
        _note(export, rows_total=count, rows_read=0, rows_done=0, part_size=size)
    ends = time.monotonic() + TURN
    for keys in draft.chunks(export.rows_read, _CHUNK):
        rows = list(found.rows(keys))
        size = draft.put(export.part_size, b"".join(map(sheet.row, rows)))
        _note(
            export,
            rows_read=export.rows_read + len(keys),
            rows_done=export.rows_done + len(rows),
            part_size=size,
        )
        if time.monotonic() >= ends:
            break
    return export.rows_read == export.rows_total


def _opened(export: ListExport) -> OpenList:
    """The list with its asker's rights and limits as they are now."""
    user = User.objects.get(pk=export.requested_by_id)
    actor = user.as_actor()
    require_permission(actor, PERMISSION)
    _demand(user, export.list_name)
    if scope_of(actor).key != export.scope:
        raise KauriError("scope_changed")
    return _LISTS[0].open(user, export.list_name, export.query)


def _demand(user: User, list_name: str) -> None:
    if not _LISTS[0].may(user, list_name):
        raise KauriError("forbidden", f"{user.email} does not see {list_name}")


def _finish(export: ListExport, draft: Draft) -> None:
    _note(export)
    model = export.list_name.partition("?")[0].rpartition(".")[2]
    name = f"{model}-{export.created_at:%Y%m%dT%H%M%SZ}-{export.public_id.hex[-8:]}.{export.format}"
    path = folder() / name
    # A worker that died in the middle of this may have written an end already.
    draft.put(export.part_size, b"")
    SHEETS[export.format].finish(draft.part, path)
    now = clock.now()
    size, digest = path.stat().st_size, _digest(path)
    with transaction.atomic():
        done = _held(export).update(
            state=ListExport.State.READY,
            lease=None,
            file_name=name,
            file_size=size,
            file_sha256=digest,
            finished_at=now,
            expires_at=now + KEPT,
        )
        if done:
            _start_next(export)
    if not done:
        path.unlink()
        raise Stopped
    draft.discard()


def _claimed(export_id: int, rows_read: int) -> ListExport | None:
    """The export, if it is its turn, nobody has it and it stands where the task was told: a doubled task does nothing."""
    with transaction.atomic():
        now = clock.now()
        free = Q(lease__isnull=True) | Q(due_at__lte=now)
        rows = claim(
            ListExport.objects.filter(
                free,
                ~Exists(_before(OuterRef("requested_by"), OuterRef("pk"))),
                pk=export_id,
                rows_read=rows_read,
                state__in=ListExport.BUSY,
            )
        )
        if not rows:
            return None
        export = rows[0]
        export.restarts += export.lease is not None
        export.state = ListExport.State.RUNNING
        export.lease = uuid.uuid4()
        export.due_at = now + LEASE
        export.save(update_fields=["restarts", "state", "lease", "due_at"])
    if export.restarts > MAX_RESTARTS:
        _fail(export, "internal_error")
        _draft(export).discard()
        return None
    return export


def _held(export: ListExport) -> QuerySet[ListExport]:
    return ListExport.objects.filter(pk=export.pk, lease=export.lease, state=ListExport.State.RUNNING)


def _note(export: ListExport, **values: int) -> None:
    """What is on disk, written down, and a sign of life. Raises :class:`Stopped`."""
    if not _held(export).update(due_at=clock.now() + LEASE, **values):
        raise Stopped
    for name, value in values.items():
        setattr(export, name, value)


def _hand_over(export: ListExport) -> None:
    with transaction.atomic():
        if _held(export).update(lease=None, due_at=clock.now() + PATIENCE):
            enqueue(TASK, export.pk, export.rows_read)


def _fail(export: ListExport, code: str) -> None:
    with transaction.atomic():
        failed = {"state": ListExport.State.FAILED, "lease": None, "error_code": code}
        if _held(export).update(**failed, finished_at=clock.now()):
            _start_next(export)


def _before(asker: Any, export: Any) -> QuerySet[ListExport]:
    """Exports of the same asker that were asked for before this one and have not ended; both may be outer columns."""
    return ListExport.objects.filter(requested_by=asker, pk__lt=export, state__in=ListExport.BUSY)


def _start_next(ended: ListExport) -> None:
    """Wake a worker for the asker's next export, in the transaction that ends the one before."""
    # Whoever asks at this moment sees the end, or is seen here.
    advisory("list_export", ended.requested_by_id)
    mine = ListExport.objects.filter(requested_by=ended.requested_by_id, state__in=ListExport.BUSY)
    following = mine.order_by("pk").first()
    # What is before the one that ended was woken already.
    if following is not None and following.pk > ended.pk:
        ListExport.objects.filter(pk=following.pk).update(due_at=clock.now() + PATIENCE)
        enqueue(TASK, following.pk, 0)


def _tidy() -> None:
    """Remove what belongs to nothing: a worker died between the file and the word of it."""
    if not folder().is_dir():
        return
    rows = ListExport.objects
    known = set(rows.filter(state=ListExport.State.READY).values_list("file_name", flat=True))
    busy = {f".{pk}" for pk in rows.filter(state__in=ListExport.BUSY).values_list("public_id", flat=True)}
    before = (clock.now() - _HOUR).timestamp()
    for path in folder().iterdir():
        if path.name not in known and path.stem not in busy and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


def _draft(export: ListExport) -> Draft:
    return Draft(folder(), str(export.public_id))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(actor: Actor, verb: str, export: ListExport) -> None:
    audit(
        actor,
        verb,
        object_type=export.list_name.partition("?")[0],
        object_id=export.public_id,
        label=export.file_name or export.list_name,
        after={
            "format": export.format,
            "rows": export.rows_done,
            "filter": export.query,
            "sha256": export.file_sha256,
        },
    )

"""One run of one report, one export of one list: what was asked, by whom, where the file is, who took it."""

from __future__ import annotations

from typing import Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock, ids

#: More than this is no list any more; a sheet of Excel has 1,048,576 rows, the titles among them.
MAX_EXPORT_ROWS: Final = 1_000_000


class ReportRun(models.Model):
    """A report asked for: made by a worker, kept, downloaded from the back office."""

    class Format(models.TextChoices):
        PDF = "pdf", "PDF"
        XLSX = "xlsx", "Excel"

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        RUNNING = "running", _("Is being made")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    definition = models.CharField(_("report"), max_length=48)
    parameters = models.JSONField(_("parameters"), default=dict, encoder=DjangoJSONEncoder)
    format = models.CharField(_("format"), max_length=4, choices=Format.choices)
    as_of = models.DateTimeField(_("as of"))
    language = models.CharField(_("language"), max_length=2, default="en")
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.WAITING)
    progress = models.PositiveSmallIntegerField(_("done, %"), default=0)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(null=True)
    file_name = models.CharField(_("file"), max_length=200, blank=True, default="")
    file_size = models.PositiveBigIntegerField(_("size"), default=0)
    file_sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True, default="")
    totals = models.JSONField(_("totals"), default=dict, encoder=DjangoJSONEncoder)
    error = models.CharField(_("error"), max_length=300, blank=True, default="")
    requested_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("asked for by")
    )
    scope = models.TextField(
        _("made of"), blank=True, default="", editable=False, help_text=_("what its asker was limited to")
    )
    created_at = models.DateTimeField(_("asked"), default=clock.now)
    finished_at = models.DateTimeField(_("made"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        permissions = (
            ("request_report", "Can ask for reports"),
            ("download_report", "Can download reports"),
            ("export_list", "Can export lists"),
        )

    def __str__(self) -> str:
        return f"{self.definition} {self.as_of:%Y-%m-%d %H:%M}"


class ReportDownload(models.Model):
    """Who took a report, when, from where."""

    run = models.ForeignKey(ReportRun, models.PROTECT, related_name="downloads")
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("who"))
    ip = models.GenericIPAddressField(_("address"), null=True)
    at = models.DateTimeField(_("when"), default=clock.now)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("download")
        verbose_name_plural = _("downloads")

    def __str__(self) -> str:
        return f"{self.user} {self.at:%Y-%m-%d %H:%M}"


class ListExport(models.Model):
    """A long list as a file: written by a worker, piece by piece, kept for its asker alone.

    An operator's exports are written one after the other, in the order in which they were asked for.

    ``query`` names the columns too. What is on disk and known to be whole is said by ``rows_read`` and
    ``part_size``: whoever goes on cuts the file there.
    """

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "Excel"

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        RUNNING = "running", _("Is being made")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Called off")
        EXPIRED = "expired", _("Removed after its time")

    BUSY: Final = (State.WAITING.value, State.RUNNING.value)

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("asked for by"))
    scope = models.TextField(_("made of"), blank=True, default="", editable=False)
    list_name = models.CharField(_("list"), max_length=96)
    query = models.CharField(_("query"), max_length=4000, blank=True, default="")
    format = models.CharField(_("format"), max_length=4, choices=Format.choices)
    language = models.CharField(_("language"), max_length=2, default="en")
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.WAITING)
    rows_total = models.PositiveIntegerField(_("rows found"), null=True)
    rows_read = models.PositiveIntegerField(_("rows read"), default=0)
    rows_done = models.PositiveIntegerField(_("rows written"), default=0)
    part_size = models.PositiveBigIntegerField(default=0, editable=False)
    restarts = models.PositiveSmallIntegerField(_("restarts"), default=0)
    lease = models.UUIDField(null=True, editable=False)
    due_at = models.DateTimeField(default=clock.now, editable=False)
    file_name = models.CharField(_("file"), max_length=200, blank=True, default="")
    file_size = models.PositiveBigIntegerField(_("size"), default=0)
    file_sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True, default="")
    error_code = models.CharField(_("error"), max_length=32, blank=True, default="")
    created_at = models.DateTimeField(_("asked"), default=clock.now)
    finished_at = models.DateTimeField(_("finished"), null=True)
    expires_at = models.DateTimeField(_("kept until"), null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("list export")
        verbose_name_plural = _("list exports")
        constraints = (
            models.UniqueConstraint(
                fields=("requested_by",),
                condition=Q(state="running"),
                name="export_one_at_a_time",
            ),
            # No name, no download: what is not whole has none.
            models.CheckConstraint(
                condition=(
                    Q(state="ready", file_sha256__regex=r"^[0-9a-f]{64}$", expires_at__isnull=False)
                    & Q(rows_total__isnull=False, rows_total=F("rows_read"))
                    & ~Q(file_name="")
                )
                | (~Q(state="ready") & Q(file_name="")),
                name="export_file_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(rows_done__lte=F("rows_read"))
                & (
                    Q(rows_total__isnull=True, rows_read=0)
                    | Q(rows_total__isnull=False, rows_read__lte=F("rows_total"))
                )
                & (Q(rows_total__isnull=True) | Q(rows_total__lte=MAX_EXPORT_ROWS)),
                name="export_rows_in_bounds",
            ),
            models.CheckConstraint(
                condition=(Q(state="failed") & ~Q(error_code="")) | (~Q(state="failed") & Q(error_code="")),
                name="export_fails_with_a_code",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running"], finished_at__isnull=True)
                | (~Q(state__in=["waiting", "running"]) & Q(finished_at__isnull=False)),
                name="export_ends_at_a_moment",
            ),
        )
        indexes = (
            models.Index(
                fields=("due_at",), name="export_under_way", condition=Q(state__in=["waiting", "running"])
            ),
            models.Index(fields=("requested_by", "-id"), name="export_by_asker"),
        )

    def __str__(self) -> str:
        return f"{self.list_name} {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def percent(self) -> int:
        """How far it is: of the rows found, those that were read."""
        return self.rows_read * 100 // self.rows_total if self.rows_total else 0

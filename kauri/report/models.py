"""One run of one report: what was asked, by whom, where the file is, who took it."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock, ids


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

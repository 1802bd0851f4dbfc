"""Signs of life: of schedules and of worker clusters."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ScheduleRun(models.Model):
    """When a schedule was last put on its queue and when it last ended: one row a schedule."""

    name = models.CharField(_("schedule"), max_length=64, primary_key=True)
    enqueued_at = models.DateTimeField(_("enqueued"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    error = models.TextField(_("error"), blank=True, default="")

    class Meta:
        ordering = ("name",)
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """The last sign of life of a worker cluster: written by a task that the cluster itself ran."""

    cluster = models.CharField(_("cluster"), max_length=32, primary_key=True)
    at = models.DateTimeField(_("last sign of life"))

    class Meta:
        ordering = ("cluster",)
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.cluster

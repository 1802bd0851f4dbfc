"""The shell as a Django app (commands, templates) and the admin site it mounts."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AppConfig):
    """Holds management commands; no model, no rule."""

    name = "backoffice"


class BackOfficeAdminConfig(AdminConfig):
    """Makes ``django.contrib.admin.site`` the back office's own site."""

    default_site = "backoffice.sites.BackOfficeSite"

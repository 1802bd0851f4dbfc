"""The shell as a Django app (commands, templates) and the admin site it mounts."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AppConfig):
    """Holds management commands; no model, no rule."""

    name = "backoffice"

    def ready(self) -> None:
        from backoffice.governed import GOVERNED, allow, blast_radius  # noqa: PLC0415 - models are there only now
        from backoffice.lists import HouseLists  # noqa: PLC0415
        from kauri.core.proposals import govern  # noqa: PLC0415
        from kauri.core.switches import measure_blast  # noqa: PLC0415
        from kauri.report.exports import read_lists  # noqa: PLC0415

        govern(GOVERNED, allow)
        measure_blast(blast_radius)
        read_lists(HouseLists())


class BackOfficeAdminConfig(AdminConfig):
    """Makes ``django.contrib.admin.site`` the back office's own site."""

    default_site = "backoffice.sites.BackOfficeSite"

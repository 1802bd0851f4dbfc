"""The shell as a Django app (commands, templates) and the admin site it mounts."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AppConfig):
    """Holds management commands; no model, no rule."""

    name = "backoffice"

    def ready(self) -> None:
        from backoffice.asked import ROOMS  # noqa: PLC0415 - models are there only now
        from backoffice.governed import GOVERNED, allow, blast_radius  # noqa: PLC0415
        from backoffice.lists import HouseLists  # noqa: PLC0415
        from kauri.account.second_factor import code_again, operator_code  # noqa: PLC0415
        from kauri.core.again import ask_codes_by  # noqa: PLC0415
        from kauri.core.governing import govern  # noqa: PLC0415
        from kauri.core.switches import measure_blast  # noqa: PLC0415
        from kauri.notification.services import tell_also  # noqa: PLC0415
        from kauri.order_core import asking  # noqa: PLC0415
        from kauri.report.exports import read_lists  # noqa: PLC0415

        ask_codes_by(code_again, operator_code)
        govern(GOVERNED, allow)
        measure_blast(blast_radius)
        asking.open_rooms(ROOMS)
        tell_also(
            {
                "approval.waiting": asking.ask,
                "approval.back": asking.ask_anew,
                "approval.moved": asking.tell,
                "operator.tied": asking.ask_tied,
            }
        )
        read_lists(HouseLists())


class BackOfficeAdminConfig(AdminConfig):
    """Makes ``django.contrib.admin.site`` the back office's own site."""

    default_site = "backoffice.sites.BackOfficeSite"

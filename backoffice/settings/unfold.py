"""Unfold's settings: titles, colours, navigation, the desk."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

#: The deep green of the tree: calm enough for a screen that is looked at all day.
PRIMARY = {
    "50": "oklch(98.4% .014 180.72)",
    "100": "oklch(95.3% .051 180.801)",
    "200": "oklch(91% .096 180.426)",
    "300": "oklch(85.5% .138 181.071)",
    "400": "oklch(77.7% .152 181.912)",
    "500": "oklch(70.4% .14 182.503)",
    "600": "oklch(51.1% .096 186.391)",
    "700": "oklch(45% .085 187.4)",
    "800": "oklch(39% .07 188.216)",
    "900": "oklch(33% .06 188.9)",
    "950": "oklch(27.7% .046 192.524)",
}

_mark = lazy(lambda: static("kauri/favicon.svg"), str)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Kauri",
    "SITE_HEADER": "Kauri",
    "SITE_SUBHEADER": _("Back office"),
    "SITE_ICON": _mark(),
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "LANGUAGES": {"action": reverse_lazy("admin:language"), "navigation": []},
    "ENVIRONMENT": "backoffice.navigation.environment",
    "DASHBOARD_CALLBACK": "backoffice.dashboard.desk",
    "ACCOUNT": {"navigation": [{"title": _("My Telegram"), "link": reverse_lazy("admin:my_telegram")}]},
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda _request: static("kauri/kauri.css")],
    "SCRIPTS": [lambda _request: static("kauri/kauri.js")],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _mark()}],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "backoffice.navigation.sidebar",
    },
    # Searches are answered by backoffice.sites, exactly and fresh; a history of names stays out of browsers.
    "COMMAND": {"search_models": False, "show_history": False},
}

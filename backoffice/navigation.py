"""The sidebar: the modules, in the words of the house."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


def environment(request: HttpRequest) -> list[str] | None:
    """The badge that says that this is not the real thing."""
    del request
    return {"demo": [str(_("Demo")), "warning"], "dev": [str(_("Development")), "info"]}.get(settings.KAURI.env)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of links; each is shown to those who may open it."""
    del request
    return []

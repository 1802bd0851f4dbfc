"""The admin site: staff only, password and a second factor."""

from __future__ import annotations

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class BackOfficeSite(UnfoldAdminSite):
    """No second factor, no entry."""

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and request.user.is_verified()

"""The page behind a letter's link: stops an account without signing in. Opening it changes nothing."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from kauri.account.api.caller import count_open, ip_of
from kauri.account.models import OneTimeLink
from kauri.account.services import account_freeze, link_find
from kauri.common.errors import KauriError

TEMPLATE: Final = "freeze.html"


@csrf_exempt  # the token itself is what nobody else has; mail programs open links without cookies
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def freeze(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST freezes. A link that is used, old or made up is one page."""
    try:
        count_open(request)
        found = link_find(token, OneTimeLink.Purpose.FREEZE)
        if found is None:
            return render(request, TEMPLATE, {"state": "gone"}, status=404)
        with translation.override(found.user.language):
            if request.method != "POST":
                return render(request, TEMPLATE, {"state": "ask"})
            account_freeze(token=token, ip=ip_of(request))
            return render(request, TEMPLATE, {"state": "done"})
    except KauriError as error:
        state = "later" if error.code == "rate_limited" else "gone"
        return render(request, TEMPLATE, {"state": state}, status=error.status)

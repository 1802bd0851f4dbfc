"""An operator's own Telegram: tied by a one-time link, untied again, the code asked for both."""

from __future__ import annotations

from typing import Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.account.operators import operator_telegram_assign, operator_telegram_unassign
from kauri.account.telegram import LINK_LIFE, DeepLink
from kauri.common.admin import actor_of, refusal
from kauri.common.code_forms import CodeAlwaysForm
from kauri.common.errors import KauriError
from kauri.common.qr import png_base64

NAME: Final = "my_telegram"


def page(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    """What the operator's account is tied to, and the one button that there is to press."""
    form = CodeAlwaysForm(request.POST or None)
    link: DeepLink | None = None
    if request.method == "POST" and form.is_valid():
        try:
            link = _pressed(request, form)
        except KauriError as error:
            messages.error(request, refusal(error))
        if link is None:
            return HttpResponseRedirect(reverse(f"admin:{NAME}"))
    context |= {
        "title": _("My Telegram"),
        "person": User.objects.get(pk=request.user.pk),
        "has_bot": bool(settings.KAURI.telegram_bot),
        "form": form,
        "link": link,
        "qr": "" if link is None else f"data:image/png;base64,{png_base64(link.url)}",
        "minutes": int(LINK_LIFE.total_seconds()) // 60,
    }
    return TemplateResponse(request, "admin/kauri/my_telegram.html", context)


def _pressed(request: HttpRequest, form: forms.Form) -> DeepLink | None:
    code, actor = form.cleaned_data["code"], actor_of(request)
    if request.POST.get("act") == "untie":
        operator_telegram_unassign(operator_id=int(actor.id), code=code, actor=actor)
        messages.success(request, str(_("Your account is untied from Telegram.")))
        return None
    return operator_telegram_assign(actor=actor, code=code)

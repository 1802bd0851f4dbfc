"""What an operator is limited to: shown on their page, and set there by whoever changes roles."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from kauri.account.limits import LIMIT, last_change, limits_set, named
from kauri.account.models import CustomerGroup, User
from kauri.common.admin import EMPTY, ReasonForm, actor_of, back_to, page_url, refusal, table, when
from kauri.common.code_forms import CodeAlwaysForm
from kauri.common.errors import KauriError
from kauri.common.scopes import KINDS
from kauri.common.search import searched
from kauri.core.models import Currency, Provider

TITLES = {"groups": _("Customer groups"), "currencies": _("Currencies"), "providers": _("Providers")}


def _choice(kind: str, rows: Any) -> forms.ModelMultipleChoiceField:
    return forms.ModelMultipleChoiceField(
        label=TITLES[kind],
        queryset=rows,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


class LimitForm(CodeAlwaysForm, ReasonForm):
    """What the operator may see, and why; nothing chosen of a kind is no limit in it."""

    groups = _choice("groups", CustomerGroup.objects.all())
    currencies = _choice("currencies", Currency.objects.all())
    providers = _choice("providers", Provider.objects.all())
    field_order = (*KINDS, "reason", "code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        operator = _operator(self.object_id)
        for kind in operator.scope.kinds if operator is not None else ():
            self.fields[kind].initial = sorted(operator.scope.of(kind))


class LimitActs:
    """The limits of an operator, and the act that sets them."""

    @display(description=_("limits of the view"))
    def limits_shown(self, obj: User) -> SafeString:
        limits, last = named(obj.scope), last_change(obj)
        shown = table(
            (_("Kind"), _("Sees only")),
            ((TITLES[kind], ", ".join(codes)) for kind, codes in limits.items()),
            _("Not limited: sees all that the roles allow."),
        )
        if last is None:
            return shown
        return format_html("{}<p>{} {} {}</p>", shown, last.actor_label, when(last.at), last.reason or EMPTY)

    def has_limit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm(LIMIT) or request.user.scope.is_limited:
            return False
        found = None if object_id is None else self.get_object(request, str(object_id))
        return found is not None and found.is_staff and found.pk != request.user.pk

    @action(
        description=_("Limit the view"),
        icon="filter_alt",
        permissions=["limit"],
        dialog={
            "title": _("Limit what the operator sees"),
            "description": _(
                "Whatever is outside is not there for them: in lists, search, reports and by address. "
                "Nothing chosen of a kind: no limit in it. To see less holds at once; to see more, a second person decides."
            ),
            "form_class": LimitForm,
            "form_submit_text": _("Set the limits"),
        },
    )
    def limit(self, request: HttpRequest, form: LimitForm, object_id: str) -> HttpResponse:
        operator = User.objects.get(public_id=object_id)
        limits = {kind: [row.pk for row in form.cleaned_data[kind]] for kind in KINDS}
        try:
            made = limits_set(
                operator_id=operator.pk,
                limits=limits,
                reason=form.cleaned_data["reason"],
                code=form.cleaned_data["code"],
                actor=actor_of(request),
            )
        except KauriError as error:
            messages.error(request, refusal(error))
            return back_to(request, page_url(operator))
        if made is not None:
            messages.success(request, _("Proposed. Nothing has changed yet: a second person decides."))
            return back_to(request, page_url(made))
        messages.success(request, _("The limits of %(who)s are set.") % {"who": operator.email})
        return back_to(request, page_url(operator))


def _operator(object_id: Any) -> User | None:
    public_id = searched(str(object_id), "uuid")
    if not isinstance(public_id, uuid.UUID):
        return None
    return User.objects.filter(public_id=public_id, is_staff=True).first()

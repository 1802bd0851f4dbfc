"""Several proposals decided with one press, and the list of those that came by one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from kauri.common import clock
from kauri.common.admin import EMPTY, actor_of, badge, link, list_url, page_link, refusal, table, when
from kauri.common.code_forms import CodeAlwaysForm
from kauri.common.errors import KauriError
from kauri.common.search import searched
from kauri.core import batches, proposals
from kauri.core.models import Proposal

#: As many as a file brings.
MOST: Final = 500


class BatchFilter(SimpleListFilter):
    """The proposals of one file, where the address names it."""

    title = _("from one import")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del model_admin
        asked = request.GET.get(self.parameter_name)
        return [(asked, _("this import"))] if asked else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if not self.value():
            return queryset
        batch = searched(str(self.value()), "uuid")
        if batch is None:
            raise IncorrectLookupParameters(self.value())
        return queryset.filter(batch=batch)


class DecideForm(CodeAlwaysForm):
    """Words for all, and one code for all where any of them asks for it."""

    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    field_order = ("reason", "code")


class BatchesAdmin:
    """Decisions on several proposals: for :class:`ProposalAdmin`."""

    actions: Any = ("approve_chosen", "reject_chosen")
    opts: Any
    admin_site: Any

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(proposals.DECIDE))

    @display(description=_("from one import"))
    def same_batch(self, obj: Proposal) -> SafeString:
        if obj.batch is None:
            return EMPTY
        count = Proposal.objects.filter(batch=obj.batch).count()
        words = ngettext("%(count)s proposal", "%(count)s proposals", count) % {"count": count}
        return link(list_url(Proposal, batch=obj.batch), words)

    @admin.action(description=_("Approve the chosen…"), permissions=["decide"])
    def approve_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._several(request, queryset, "approve_chosen")

    @admin.action(description=_("Reject the chosen…"), permissions=["decide"])
    def reject_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._several(request, queryset, "reject_chosen")

    def _several(self, request: HttpRequest, queryset: QuerySet[Any], act: str) -> HttpResponse | None:
        """Show what is chosen; decide when asked to, each by the service that one page uses."""
        if len(queryset[: MOST + 1]) > MOST:
            messages.error(request, _("At most %(most)s at once. Nothing was done.") % {"most": MOST})
            return None
        # What another decided meanwhile is in the list's filter no more: it is shown all the same.
        ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
        rows = [(row, _obstacle(row, request)) for row in Proposal.objects.filter(pk__in=ids).order_by("id")]
        chosen = [row for row, why in rows if not why]
        form = DecideForm(request.POST if request.POST.get("confirmed") else None)
        asks = act == "approve_chosen" and batches.asks_code([row.public_id for row in chosen])
        if not asks:
            del form.fields["code"]
        if chosen and form.is_bound and form.is_valid():
            try:
                self._decide_all(request, chosen, act, **form.cleaned_data)
            except KauriError as error:
                messages.error(request, refusal(error))
            return HttpResponseRedirect(request.get_full_path())
        shown = [
            (page_link(row), row.proposed_by, ", ".join(sorted(row.after)), why or EMPTY) for row, why in rows
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Approve these changes?") if act == "approve_chosen" else _("Reject these changes?"),
            "opts": self.opts,
            "shown": table((_("What"), _("proposed by"), _("fields"), _("What is in the way")), shown),
            "act": act,
            "ids": [row.pk for row in chosen],
            "form": form,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/kauri/batch.html", context)

    def _decide_all(
        self, request: HttpRequest, chosen: list[Proposal], act: str, reason: str, code: str = ""
    ) -> None:
        ids, actor = [row.public_id for row in chosen], actor_of(request)
        if act == "approve_chosen":
            outcomes = batches.approve_all(ids, actor=actor, reason=reason, code=code)
        else:
            outcomes = batches.reject_all(ids, actor=actor, reason=reason)
        names = {row.public_id: str(row) for row in chosen}
        done = 0
        for one in outcomes:
            if one.error is not None:
                messages.error(request, f"{names[one.proposal_id]}: {refusal(one.error)}")
            elif one.proposal is not None and one.proposal.state == Proposal.State.FAILED:
                words = _("It could not be applied: %(why)s") % {"why": one.proposal.error}
                messages.error(request, f"{names[one.proposal_id]}: {words}")
            else:
                done += 1
        if done:
            words = ngettext(
                "Your decision on %(count)s change is done.",
                "Your decision on %(count)s changes is done.",
                done,
            )
            messages.success(request, words % {"count": done})


def _obstacle(row: Proposal, request: HttpRequest) -> Any:
    """Why this operator does not decide on it; empty when they may. The service decides."""
    if row.state != Proposal.State.PENDING or row.expires_at <= clock.now():
        return _("It does not wait for a decision.")
    return _("You proposed it yourself.") if row.proposed_by_id == request.user.pk else ""


def shown_value(field: Any, value: Any) -> Any:
    """A stored value for people: a choice by its title, a row by its name, nothing as a dash."""
    if value in (None, ""):
        return EMPTY
    if field.is_relation:
        row = field.related_model._default_manager.filter(pk=value).first()
        return str(row or value)
    if isinstance(value, bool):
        return badge(_("on"), "good") if value else badge(_("off"), "bad")
    choices: Sequence[Any] = field.flatchoices or ()
    moment = field.to_python(value) if field.get_internal_type() == "DateTimeField" else None
    return when(moment) if moment is not None else dict(choices).get(value, value)

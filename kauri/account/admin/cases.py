"""The queue of verification cases, and the one page to decide on a case."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kauri.account import cases
from kauri.account.admin.forms import AskForm, PlayForm, RejectForm
from kauri.account.admin.parts import STATE_TONES, answers_table, cases_table, moves_list, papers_table
from kauri.account.admin.people import LevelFilter, level_badge
from kauri.account.cases import files
from kauri.account.cases.decisions import DECIDE, OPEN_DOCUMENT
from kauri.account.cases.queue import OVERDUE_AFTER, next_waiting
from kauri.account.models import VerificationCase
from kauri.account.states import OPERATOR_DECIDES, CaseState, DocumentKind
from kauri.common import clock
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    age,
    attempt,
    back_to,
    badge,
    copyable,
    label_column,
    list_url,
    page_link,
    page_url,
    refusal,
    when,
    when_column,
)
from kauri.common.errors import KauriError
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.scopes import seen
from kauri.common.search import searched
from kauri.core.admin import PeriodFilter
from kauri.core.audit import audit

_ROWS = 20


class CaseQueueFilter(SimpleListFilter):
    """Who waits, and who waits too long."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [("waiting", _("Waits for an operator")), ("overdue", _("Waits too long"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if not self.value():
            return queryset
        waiting = queryset.filter(state=CaseState.WAITING_FOR_OPERATOR)
        if self.value() == "overdue":
            return waiting.filter(updated_at__lt=clock.now() - OVERDUE_AFTER)
        return waiting


class CaseLevelFilter(LevelFilter):
    title = _("level")
    parameter_name = field = "level"


@admin.register(VerificationCase)
class VerificationCaseAdmin(ReadOnlyAdmin):
    """Who asked for which level, with which papers; every act is a dialog that calls a service."""

    list_display = ("started_at", "customer", "level", "state_label", "waits", "provider", "reason_code")
    list_display_links = ("started_at",)
    list_select_related = ("user", "provider")
    list_filter = (
        CaseQueueFilter,
        ("state", ChoicesDropdownFilter),
        CaseLevelFilter,
        ("provider", RelatedDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "user__email": "lower",
        "provider_reference": "text",
        "documents__sha256": "text",
    }
    search_help_text = _("A case's id, an e-mail, the provider's id or a document's SHA-256, exactly")
    fieldsets = (
        (
            _("Case"),
            {"fields": (("customer", "state_label"), ("level", "waits"), "reason_shown", "asked_shown")},
        ),
        (_("Customer"), {"fields": (("level_now", "registered"), ("account_state", "name"))}),
        (_("Documents"), {"fields": ("papers",)}),
        (_("Answers"), {"fields": ("answers_shown",)}),
        (_("History"), {"fields": ("moves_shown",)}),
        (_("Other cases of the customer"), {"fields": ("other_cases",)}),
        (
            _("At the provider"),
            {"fields": (("provider", "reference"), ("call", "next_call"), "last_error", "id_full")},
        ),
    )
    actions_detail = ("approve", "reject", "ask_again", "play")
    started_at = when_column("created_at", _("started"))
    next_call = when_column("next_attempt_at", _("next attempt"))
    state_label = label_column("state", _("state"), STATE_TONES)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("next/", wrap(self.next_view), name="verification_next"),
            path("document/<uuid:document_id>/", wrap(self.document_view), name="verification_document"),
            *super().get_urls(),
        ]

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        """The queue begins with who waits longest."""
        return ("updated_at", "id") if request.GET.get("queue") else ("-id",)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        case = super().get_object(request, object_id, from_field)
        if case is not None:
            case.may_open = request.user.has_perm(OPEN_DOCUMENT)
        return case

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Who looked at whose papers is on record."""
        response = super().change_view(request, object_id, form_url, extra_context)
        case = self.get_object(request, object_id) if request.method == "GET" else None
        if case is not None and response.status_code == HTTPStatus.OK:
            audit(
                actor_of(request),
                "verification_case_view",
                object_type="verification_case",
                object_id=case.pk,
                label=str(case),
            )
        return response

    # What is shown ---------------------------------------------------------------------------

    @display(description=_("customer"), ordering="user")
    def customer(self, obj: VerificationCase) -> SafeString:
        return page_link(obj.user)

    @display(description=_("waits"), ordering="updated_at")
    def waits(self, obj: VerificationCase) -> SafeString:
        if obj.state != CaseState.WAITING_FOR_OPERATOR:
            return when(obj.updated_at)
        late = clock.now() - obj.updated_at > OVERDUE_AFTER
        return badge(age(obj.updated_at), "bad" if late else "")

    @display(description=_("reason and words"))
    def reason_shown(self, obj: VerificationCase) -> SafeString:
        said = [str(part) for part in (obj.get_reason_code_display(), obj.words) if part]
        return format_html("{}", ": ".join(said)) if said else EMPTY

    @display(description=_("documents asked for"))
    def asked_shown(self, obj: VerificationCase) -> str:
        return ", ".join(str(DocumentKind(kind).label) for kind in obj.asked) or "–"

    @display(description=_("level now"))
    def level_now(self, obj: VerificationCase) -> SafeString:
        return level_badge(obj.user)

    @display(description=_("registered"))
    def registered(self, obj: VerificationCase) -> SafeString:
        return when(obj.user.created_at)

    @display(description=_("account"))
    def account_state(self, obj: VerificationCase) -> SafeString:
        return badge(_("active"), "good") if obj.user.is_active else badge(_("disabled"), "bad")

    @display(description=_("name"))
    def name(self, obj: VerificationCase) -> str:
        return obj.user.username or "–"

    @display(description=_("provider's id"))
    def reference(self, obj: VerificationCase) -> SafeString:
        return copyable(obj.provider_reference)

    @display(description=_("case id"))
    def id_full(self, obj: VerificationCase) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("documents"))
    def papers(self, obj: VerificationCase) -> SafeString:
        return papers_table(obj, may_open=obj.may_open)

    @display(description=_("answers"))
    def answers_shown(self, obj: VerificationCase) -> SafeString:
        return answers_table(obj)

    @display(description=_("moves"))
    def moves_shown(self, obj: VerificationCase) -> SafeString:
        return moves_list(obj)

    @display(description=_("other cases"))
    def other_cases(self, obj: VerificationCase) -> SafeString:
        others = seen(VerificationCase.objects.filter(user_id=obj.user_id).exclude(pk=obj.pk), obj)
        return cases_table(others.select_related("provider").order_by("-id")[:_ROWS])

    # What is done ----------------------------------------------------------------------------

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        case = self._case(request, object_id)
        return (
            case is not None
            and case.state in OPERATOR_DECIDES
            and case.user_id != request.user.pk
            and request.user.has_perm(DECIDE)
        )

    def has_play_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        case = self._case(request, object_id)
        return (
            case is not None
            and case.is_open
            and bool(case.provider_reference)
            and case.provider.environment == "sandbox"
            and request.user.has_perm(DECIDE)
        )

    def _case(self, request: HttpRequest, object_id: Any) -> VerificationCase | None:
        return None if object_id is None else self.get_object(request, str(object_id))

    @action(
        description=_("Verify"),
        icon="verified_user",
        variant=ActionVariant.SUCCESS,
        permissions=["decide"],
        dialog={
            "title": _("Verify the customer"),
            "description": _("The customer reaches the level at once and is told."),
            "form_class": ReasonForm,
            "form_submit_text": _("Verify the customer"),
        },
    )
    def approve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        given = {"reason": form.cleaned_data["reason"]}
        return self._act(request, object_id, cases.case_approve, _("The customer is verified."), given)

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["decide"],
        dialog={
            "title": _("Refuse the verification"),
            "description": _("The case is closed; the customer may start another."),
            "form_class": RejectForm,
            "form_submit_text": _("Refuse the verification"),
        },
    )
    def reject(self, request: HttpRequest, form: RejectForm, object_id: str) -> HttpResponse:
        given = {name: form.cleaned_data[name] for name in ("reason_code", "words")}
        return self._act(request, object_id, cases.case_reject, _("The verification is refused."), given)

    @action(
        description=_("Ask again"),
        icon="reply",
        permissions=["decide"],
        dialog={
            "title": _("Ask the customer again"),
            "description": _("The case goes back to the customer with your words."),
            "form_class": AskForm,
            "form_submit_text": _("Ask again"),
        },
    )
    def ask_again(self, request: HttpRequest, form: AskForm, object_id: str) -> HttpResponse:
        words, documents = form.cleaned_data["words"], form.cleaned_data.get("documents", [])
        return self._act(
            request,
            object_id,
            cases.case_ask_again,
            _("The customer is asked again."),
            {"words": words, "documents": documents},
        )

    @action(
        description=_("Play a verdict"),
        icon="science",
        permissions=["play"],
        dialog={
            "title": _("Play the provider's verdict"),
            "description": _("Only in the provider's sandbox: its check ends as you say."),
            "form_class": PlayForm,
            "form_submit_text": _("Play a verdict"),
        },
    )
    def play(self, request: HttpRequest, form: PlayForm, object_id: str) -> HttpResponse:
        given = {"verdict": form.cleaned_data["verdict"]}
        return self._act(request, object_id, cases.case_play, _("The provider is asked to end it so."), given)

    def _act(
        self,
        request: HttpRequest,
        object_id: str,
        service: Callable[..., Any],
        done: object,
        given: dict[str, Any],
    ) -> HttpResponse:
        case = self.row_of(request, object_id)
        actor = actor_of(request)
        attempt(request, lambda: service(case_id=case.public_id, actor=actor, **given), done)
        return back_to(request, page_url(case))

    def next_view(self, request: HttpRequest) -> HttpResponse:
        """The case that waits longest; with ``?after=`` the next but that one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        after = searched(request.GET.get("after", ""), "uuid")
        case = next_waiting(after if isinstance(after, uuid.UUID) else None, request.user.scope)
        if case is None:
            messages.info(request, _("Nobody waits for verification."))
            return HttpResponseRedirect(list_url(VerificationCase, queue="waiting"))
        return HttpResponseRedirect(page_url(case))

    def document_view(self, request: HttpRequest, document_id: uuid.UUID) -> HttpResponse:
        """A document's bytes; the service checks the right and keeps a record of every look.

        A picture is shown as exactly what it is, in a sandbox; a PDF is only handed down.
        """
        try:
            document, data = cases.document_open(document_id=document_id, actor=actor_of(request))
        except KauriError as error:
            return HttpResponse(refusal(error), status=error.status, content_type="text/plain; charset=utf-8")
        response = HttpResponse(data, content_type=document.content_type)
        how = "attachment" if document.content_type == files.PDF else "inline"
        suffix = document.content_type.partition("/")[2]
        response["Content-Disposition"] = f'{how}; filename="{document.kind}-{document.pk}.{suffix}"'
        response["Content-Security-Policy"] = "sandbox; default-src 'none'"
        response["X-Content-Type-Options"] = "nosniff"
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        response["Cache-Control"] = "no-store"
        return response

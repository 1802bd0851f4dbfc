"""Parts of the page of a customer that take several floors: the rules as they hold for them, the ledger, notes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from kauri.account.models import User
from kauri.account.notes import customer_note_add
from kauri.balance.admin import as_of_note
from kauri.balance.models import Entry, LedgerAccount
from kauri.common.admin import (
    EMPTY,
    actor_of,
    attempt,
    back_to,
    badge,
    digits,
    link,
    list_url,
    money,
    page_link,
    page_url,
    table,
    when,
)
from kauri.common.models import choice
from kauri.common.scoped_admin import may_open
from kauri.common.scopes import EVERYTHING, seen
from kauri.order_core.admin import NoteForm, notes_list
from kauri.order_core.models import Policy
from kauri.order_core.policies import Resolved
from kauri.order_core.profile import standing

#: The newest of each kind; a link below leads to all of them.
_ROWS: Final = 10
#: What the table of rules shows: field, title.
_RULES: Final = (
    ("min_amount", _("minimum")),
    ("max_amount", _("maximum")),
    ("daily_amount", _("limit a day")),
    ("monthly_amount", _("limit a month")),
    ("daily_count", _("orders a day")),
    ("required_level", _("level needed")),
    ("totp_above", _("one-time code above")),
    ("email_above", _("letter's code above")),
    ("approval_above", _("operator approval above")),
    ("fee_percent", _("fee, %")),
    ("fee_fixed", _("fixed fee")),
)


class CustomerFacts:
    """Fields and an act for the page of a customer."""

    @display(description=_("rules"))
    def rules_shown(self, obj: User) -> SafeString:
        """Each field from the row that decides it: the figure leads there."""
        scope = getattr(obj, "viewer_scope", EVERYTHING)
        found, origins = standing(obj)
        whose = {row.pk: (page_url(row) if may_open(Policy) else "", badge(_scope(row))) for row in origins}
        rows = [
            (policy.operation.label, policy.currency, _switch(policy), *_cells(policy, whose))
            for policy in found
            if scope.has_currency(policy.currency.pk)
        ]
        headers = (_("Operation"), _("Currency"), _("switched on"), *(title for _field, title in _RULES))
        return table(headers, rows)

    @display(description=_("ledger"))
    def ledger_shown(self, obj: User) -> SafeString:
        rows = (
            Entry.objects.filter(pk__in=_newest(obj))
            .select_related("account__currency", "transfer")
            .order_by("-created_at", "-id")[:_ROWS]
        )
        return as_of_note(obj) + table(
            (_("Transfer"), _("Ledger account"), _("Amount"), _("Balance after")),
            (
                (
                    page_link(row.transfer, choice(row.transfer, "kind")) + when(row.created_at),
                    choice(row.account, "kind"),
                    money(row.amount, row.account.currency, sign=True),
                    money(row.balance_after, row.account.currency),
                )
                for row in rows
            ),
            _("The ledger has nothing on this customer yet."),
        )

    @display(description=_("notes"))
    def notes_shown(self, obj: User) -> SafeString:
        return notes_list(obj.notes.order_by("-id"))

    def has_note_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        customer = self.customer(request, object_id)  # type: ignore[attr-defined]
        return customer is not None and request.user.has_perm("account.add_customernote")

    @action(
        description=_("Add a note"),
        icon="edit_note",
        permissions=["note"],
        dialog={"title": _("Add a note"), "form_class": NoteForm, "form_submit_text": _("Keep the note")},
    )
    def note(self, request: HttpRequest, form: NoteForm, object_id: str) -> HttpResponse:
        user = self.row_of(request, object_id)  # type: ignore[attr-defined]
        attempt(
            request,
            lambda: customer_note_add(
                user_id=user.pk, text=form.cleaned_data["text"], actor=actor_of(request)
            ),
            _("The note is kept."),
        )
        return back_to(request, page_url(user))


def all_of(model: type[Model], words: object, **filters: object) -> SafeString:
    """A link to the whole list of what the page shows the newest of."""
    return link(list_url(model, **filters), words) if may_open(model) else SafeString("")


def _newest(customer: Any) -> Any:
    """Keys of the newest entries of each of the customer's accounts, by its index: a busy one has millions."""
    accounts = seen(LedgerAccount.objects.filter(customer=customer), customer).values_list("pk", flat=True)
    until = {} if customer.as_of is None else {"created_at__lte": customer.as_of}
    parts = [
        Entry.objects.filter(account_id=pk, **until).order_by("-created_at", "-id").values("pk")[:_ROWS]
        for pk in accounts
    ]
    return parts[0].union(*parts[1:], all=True) if parts else []


def _switch(policy: Resolved) -> SafeString:
    return badge(_("off"), "bad") if policy["enabled"] is False else badge(_("on"), "good")


def _cells(policy: Resolved, whose: dict[int, tuple[str, SafeString]]) -> Iterable[SafeString]:
    for name, _title in _RULES:
        value = policy[name]
        if value is None:
            yield EMPTY
            continue
        url, owner = whose[policy.origin[name]]
        unit = " USD" if policy.units.get(name) is Policy.Unit.USD else ""
        said = value if isinstance(value, int) else digits(value)
        yield (link(url, f"{said}{unit}") if url else SafeString(f"{said}{unit}")) + owner


def _scope(row: Policy) -> str:
    """Whose rule it is, and of which currency, in a word or two."""
    whose = str(row.user or row.group or row.get_account_type_display() or _("everyone"))
    return f"{whose} · {row.currency}" if row.currency else whose

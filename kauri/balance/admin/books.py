"""The books, read-only: nobody writes the ledger by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from kauri.balance.admin.as_of import AsOfMixin, as_of_note
from kauri.balance.models import Entry, Hold, LedgerAccount, SelfCheck, Transfer
from kauri.balance.selectors import account_balance, ids_dated
from kauri.common.admin import (
    ReadOnlyAdmin,
    badge,
    link,
    list_url,
    money,
    money_column,
    order_column,
    order_link,
    page_link,
    raw_column,
    table,
    when,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import PeriodFilter

_ROWS = 50


class LedgerPeriodFilter(PeriodFilter):
    """A period of the ledger, by the ids of its rows as well: they are numbered in the order of their moments."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        bounds = self.bounds()
        ids = ids_dated(queryset.model, *bounds)
        # The moments are looked at only near both ends: beside the ids they would seem to leave almost nothing.
        dated = _between("created_at", bounds[0], bounds[1], "lte")
        sure = _between("pk", ids.sure_first, ids.sure_end, "lt")
        return queryset.filter(_between("pk", ids.first, ids.end, "lt"), sure | dated)


def _between(name: str, first: object, end: object, below: str) -> Q:
    bounds = {f"{name}__gte": first, f"{name}__{below}": end}
    return Q(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})


def transfers_table(transfers: Iterable[Any]) -> SafeString:
    """Transfers of the ledger with their entries: whose account, how much, the balance after."""
    rows = []
    for transfer in transfers:
        for number, entry in enumerate(transfer.entries.all()):
            account = entry.account
            rows.append(
                (
                    page_link(transfer) + when(transfer.created_at) if number == 0 else "",
                    page_link(account, f"{account.get_kind_display()}{_owner(account)}"),
                    money(entry.amount, account.currency, sign=True),
                    money(entry.balance_after, account.currency),
                )
            )
    headers = (_("Transfer"), _("Ledger account"), _("Amount"), _("Balance after"))
    return table(headers, rows, _("The ledger has nothing on this order yet."))


def _owner(account: Any) -> str:
    owner = account.customer or account.provider
    return f" · {owner}" if owner else ""


@admin.register(LedgerAccount)
class LedgerAccountAdmin(AsOfMixin, ReadOnlyAdmin):
    list_display = ("id", "kind", "currency", "owner", "balance_shown", "is_closed", "opened")
    list_display_links = ("id", "kind")
    list_select_related = ("currency", "customer", "provider")
    list_filter = (("kind", ChoicesDropdownFilter), ("currency", RelatedDropdownFilter))
    exact_search: ClassVar[dict[str, str]] = {
        "customer__email": "lower",
        "customer__public_id": "uuid",
        "id": "int",
    }
    search_help_text = _("A customer's e-mail or id, or the account's number, exactly")
    public_lookup = "pk"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "kind",
                    "currency",
                    "owner",
                    "balance_shown",
                    "may_be_negative",
                    "is_closed",
                    "opened",
                )
            },
        ),
        (_("Last entries"), {"fields": ("last_entries",)}),
    )
    actions_detail = ("read_as_of",)
    opened = when_column("created_at", _("opened"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerAccount]:
        # A busy house account's row lags behind its queue of changes: the view adds them.
        now = RawSQL("select n.balance from ledger_account_now n where n.id = ledger_account.id", ())
        return super().get_queryset(request).annotate(balance_now=now)

    @display(description=_("balance"), ordering="balance")
    def balance_shown(self, obj: LedgerAccount) -> SafeString:
        moment = getattr(obj, "as_of", None)
        if moment is None:
            return money(obj.balance_now, obj.currency, sign=True)
        return as_of_note(obj) + money(account_balance(obj, moment), obj.currency, sign=True)

    @display(description=_("owner"))
    def owner(self, obj: LedgerAccount) -> SafeString:
        found = obj.customer or obj.provider
        return page_link(found) if found else badge(_("the house"))

    @display(description=_("entries"))
    def last_entries(self, obj: LedgerAccount) -> SafeString:
        rows = obj.entries.select_related("transfer").order_by("-created_at", "-id")[:_ROWS]
        shown = table(
            (_("When"), _("Transfer"), _("Order"), _("Amount"), _("Balance after")),
            (
                (
                    when(row.created_at),
                    page_link(row.transfer),
                    order_link(row.transfer.order_id),
                    money(row.amount, obj.currency, sign=True),
                    money(row.balance_after, obj.currency),
                )
                for row in rows
            ),
            _("Nothing was ever posted here."),
        )
        return shown + link(list_url(Entry, account__id__exact=obj.pk), _("All entries of this account"))


class EntryInline(TabularInline):
    """Both sides of a transfer."""

    model = Entry
    fields = readonly_fields = ("whose", "amount_shown", "after")
    extra = 0
    can_delete = False
    show_title = False
    ordering = ("id",)
    verbose_name_plural = _("entries")
    amount_shown = money_column("amount", "currency", _("amount"), sign=True)
    after = money_column("balance_after", "currency", _("balance after"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        rows = super().get_queryset(request)
        return rows.select_related("currency", "account__currency", "account__customer", "account__provider")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    @display(description=_("ledger account"))
    def whose(self, obj: Entry) -> SafeString:
        return page_link(obj.account)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ("number", "kind", "order", "actor", "reference", "posted")
    list_display_links = ("number", "kind")
    list_filter = (("kind", ChoicesDropdownFilter), ("created_at", LedgerPeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {"order_id": "uuid", "key": "uuid", "id": "int"}
    search_help_text = _("An order id, a key or a transfer's number, exactly")
    public_lookup = "key"
    inlines = (EntryInline,)
    fields = ("number", "kind", "order", "actor", "reference", "reverses", "posted", "key", "meta_shown")
    order = order_column()
    posted = when_column("created_at", _("when"))
    meta_shown = raw_column("meta", _("details"))

    @display(description=_("transfer"), ordering="id")
    def number(self, obj: Transfer) -> str:
        return f"#{obj.pk}"


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ("number", "posted", "account_link", "amount_shown", "after", "transfer_link")
    list_display_links = None
    list_select_related = (
        "currency",
        "transfer",
        "account__currency",
        "account__customer",
        "account__provider",
    )
    # By way of the account: its table is small enough to have an index of currencies.
    list_filter = (("account__currency", RelatedDropdownFilter), ("created_at", LedgerPeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {
        "transfer__order_id": "uuid",
        "account__customer__email": "lower",
    }
    search_help_text = _("An order id or a customer's e-mail, exactly")
    fields = ("number", "posted", "account_link", "amount_shown", "after", "transfer_link")
    public_lookup = "pk"
    amount_shown = money_column("amount", "currency", _("amount"), sign=True)
    after = money_column("balance_after", "currency", _("balance after"))
    posted = when_column("created_at", _("when"))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "account__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description=_("entry"), ordering="id")
    def number(self, obj: Entry) -> str:
        return f"#{obj.pk}"

    @display(description=_("ledger account"), ordering="account")
    def account_link(self, obj: Entry) -> SafeString:
        return page_link(obj.account)

    @display(description=_("transfer"), ordering="transfer")
    def transfer_link(self, obj: Entry) -> SafeString:
        return page_link(obj.transfer)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("order", "customer", "amount_shown", "taken", "given_back", "still_open", "made")
    list_display_links = None
    list_select_related = ("customer", "currency")
    list_filter = (("currency", RelatedDropdownFilter), ("created_at", PeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {"order_id": "uuid", "customer__email": "lower"}
    search_help_text = _("An order id or a customer's e-mail, exactly")
    fields = ("order", "customer", "amount_shown", "taken", "given_back", "still_open", "made")
    public_lookup = "order_id"
    order = order_column()
    amount_shown = money_column("amount", "currency", _("amount"))
    taken = money_column("captured", "currency", _("captured"))
    given_back = money_column("released", "currency", _("released"))
    made = when_column("created_at", _("when"))

    @display(description=_("still held"))
    def still_open(self, obj: Hold) -> SafeString:
        return money(obj.open_amount, obj.currency)


#: What a proof counts, in the reader's language.
_COUNTED: Final = {"entries": _("entries"), "accounts": _("ledger accounts"), "transfers": _("transfers")}


@admin.register(SelfCheck)
class SelfCheckAdmin(ReadOnlyAdmin):
    list_display = ("finished", "scope", "result", "looked_at")
    list_display_links = ("finished",)
    list_filter = ("is_clean", "is_full")
    fields = ("started", "finished", "scope", "proven", "result", "looked_at", "found")
    public_lookup = "pk"
    started = when_column("started_at", _("started"))
    finished = when_column("finished_at", _("finished"))
    proven = when_column("until_at", _("proven up to"))
    found = raw_column("findings", _("findings"))

    @display(description=_("what was proven"), ordering="is_full")
    def scope(self, obj: SelfCheck) -> SafeString:
        if obj.is_full:
            return badge(_("every entry"), "info")
        return format_html("{} {}", _("what was written since"), when(obj.from_at))

    @display(description=_("result"), ordering="is_clean")
    def result(self, obj: SelfCheck) -> SafeString:
        if obj.is_clean:
            return badge(_("every law holds"), "good")
        return badge(_("broken laws: %(count)s") % {"count": len(obj.findings)}, "bad")

    @display(description=_("looked at"))
    def looked_at(self, obj: SelfCheck) -> str:
        return ", ".join(f"{_COUNTED.get(name, name)}: {count}" for name, count in obj.counts.items())

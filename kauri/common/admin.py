"""What every screen of the back office shares: cells, lists that stay fast, dialogs, refusals in words."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import BaseDialogForm
from unfold.overrides import FORMFIELD_OVERRIDES
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from kauri.common import clock
from kauri.common.errors import KauriError, text_for
from kauri.common.listed import ListedAdmin, ListedChangeList
from kauri.common.models import MoneyField, choice
from kauri.common.money import grouped, plain
from kauri.common.paging import KeysetChangeList, PagedAdmin, found_by
from kauri.common.scoped_admin import for_viewer, may_open
from kauri.common.search import searched

EMPTY = SafeString('<span class="k-none">–</span>')
Column = Callable[[Any, Any], Any]
#: Characters of a stored body shown on a page; the whole of it stays in the database.
_SHOWN_JSON = 4000
_SHORT_ENOUGH = 16
_MINUTE = 60


def money(amount: Decimal | None, currency: Any, *, sign: bool = False) -> SafeString:
    """An amount with its currency: grouped, at the currency's scale, digits under digits."""
    if amount is None:
        return EMPTY
    figure = grouped(amount, currency.scale)
    if sign and amount > 0:
        figure = f"+{figure}"
    tone = " k-minus" if sign and amount < 0 else ""
    # Zeros at the end stay, so that digits stand under digits, but step back for the eye.
    said = figure.rstrip("0").rstrip(".") if "." in figure else figure
    return format_html(
        '<span class="k-money{}">{}<u>{}</u> <i>{}</i></span>', tone, said, figure[len(said) :], currency.code
    )


def digits(amount: Decimal) -> str:
    """Grouped digits without a currency and without zeros at the end."""
    whole, _dot, rest = plain(amount).partition(".")
    return grouped(Decimal(whole), 0) + (f".{rest}" if rest else "")


def age(moment: datetime) -> str:
    """How long ago, in words of the reader's language; a moment to come reads "in …"."""
    now = clock.now()
    if moment > now:
        return str(_("in %(age)s")) % {"age": timeuntil(moment, now, depth=1)}
    if (now - moment).total_seconds() < _MINUTE:
        return str(_("just now"))
    return str(_("%(age)s ago")) % {"age": timesince(moment, now, depth=1)}


def when(moment: datetime | None) -> SafeString:
    """A moment with its zone, and its age below."""
    if moment is None:
        return EMPTY
    said = (f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S} UTC", age(moment))
    template = '<time class="k-when" datetime="{}"><b>{}</b> <b>{}</b> <small>{}</small></time>'
    return format_html(template, clock.iso(moment), *said)


def short(value: object) -> str:
    """A long id or address for the eye: its head and its tail."""
    text = str(value)
    return text if len(text) <= _SHORT_ENOUGH else f"{text[:6]}…{text[-8:]}"


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="k-link" href="{}">{}</a>', url, text)


def badge(text: object, tone: str = "") -> SafeString:
    """A coloured label: ``good``, ``warn``, ``bad``, ``info`` or plain."""
    return format_html('<span class="k-badge k-{}">{}</span>', tone or "plain", text)


def page_url(instance: Model) -> str:
    """The page of a row, by its public id where it has one; empty when there is no such page."""
    options = instance._meta
    # A detail row has its order's key, so it goes by its order's public id.
    named = instance.order if options.pk.name == "order" else instance
    key = getattr(named, "public_id", None) or instance.pk
    try:
        return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=(key,))
    except NoReverseMatch:
        return ""


def page_link(instance: Model | None, text: object = None) -> SafeString:
    if instance is None:
        return EMPTY
    url = page_url(instance) if may_open(type(instance)) else ""
    words = str(instance) if text is None else text
    return link(url, words) if url else format_html("{}", words)


def list_url(model: type[Model], **filters: object) -> str:
    """The list of ``model``, filtered: the rows behind a number."""
    base = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return f"{base}?{query}" if query else base


def order_link(order_id: uuid.UUID | None) -> SafeString:
    """An order by its public id; any type: the orders' own page leads on."""
    if order_id is None:
        return EMPTY
    url = reverse("admin:order_core_order_change", args=(order_id,))
    return format_html('<a class="k-link k-mono" href="{}" title="{}">{}</a>', url, order_id, short(order_id))


def copyable(text: object, shown: object = None) -> SafeString:
    """A value with a button that copies the whole of it."""
    if not text:
        return EMPTY
    return format_html(
        '<span class="k-copy"><code title="{}">{}</code><button type="button" data-copy="{}" title="{}">'
        '<span class="material-symbols-outlined">content_copy</span></button></span>',
        text,
        shown or text,
        text,
        _("Copy"),
    )


def raw(value: object) -> SafeString:
    """JSON or text as it is, in a box."""
    if value in (None, "", {}, []):
        return EMPTY
    text = value if isinstance(value, str) else DjangoJSONEncoder(indent=2, ensure_ascii=False).encode(value)
    return format_html('<pre class="k-raw">{}</pre>', text[:_SHOWN_JSON])


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], empty: object = "") -> SafeString:
    """A small table inside a page."""
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    if not body:
        return format_html('<p class="k-empty">{}</p>', empty or _("Nothing here yet."))
    head = format_html_join("", "<th>{}</th>", ((header,) for header in headers))
    return format_html(
        '<div class="k-scroll"><table class="k-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> SafeString:
    """Before and after, one row a field."""
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    return table(
        (_("Field"), _("Before"), _("After")),
        ((name, _plain(before, name), _plain(after, name)) for name in names),
        _("No fields were recorded."),
    )


def _plain(values: dict[str, Any] | None, name: str) -> object:
    if not values or name not in values:
        return EMPTY
    value = values[name]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or EMPTY
    return raw(value) if isinstance(value, (dict, list)) else EMPTY if value in (None, "") else value


def money_column(field: str, currency: str, title: object, *, sign: bool = False) -> Column:
    """A list column of money: ``field`` in the currency that ``currency`` names."""

    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return money(getattr(obj, field), getattr(obj, currency), sign=sign)

    return column


def bound_column(field: str, title: object) -> Column:
    """A bound without a currency of its own."""

    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> object:
        del self
        value = getattr(obj, field)
        return EMPTY if value is None else digits(value)

    return column


def when_column(field: str, title: object) -> Column:
    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return when(getattr(obj, field))

    return column


def label_column(field: str, title: object, tones: dict[str, str]) -> Column:
    """A choice in its colour."""

    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return badge(choice(obj, field), tones.get(str(getattr(obj, field)), ""))

    return column


def raw_column(field: str, title: object) -> Column:
    @display(description=title)
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return raw(getattr(obj, field))

    return column


def order_column(field: str = "order_id") -> Column:
    @display(description=_("order"))
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return order_link(getattr(obj, field))

    return column


def refusal(error: KauriError) -> str:
    """A service's refusal in the reader's language, with its detail."""
    text = text_for(error.code, (get_language() or "en")[:2])
    details = [error.detail, *(f"{name}: {fault}" for name, fault in error.fields.items())]
    said = "; ".join(part for part in details if part)
    return f"{text} ({said})" if said else text


def attempt(request: HttpRequest, call: Callable[[], object], done: object) -> bool:
    """Run a service; say that it is done, or why it is not. False when it was refused."""
    try:
        call()
    except KauriError as error:
        messages.error(request, refusal(error))
        return False
    messages.success(request, str(done))
    return True


def back_to(request: HttpRequest, url: str) -> HttpResponse:
    """Leave a dialog: htmx follows its own header, a plain form a redirect."""
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def actor_of(request: HttpRequest) -> Any:
    """The signed-in operator as the author of an act."""
    return request.user.as_actor(ip=request.client_ip)


class ReasonForm(BaseDialogForm):
    """A dialog that asks why."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
    )


class MoneyInput(UnfoldAdminTextInputWidget):
    """An amount as plain digits: the browser's number field would make a float of it."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs={"inputmode": "decimal", "autocomplete": "off", **(attrs or {})})

    def format_value(self, value: Any) -> str | None:
        return plain(value) if isinstance(value, Decimal) else super().format_value(value)


class HouseChangeList(ListedChangeList, KeysetChangeList):
    """Columns as they were chosen, pages by the last row of the page before."""


class HouseAdmin(ListedAdmin, PagedAdmin):
    """A list that stays fast on ten million rows: no count, no search by pattern, no stray query."""

    list_fullwidth = True
    list_filter_submit = True
    list_after_template = "admin/kauri/export.html"
    #: ``lookup -> kind``: what the search box compares exactly: uuid, int, address, lower (stored so) or text.
    exact_search: ClassVar[dict[str, str]] = {}
    actions: ClassVar[Sequence[str]] = ()
    show_add_link = True
    #: Unfold asks for these with every row, and a template that misses something looks through all there is.
    list_sections: ClassVar[Sequence[Any]] = ()
    conditional_fields: ClassVar[dict[str, str]] = {}
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        **FORMFIELD_OVERRIDES,
        MoneyField: {"widget": MoneyInput},
    }

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        # Only switches the box on: the search itself is get_search_results.
        del request
        return tuple(self.exact_search)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Each path is compared exactly, as the kind of value that it holds."""
        del request
        term = search_term.strip()
        if not term or not self.exact_search:
            return queryset, False
        conditions = [
            Q(**{lookup: value})
            for lookup, kind in self.exact_search.items()
            if (value := searched(term, kind)) is not None
        ]
        return found_by(queryset, conditions), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HouseChangeList]:
        del request, kwargs
        return HouseChangeList

    def row_url(self, row: Model) -> str:
        """Rows lead to pages named by public ids."""
        return page_url(row)

    def row_found(self, request: HttpRequest, object_id: str, from_field: str | None) -> Any:
        """A page is found by public id; by primary key where there is no other."""
        if from_field is None and (value := searched(str(object_id), "uuid")) is not None:
            row = for_viewer(request, self.page_rows(request).filter(**{self.public_lookup: value}).first())
        else:
            row = super().row_found(request, object_id, from_field)
        if row is not None:
            row.page_name = partial(self.page_name, row)
        return row

    def page_name(self, row: Any) -> str:
        """What the header calls a page: a long id by its head and its tail, the whole of it is on the page."""
        name = str(row)
        return short(name) if searched(name, "uuid") is not None else name

    public_lookup = "public_id"

    def row_of(self, request: HttpRequest, object_id: str) -> Any:
        """The row that an act is about; 404 where this operator sees none of that id."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return row

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is deleted from the back office: what is not wanted is switched off."""
        del request, obj
        return False


class ReadOnlyAdmin(HouseAdmin):
    """Rows that people look at and only services write."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        del request, obj
        return flatten_fieldsets(self.fieldsets or ((None, {"fields": self.fields}),))

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

"""The one list of settings that nobody changes alone, and what a second person is shown before deciding."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db.models import Count, Q, Sum
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from kauri.account.limits import BESIDE
from kauri.account.models import User
from kauri.account.operators import CHANGE, not_of_own_role, of_another_operator
from kauri.account.selectors import require_permission, require_whole
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.admin import EMPTY, badge, digits, list_url, money, order_link, refusal, table, when
from kauri.common.errors import KauriError, text_for
from kauri.core.governing import Beside, Governed, row_names
from kauri.core.models import Currency, Network, Pair, Proposal, Provider, Switch
from kauri.core.switches import STOP
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import usd_rate
from kauri.order_core.dry_run import SHOWN, DryRun, policy_dry_run
from kauri.order_core.models import POLICY_FIELDS, OperatorLimit, Order, Policy, ScreeningPolicy
from kauri.order_core.states import UNDER_WAY
from kauri.payment_provider.models import Channel
from kauri.withdrawal_order.models import ReviewRule

_DAYS: Final = 30
_DAY: Final = timedelta(hours=24)
_OUTCOMES: Final = {"passed": gettext_lazy("passed"), "approval": gettext_lazy("sent to an operator")}


def policy_preview(proposal: Proposal) -> SafeString:
    """The dry run of a policy's change on the orders of the last 30 days."""
    try:
        found = policy_dry_run(int(proposal.target_id) if proposal.target_id else None, proposal.after, _DAYS)
    except KauriError as error:
        return format_html('<p class="k-empty">{}</p>', refusal(error))
    return format_html("{}{}{}", _summary(found), _fees(found), _orders(found))


def _summary(found: DryRun) -> SafeString:
    looked = ngettext(
        "%(count)s order of the last %(days)s days was looked at.",
        "%(count)s orders of the last %(days)s days were looked at.",
        found.looked_at,
    ) % {"count": found.looked_at, "days": _DAYS}
    if found.is_nothing:
        return format_html("<p>{} {}</p>", looked, _("None of them would have gone another way."))
    rows = (
        (_("would have been refused"), found.blocked),
        (_("would have been let through"), found.let_through),
        (_("would have been sent to an operator"), found.to_approval),
        (_("would not have needed an operator"), found.from_approval),
    )
    return format_html(
        "<p>{}</p>{}", looked, table((_("Effect"), _("Orders")), [row for row in rows if row[1]])
    )


def _fees(found: DryRun) -> SafeString:
    if not found.fees:
        return SafeString("")
    currencies = {row.code: row for row in Currency.objects.filter(code__in=found.fees)}
    rows = [(money(amount, currencies[code], sign=True),) for code, amount in sorted(found.fees.items())]
    return table((_("Fees would have been more or less by"),), rows)


def _orders(found: DryRun) -> SafeString:
    if not found.rows:
        return SafeString("")
    rows = [
        (
            order_link(row.order.public_id),
            when(row.order.created_at),
            money(row.order.amount_out, row.order.currency_out),
            _outcome(row.before),
            _outcome(row.after),
            money(row.fee_before, row.order.currency_out),
            money(row.fee_after, row.order.currency_out),
        )
        for row in found.rows
    ]
    shown = table(
        (_("Order"), _("When"), _("Amount"), _("Was"), _("Would be"), _("Fee"), _("Fee then")), rows
    )
    if len(rows) < SHOWN:
        return shown
    return format_html("{}<p>{}</p>", shown, _("Only the first %(count)s are listed.") % {"count": SHOWN})


def _outcome(code: str) -> SafeString:
    if code in _OUTCOMES:
        return badge(_OUTCOMES[code], "good" if code == "passed" else "warn")
    return badge(text_for(code, (get_language() or "en")[:2]), "bad")


def rate_preview(proposal: Proposal) -> SafeString:
    """A proposed rate beside the one that counts now."""
    currency = Currency.objects.get(pk=proposal.after["currency"])
    price = Decimal(proposal.after["price"])
    try:
        now = usd_rate(currency)
    except KauriError as error:
        return format_html('<p class="k-empty">{}</p>', refusal(error))
    change = f"{(price / now.price - 1) * 100:+.2f} %"
    head = (_("Now, US dollars for one"), _("Good until"), _("Proposed"), _("Change"))
    until = when(now.expires_at) if now.expires_at else EMPTY
    return table(head, [(digits(now.price), until, digits(price), change)])


def view_preview(proposal: Proposal) -> SafeString:
    """What the operator sees now and would see: an empty limit is none, which a list of what is lost doesn't say."""
    rows = []
    for name in BESIDE.keys() & set(proposal.after):
        sides = (proposal.before.get(name), proposal.after[name])
        rows.append((BESIDE[name].verbose_name, *(_seen(BESIDE[name], keys) for keys in sides)))
    return (
        table((_("Limit"), _("Before"), _("After")), sorted(rows, key=lambda row: str(row[0])))
        if rows
        else EMPTY
    )


def _seen(beside: Beside, keys: Any) -> str:
    return ", ".join(row_names(beside.related_model, keys)) if keys else _("no limit: all")


def blast_radius(code: str) -> list[tuple[Any, Any]]:
    """What stands still when ``code`` is switched off: orders under way, customers and money of a day."""
    kind, colon, name = code.partition(":")
    orders = Order.objects.all()
    if not colon:
        orders = orders.filter(type=kind.upper())
    elif kind == "currency":
        orders = orders.filter(Q(currency_in__code=name) | Q(currency_out__code=name))
    else:
        orders = orders.filter(Q(withdrawal__provider__code=name) | Q(deposit__payin__provider__code=name))
    lately = orders.filter(created_at__gt=clock.now() - _DAY)
    counted = lately.aggregate(customers=Count("owner", distinct=True), orders=Count("pk"))
    rows: list[tuple[Any, Any]] = [
        (_("orders in the last 24 hours"), counted["orders"]),
        (_("customers with an order in the last 24 hours"), counted["customers"]),
    ]
    # Named one by one: of these there is an index, of "not final" there is none.
    waiting = orders.filter(created_at__gt=clock.now() - timedelta(days=_DAYS), status__in=UNDER_WAY)
    rows.append((_("orders under way, which go on"), waiting.count()))
    sums = lately.values("currency_out").annotate(total=Sum("amount_out")).order_by("currency_out__sort")
    currencies = Currency.objects.in_bulk([row["currency_out"] for row in sums])
    for row in sums:
        amount = money(row["total"], currencies[row["currency_out"]])
        rows.append((_("moved in the last 24 hours"), amount))
    return rows


def allow(actor: Actor, permission: str) -> None:
    """Settings reach beyond any limit: who is limited may stop an operation, and change nothing else."""
    require_permission(actor, permission)
    if permission != STOP:
        require_whole(actor)


GOVERNED: Final = (
    Governed(
        model=Policy,
        fields=("operation", "currency", "user", "group", "account_type", "unit", *POLICY_FIELDS),
        propose="order_core.change_policy",
        preview=policy_preview,
        key=("operation", "currency", "user", "group", "account_type"),
    ),
    Governed(
        model=OperatorLimit,
        fields=("role", "operator", "per_approval", "per_day", "code_above", "second_look"),
        propose="order_core.change_operatorlimit",
        codes=frozenset({"propose", "approve"}),
    ),
    Governed(
        model=ScreeningPolicy,
        fields=(
            "currency",
            "provider",
            "is_enabled",
            "min_amount",
            "hold_score",
            "freeze_score",
            "freeze_signals",
            "wait_minutes",
        ),
        propose="order_core.change_screeningpolicy",
        key=("currency",),
    ),
    Governed(
        model=Channel,
        fields=(
            "provider",
            "currency",
            "is_enabled",
            "priority",
            "min_amount",
            "max_amount",
            "max_parts",
            "pace_seconds",
            "daily_cap",
            "opens_at",
            "closes_at",
            "fails_over",
            "hand_over_minutes",
        ),
        propose="payment_provider.change_channel",
        key=("provider", "currency"),
    ),
    Governed(
        model=ReviewRule,
        fields=(
            "kind",
            "currency",
            "group",
            "threshold",
            "unit",
            "hours",
            "countries",
            "approvals_needed",
            "is_enabled",
        ),
        propose="withdrawal_order.change_reviewrule",
        # Two rules may look at the same: only its number tells a rule.
        key=("id",),
    ),
    # Off is one person's act (kauri/core/switches.py); on again comes through here.
    Governed(
        model=Switch,
        fields=("is_on", "reason", "expires_at"),
        propose="core.stop_switch",
        codes=frozenset({"approve"}),
    ),
    Governed(
        model=Currency,
        fields=("code", "name", "kind", "scale", "symbol", "sort", "is_enabled"),
        propose="core.change_currency",
        # The books are kept at the scale.
        fixed=frozenset({"code", "kind", "scale"}),
        key=("code",),
    ),
    Governed(
        model=Network,
        fields=("code", "title", "currency", "environment", "confirmations", "explorer_url", "is_enabled"),
        propose="core.change_network",
        fixed=frozenset({"code", "currency"}),
        key=("code",),
    ),
    Governed(
        model=Pair,
        fields=("base", "quote", "price_scale", "is_enabled"),
        propose="core.change_pair",
        fixed=frozenset({"base", "quote"}),
        key=("base", "quote"),
    ),
    # Where money goes by, and the keys to it: whoever has a session and no authenticator changes nothing.
    Governed(
        model=Provider,
        fields=(
            "code",
            "title",
            "kind",
            "adapter",
            "environment",
            "priority",
            "is_enabled",
            "settings",
            "credentials_secret",
        ),
        propose="core.change_provider",
        codes=frozenset({"propose", "approve"}),
        secrets=frozenset({"credentials_secret"}),
        fixed=frozenset({"code", "kind", "adapter"}),
        key=("code",),
    ),
    Governed(
        model=Group,
        fields=("name", "permissions"),
        propose=CHANGE,
        codes=frozenset({"propose", "approve"}),
        may=not_of_own_role,
        title=gettext_lazy("role"),
    ),
    Governed(
        model=User,
        fields=("groups", "is_active", "disabled_reason", *BESIDE),
        propose=CHANGE,
        preview=view_preview,
        beside=BESIDE,
        codes=frozenset({"propose", "approve"}),
        may=of_another_operator,
        title=gettext_lazy("operator"),
        url=lambda target_id, label: list_url(User, who="operators", q=label),
    ),
    # Limits, thresholds and review rules in dollars hang on it.
    Governed(
        model=UsdRate,
        fields=("currency", "price", "source", "expires_at"),
        propose="exchange_rate.set_usdrate",
        preview=rate_preview,
        fixed=frozenset({"currency", "price", "source", "expires_at"}),
    ),
)

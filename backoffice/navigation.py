"""The sidebar, its counts, and the search by id: the modules, in the words of the house."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult

from backoffice.work import waiting
from kauri.account.models import User
from kauri.common.admin import page_url, short
from kauri.common.scopes import narrow
from kauri.common.search import searched
from kauri.order_core.models import Order
from kauri.payment_card.models import PaymentCard
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import DepositAddress

_FOUND_AT_MOST = 5


def environment(request: HttpRequest) -> list[str] | None:
    """The badge that says that this is not the real thing, or that the reader does not see all of it."""
    badge = {
        "demo": [str(_("Demo")), "warning"],
        "dev": [str(_("Development")), "info"],
        "test": [str(_("Test")), "info"],
    }.get(settings.KAURI.env)
    if not request.user.is_authenticated or not request.user.scope.is_limited:
        return badge
    said = str(_("Limited view"))
    return [f"{badge[0]} · {said}" if badge else said, "warning"]


#: A limit that nothing reaches.


@dataclass(frozen=True, slots=True)
class Screen:
    """One link of the sidebar."""

    title: str | Promise
    icon: str
    model: str
    query: str = ""
    work: str = ""
    permission: str = ""

    @property
    def needed(self) -> str:
        app, _dot, name = self.model.partition(".")
        return self.permission or f"{app}.view_{name}"

    def link(self) -> str:
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist") + self.query


GROUPS: tuple[tuple[str | Promise, bool, tuple[Screen, ...]], ...] = (
    (
        _("Work"),
        False,
        (
            Screen(
                _("Withdrawals to approve"),
                "approval",
                "withdrawal_order.withdrawaldetail",
                "?queue=waiting",
                work="approvals",
            ),
            Screen(
                _("Movements to approve"),
                "sync_alt",
                "internal_movement_order.movementdetail",
                "?queue=waiting",
                work="movements",
            ),
            Screen(
                _("Verification queue"),
                "verified_user",
                "account.verificationcase",
                "?queue=waiting",
                work="verification",
            ),
            Screen(_("Proposed changes"), "rule", "core.proposal", work="proposals"),
            Screen(_("Adjustments"), "balance", "balance.adjustment", work="adjustments"),
            Screen(
                _("Payments that hang"),
                "contact_support",
                "withdrawal_order.hangingpayout",
                "?queue=waiting",
                work="payouts",
            ),
            Screen(_("Closings by hand"), "gavel", "withdrawal_order.closing", work="closings"),
            Screen(
                _("Unmatched money"),
                "question_exchange",
                "deposit_order.unmatchedmoney",
                "?queue=waiting",
                work="payins",
            ),
            Screen(
                _("Deposits on hold"),
                "pause_circle",
                "deposit_order.depositdetail",
                "?queue=held",
                work="holds",
            ),
            Screen(_("Payins"), "call_received", "payment_provider.payin"),
            Screen(_("Payouts"), "call_made", "payment_provider.payout"),
        ),
    ),
    (
        _("Customers and orders"),
        False,
        (
            Screen(_("Customers"), "group", "account.user"),
            Screen(_("Orders"), "receipt_long", "order_core.order"),
            Screen(_("Cards"), "credit_card", "payment_card.paymentcard"),
            Screen(_("Banned cards"), "credit_card_off", "payment_card.cardban", "?in_force=yes"),
            Screen(_("Deposit addresses"), "qr_code_2", "wallet.depositaddress"),
            Screen(_("Saved destinations"), "bookmark", "withdrawal_order.saveddestination"),
            Screen(_("Payment links"), "link", "wallet.paymentlink"),
            Screen(_("Sweeps"), "cyclone", "wallet.sweep"),
            Screen(_("Reconciliation"), "rule_settings", "wallet.reconciliation"),
            Screen(
                _("Reconciliation breaks"),
                "compare_arrows",
                "wallet.reconciliationbreak",
                query="?state__exact=open",
                work="breaks",
            ),
            Screen(
                _("Foreign tokens"),
                "token",
                "wallet.foreigntoken",
                query="?state__exact=open",
                work="foreign",
            ),
        ),
    ),
    (
        _("Books"),
        True,
        (
            Screen(_("Ledger accounts"), "account_balance", "balance.ledgeraccount"),
            Screen(_("Transfers"), "swap_horiz", "balance.transfer"),
            Screen(_("Entries"), "list_alt", "balance.entry"),
            Screen(_("Holds"), "lock_clock", "balance.hold"),
            Screen(_("Closed months"), "event_available", "balance.period"),
            Screen(_("Self-checks"), "fact_check", "balance.selfcheck"),
            Screen(_("Reports"), "description", "report.reportrun"),
            Screen(_("Exports of lists"), "download", "report.listexport", permission="report.export_list"),
        ),
    ),
    (
        _("In and out"),
        True,
        (
            Screen(_("Callbacks"), "move_to_inbox", "callbacks.inboundcallback", work="callbacks"),
            Screen(_("Webhooks and messages"), "outbox", "notification.delivery", work="deliveries"),
            Screen(_("Analyses"), "troubleshoot", "order_core.screening"),
            Screen(_("Provider balances"), "savings", "payment_provider.providerbalancesnapshot"),
        ),
    ),
    (
        _("Settings"),
        True,
        (
            Screen(_("Policies"), "tune", "order_core.policy"),
            Screen(_("Operator limits"), "supervisor_account", "order_core.operatorlimit"),
            Screen(_("Payout channels"), "alt_route", "payment_provider.channel"),
            Screen(_("Review rules"), "checklist", "withdrawal_order.reviewrule"),
            Screen(_("Analysis rules"), "policy_alert", "order_core.screeningpolicy"),
            Screen(_("Switches"), "toggle_on", "core.switch"),
            Screen(_("US dollar rates"), "attach_money", "exchange_rate.usdrate"),
            Screen(_("Providers"), "hub", "core.provider"),
            Screen(_("Currencies"), "paid", "core.currency"),
            Screen(_("Networks"), "lan", "core.network"),
            Screen(_("Pairs"), "currency_exchange", "core.pair"),
            Screen(_("Customer groups"), "diversity_3", "account.customergroup"),
        ),
    ),
    (
        _("Trust"),
        True,
        (
            Screen(_("Audit"), "policy", "core.auditentry"),
            Screen(_("Proofs of the audit"), "verified", "core.auditcheck"),
            Screen(_("Sign-ins"), "login", "account.signin"),
            Screen(_("Operators"), "badge", "account.user", "?who=operators", permission="auth.view_group"),
            Screen(
                _("Second factor resets"),
                "phonelink_erase",
                "account.factorreset",
                permission="auth.view_group",
            ),
            Screen(_("Roles"), "admin_panel_settings", "auth.group"),
            Screen(_("Workers"), "monitor_heart", "core.heartbeat"),
            Screen(_("Schedules"), "schedule", "core.schedulerun"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of links; each is shown to those who may open it."""
    counts = waiting(request)
    desk = {"title": _("Desk"), "icon": "space_dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"title": "", "items": [desk]}]
    for title, collapsible, screens in GROUPS:
        items = [_item(request, screen, counts) for screen in screens if request.user.has_perm(screen.needed)]
        if items:
            groups.append({"title": title, "collapsible": collapsible, "separator": True, "items": items})
    return groups


def _item(request: HttpRequest, screen: Screen, counts: dict[str, int]) -> dict[str, Any]:
    link = screen.link()
    path, _mark, query = link.partition("?")
    here = request.path.startswith(path)
    if screen.model == "account.user":
        here = here and hasattr(request, "header_list") == bool(query)
    item = {
        "title": screen.title,
        "icon": screen.icon,
        "link": link,
        "active": lambda _request: here,
        # Said, for the template looks through all of a dictionary's methods for what it misses.
        "link_callback": None,
        "link_attrs": None,
        "icon_template": None,
    }
    if counts.get(screen.work):
        item |= {"badge": counts[screen.work], "badge_variant": "danger", "badge_style": "solid"}
    return item


#: What the palette looks up: the model, its icon, and the lookups with the kind of value each takes.
_IDS: tuple[tuple[type[Model], str, dict[str, str]], ...] = (
    (Order, "receipt_long", {"public_id": "uuid", "external_id": "text", "withdrawal__destination": "text"}),
    (User, "person", {"email": "lower", "public_id": "uuid"}),
    (Payin, "call_received", {"transaction": "text", "reference": "text"}),
    (Payout, "call_made", {"provider_reference": "text", "public_id": "uuid"}),
    (DepositAddress, "qr_code_2", {"address": "text"}),
    (PaymentCard, "credit_card", {"token": "text", "last4": "text"}),
)


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Rows named by exactly ``term``: ids, e-mails, addresses, hashes, as far as the operator may see."""
    results: list[SearchResult] = []
    for model, icon, lookups in _IDS:
        if request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"):
            results += _found(_visible(request, model), icon, lookups, term)
    return results


def _visible(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    rows = narrow(model._default_manager.order_by("-pk"), request.user.scope)
    if model is User and not request.user.has_perm("auth.view_group"):
        return rows.filter(is_staff=False)
    return rows


def _found(rows: QuerySet[Any], icon: str, lookups: dict[str, str], term: str) -> Iterable[SearchResult]:
    seen: set[int] = set()
    for lookup, kind in lookups.items():
        value = searched(term, kind)
        if value is None:
            continue
        for row in rows.filter(**{lookup: value})[:_FOUND_AT_MOST]:
            if row.pk not in seen:
                seen.add(row.pk)
                title = short(row.public_id) if isinstance(row, Order) else str(row)
                yield SearchResult(
                    title=title, description=str(row._meta.verbose_name), link=page_url(row), icon=icon
                )

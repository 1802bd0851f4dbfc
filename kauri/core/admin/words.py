"""What the audit's codes are called on pages: acts, objects, kinds of actors. The rows keep the codes."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.apps import apps
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kauri.common.actor import ActorKind

Words = str | Promise

ACTORS: Final[dict[str, Words]] = {
    ActorKind.CUSTOMER: gettext_lazy("customer"),
    ActorKind.OPERATOR: gettext_lazy("operator"),
    ActorKind.API_KEY: gettext_lazy("API key"),
    ActorKind.PROVIDER: gettext_lazy("provider"),
    ActorKind.SYSTEM: gettext_lazy("the house itself"),
}
ACTS: Final[dict[str, Words]] = {
    "account_disable": gettext_lazy("Account disabled"),
    "account_enable": gettext_lazy("Account enabled"),
    "account_freeze": gettext_lazy("Account frozen by its owner"),
    "account_setting_set": gettext_lazy("Account setting changed"),
    "account_sign_out": gettext_lazy("All sessions ended"),
    "adjustment_approve": gettext_lazy("Adjustment approved"),
    "adjustment_document_view": gettext_lazy("Adjustment's document opened"),
    "adjustment_propose": gettext_lazy("Adjustment proposed"),
    "adjustment_reject": gettext_lazy("Adjustment rejected"),
    "adjustment_withdraw": gettext_lazy("Adjustment taken back"),
    "anti_phishing_code_set": gettext_lazy("Anti-phishing code set"),
    "api_key_create": gettext_lazy("API key made"),
    "api_key_delete": gettext_lazy("API key deleted"),
    "api_key_verify": gettext_lazy("API key confirmed"),
    "break_explain": gettext_lazy("Reconciliation break explained"),
    "callback_replay": gettext_lazy("Callback processed again"),
    "card_ban": gettext_lazy("Card banned"),
    "card_create": gettext_lazy("Card added"),
    "card_delete": gettext_lazy("Card deleted"),
    "card_release": gettext_lazy("Card released"),
    "card_switch": gettext_lazy("Card switched on or off by its owner"),
    "card_stop": gettext_lazy("Card stopped"),
    "card_unban": gettext_lazy("Card's ban lifted"),
    "cards_find": gettext_lazy("Card searched by its number"),
    "change_password": gettext_lazy("Password changed"),
    "closing_approve": gettext_lazy("Closing approved"),
    "closing_document_view": gettext_lazy("Closing's document opened"),
    "closing_propose": gettext_lazy("Closing proposed"),
    "closing_reject": gettext_lazy("Closing rejected"),
    "closing_withdraw": gettext_lazy("Closing taken back"),
    "code_refused": gettext_lazy("Wrong one-time code"),
    "columns_choose": gettext_lazy("Columns of a list chosen"),
    "create_from_telegram": gettext_lazy("Account made in Telegram"),
    "customer_note_add": gettext_lazy("Note on a customer written"),
    "customer_verify": gettext_lazy("Verification level set"),
    "customer_view": gettext_lazy("Customer's page opened"),
    "delivery_redeliver": gettext_lazy("Message sent again"),
    "deposit_hold_credit": gettext_lazy("Held deposit credited"),
    "deposit_hold_freeze": gettext_lazy("Held deposit frozen"),
    "deposit_link_cancel": gettext_lazy("Payment link cancelled"),
    "disable_2fa": gettext_lazy("Second factor removed"),
    "email_verify": gettext_lazy("E-mail confirmed"),
    "enable_2fa": gettext_lazy("Second factor set up"),
    "factor_reset_approve": gettext_lazy("Operator's second factor taken off"),
    "factor_reset_expire": gettext_lazy("Reset of a second factor ran out"),
    "factor_reset_propose": gettext_lazy("Reset of a second factor proposed"),
    "factor_reset_reject": gettext_lazy("Reset of a second factor rejected"),
    "factor_reset_withdraw": gettext_lazy("Reset of a second factor taken back"),
    "foreign_explain": gettext_lazy("Foreign token explained"),
    "list_export_ask": gettext_lazy("Long export asked for"),
    "list_export_cancel": gettext_lazy("Long export cancelled"),
    "list_export": gettext_lazy("List exported"),
    "movement_approve": gettext_lazy("Movement approved"),
    "movement_reject": gettext_lazy("Movement rejected"),
    "movement_take": gettext_lazy("Movement taken"),
    "movement_untake": gettext_lazy("Movement given back to the queue"),
    "note_add": gettext_lazy("Note written"),
    "opening_post": gettext_lazy("Opening balance posted"),
    "openings_post": gettext_lazy("Opening balances posted"),
    "operator_limits_change": gettext_lazy("Operator's view limited anew"),
    "operator_disable": gettext_lazy("Operator shut out"),
    "operator_make": gettext_lazy("Operator made"),
    "operator_roles_change": gettext_lazy("Operator's roles changed"),
    "pack_download": gettext_lazy("Month's pack downloaded"),
    "payout_ask": gettext_lazy("Payout asked about by hand"),
    "payout_cancel": gettext_lazy("Payout's cancellation asked for"),
    "period_close": gettext_lazy("Month closed"),
    "proposal_apply": gettext_lazy("Proposed change took effect"),
    "proposal_approve": gettext_lazy("Proposed change approved"),
    "proposal_expire": gettext_lazy("Proposed change expired"),
    "proposal_fail": gettext_lazy("Proposed change could not be applied"),
    "proposal_make": gettext_lazy("Change proposed"),
    "proposal_reject": gettext_lazy("Proposed change rejected"),
    "proposal_withdraw": gettext_lazy("Proposed change taken back"),
    "recovery_code_use": gettext_lazy("Recovery code used"),
    "report_download": gettext_lazy("Report downloaded"),
    "report_request": gettext_lazy("Report asked for"),
    "reset_link_send": gettext_lazy("Link to a new password sent"),
    "saved_destination_confirm": gettext_lazy("Address book: destination confirmed"),
    "saved_destination_remove": gettext_lazy("Address book: destination removed"),
    "secrets_rotate": gettext_lazy("Secrets encrypted anew"),
    "session_end": gettext_lazy("Session ended"),
    "session_reuse": gettext_lazy("Used token shown again"),
    "settings_import": gettext_lazy("Settings proposed by a file"),
    "set_new_password": gettext_lazy("Password set anew"),
    "switch_expire": gettext_lazy("Switch's time is over"),
    "switch_off": gettext_lazy("Switched off"),
    "telegram_assign": gettext_lazy("Telegram tied to the account"),
    "telegram_unassign": gettext_lazy("Telegram untied"),
    "telegram_verify": gettext_lazy("Telegram confirmed"),
    "unmatched_approve": gettext_lazy("Unmatched money: proposal approved"),
    "unmatched_propose": gettext_lazy("Unmatched money: proposed"),
    "unmatched_reject": gettext_lazy("Unmatched money: proposal rejected"),
    "unmatched_withdraw": gettext_lazy("Unmatched money: proposal taken back"),
    "usd_rate_set": gettext_lazy("Rate to the dollar set"),
    "user_create": gettext_lazy("Account made"),
    "verification_approve": gettext_lazy("Verification approved"),
    "verification_ask_again": gettext_lazy("Documents asked for again"),
    "verification_case_view": gettext_lazy("Verification opened"),
    "verification_document_add": gettext_lazy("Verification document added"),
    "verification_document_view": gettext_lazy("Verification document opened"),
    "verification_play": gettext_lazy("Provider's verdict played"),
    "verification_reject": gettext_lazy("Verification rejected"),
    "verification_start": gettext_lazy("Verification begun"),
    "view_default": gettext_lazy("View of a list made the first"),
    "view_delete": gettext_lazy("View of a list deleted"),
    "view_rename": gettext_lazy("View of a list renamed"),
    "view_replace": gettext_lazy("View of a list saved over"),
    "view_save": gettext_lazy("View of a list saved"),
    "view_share": gettext_lazy("View of a list shared"),
    "white_ip_create": gettext_lazy("Allowed address added"),
    "white_ip_delete": gettext_lazy("Allowed address removed"),
    "white_ips_lift": gettext_lazy("Allowed addresses lifted"),
    "whitelist_off": gettext_lazy("Withdrawals to any address allowed again"),
    "whitelist_on": gettext_lazy("Withdrawals kept to the address book"),
    "withdrawal_approve": gettext_lazy("Withdrawal approved"),
    "withdrawal_ask": gettext_lazy("Customer asked about a withdrawal"),
    "withdrawal_cancel": gettext_lazy("Withdrawal taken back by the customer"),
    "withdrawal_confirm": gettext_lazy("Withdrawal confirmed by the customer"),
    "withdrawal_hand": gettext_lazy("Withdrawal handed on"),
    "withdrawal_hold": gettext_lazy("Withdrawal put on hold"),
    "withdrawal_reject": gettext_lazy("Withdrawal rejected"),
    "withdrawal_take": gettext_lazy("Withdrawal taken"),
    "withdrawal_unhold": gettext_lazy("Withdrawal back in the queue"),
    "withdrawal_untake": gettext_lazy("Withdrawal given back to the queue"),
}
#: Objects that are no model of their name.
_OBJECTS: Final[dict[str, Words]] = {
    "api_key": gettext_lazy("API key"),
    "callback": gettext_lazy("callback"),
    "card_number": gettext_lazy("card number"),
    "period": gettext_lazy("month"),
    "report": gettext_lazy("report"),
    "group": gettext_lazy("role"),
    "secrets": gettext_lazy("secrets"),
}
#: What entries are about, for whoever looks for one; settings go by their models.
OBJECTS: Final = (
    *_OBJECTS,
    "adjustment",
    "card_ban",
    "currency",
    "customergroup",
    "delivery",
    "factor_reset",
    "foreign_token",
    "network",
    "operatorlimit",
    "order",
    "pair",
    "payin",
    "payment_card",
    "paymentlink",
    "payout",
    "policy",
    "provider",
    "reconciliation_break",
    "reviewrule",
    "screeningpolicy",
    "session",
    "switch",
    "transfer",
    "usdrate",
    "user",
    "verification_case",
)
_MADE: Final = ("_add", "_change")


@cache
def _models() -> dict[str, Any]:
    return {str(model._meta.model_name): model._meta for model in apps.get_models()}


def object_title(code: str) -> str:
    """What an audit entry's ``object_type`` is called: ``order``, ``verification_case``, ``core.provider``."""
    if code in _OBJECTS:
        return str(_OBJECTS[code])
    found = _models().get(code.rpartition(".")[2].replace("_", ""))
    return code if found is None else str(found.verbose_name)


def act_title(code: str) -> str:
    """What an audit entry's ``verb`` is called; a setting's own change by the setting's name."""
    if code in ACTS:
        return str(ACTS[code])
    for end, words in zip(_MADE, (_("Added: %(what)s"), _("Changed: %(what)s")), strict=True):
        if code.endswith(end) and code.removesuffix(end) in _models():
            return words % {"what": object_title(code.removesuffix(end))}
    return code


def act_words(code: str) -> SafeString:
    """An act in words; its code when one points at it."""
    return format_html('<span title="{}">{}</span>', code, act_title(code))


def actor_kind_title(code: str) -> str:
    return str(ACTORS[code]) if code in ACTORS else code

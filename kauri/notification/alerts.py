"""Which events operators are told about, and in what words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Payload = dict[str, Any]

#: What waits for a decision, by the order's type.
_WAITING: Final = {"WITHDRAWAL": "Withdrawal", "INTERNAL_MOVEMENT": "Internal movement"}
#: event kind -> the text of the alert, facts first. An event not listed alerts nobody.
ALERTS: Final[dict[str, Callable[[Payload, str], str]]] = {
    "approval.waiting": lambda p, url: (
        f"⏳ {_WAITING.get(p['type'], 'Order')} waits: {p['amount']} {p['currency']}\n"
        f"Customer: {p['customer']}\nWhy: {'; '.join(p['rules'])}\n{url}/order_core/order/{p['order_id']}/"
    ),
    "audit.broken": lambda p, url: (
        f"🚨 The audit is not as it was written: {'; '.join(p['laws'])}\n{url}/core/auditcheck/{p['check']}/change/"
    ),
    "approval.handed": lambda p, url: (
        f"🤝 {p['by']} hands a withdrawal to {p['to']}: {p['amount']} {p['currency']}\n"
        f"Customer: {p['customer']}\n"
        + (f"{p['words']}\n" if p["words"] else "")
        + f"{url}/order_core/order/{p['order_id']}/"
    ),
    "approval.held_long": lambda p, url: (
        f"⏰ {_WAITING.get(p['type'], 'Order')} on hold for {p['hours']} hours: {p['amount']} {p['currency']}\n"
        f"Customer: {p['customer']}\nBy {p['by']} since {p['since']} UTC: {p['reason']}\n"
        f"{url}/order_core/order/{p['order_id']}/"
    ),
    "payout.unknown": lambda p, url: (
        f"❓ Payout outcome unknown: {p['amount']} {p['currency']} through {p['provider']}\n"
        f"{p['reason']}\n{url}/order_core/order/{p['order_id']}/"
    ),
    "payin.unmatched": lambda p, _: f"📥 Unmatched money: {p['amount']} {p['currency']}\n{p['reason']}",
    "unmatched.waiting": lambda p, url: (
        f"📥 {p['by']} proposes: {p['what']}, {p['amount']} {p['currency']}\nWhy: {p['reason']}\n"
        f"{url}/deposit_order/unmatchedmoney/{p['payin_id']}/"
    ),
    "closing.waiting": lambda p, url: (
        f"⚖️ {p['by']} proposes how a payout ended: {p['what']}, {p['amount']} {p['currency']}\nWhy: {p['reason']}\n"
        f"{url}/withdrawal_order/closing/?q={p['order_id']}"
    ),
    "deposit.held": lambda p, url: (
        f"🛑 Analysis stops a deposit ({p['outcome']}): {p['amount']} {p['currency']} for {p['customer']}\n"
        f"{url}/deposit_order/depositdetail/{p['order_id']}/"
    ),
    "deposit.orphaned_after_credit": lambda p, _: (
        f"🚨 Credited deposit left the chain: {p['amount']} {p['currency']}, {p['transaction']} ({p['provider']})"
    ),
    "chain.reorg_too_deep": lambda p, _: f"🚨 Reorganisation deeper than we remember: {p['detail']}",
    "provider.health": lambda p, _: f"🩺 {p['provider']} is {p['health']}: {p['detail']}",
    "reconciliation.break": lambda p, url: (
        f"⚖️ Chain and books disagree: {p['amount']} {p['currency']} ({p['kind']}) at {p['provider']}\n"
        f"{p['subject']}\n{url}/wallet/reconciliationbreak/{p['break_id']}/change/"
    ),
    "foreign_token.seen": lambda p, url: (
        f"🪙 A token that is none of ours came to {p['address']} ({p['provider']})"
        + (f", and {p['more']} more" if p["more"] else "")
        + f"\nContract: {p['contract']}, amount in its own unit: {p['amount']}\n"
        f"{url}/wallet/foreigntoken/{p['token_id']}/change/"
    ),
    "sweep.unknown": lambda p, _: (
        f"❓ Outcome unknown of moving our own {p['amount']} {p['currency']} ({p['purpose']}) through {p['provider']}\n"
        f"{p['reason']}"
    ),
    "wallet.hot_low": lambda p, _: (
        f"🪫 Hot wallet of {p['provider']} is low: {p['amount']} {p['currency']}, the floor is {p['floor']}"
    ),
    "callback.failed": lambda p, _: f"⚠️ Callback of {p['provider']} failed for good: {p['error']}",
    "proposal.waiting": lambda p, url: (
        f"📝 {p['by']} proposes a change: {p['label']}\n{', '.join(p['fields'])}\nWhy: {p['reason']}\n"
        f"{url}/core/proposal/{p['proposal_id']}/"
    ),
    "proposal.failed": lambda p, url: (
        f"⚠️ An approved change could not be made: {p['label']}\n{p['error']}\n"
        f"{url}/core/proposal/{p['proposal_id']}/"
    ),
    "adjustment.waiting": lambda p, url: (
        f"📒 {p['by']} proposes: {p['what']}\nWhy: {p['reason']}\n"
        f"{url}/balance/adjustment/{p['adjustment_id']}/"
    ),
    "factor_reset.waiting": lambda p, url: (
        f"🔑 {p['by']} proposes to take the second factor of {p['operator']} off\nWhy: {p['reason']}\n"
        f"{url}/account/factorreset/{p['reset_id']}/"
    ),
    "account.frozen": lambda p, url: (
        f"🧊 Frozen by its owner: {p['customer']}\n{url}/account/user/{p['user_id']}/"
    ),
    "verification.stuck": lambda p, url: (
        f"🪪 {p['provider']} does not answer about {p['customer']}: {p['detail']}\n"
        f"{url}/account/verificationcase/{p['case_id']}/"
    ),
    "verification.unknown": lambda p, url: (
        f"❓ {p['provider']} said something unknown about {p['customer']}: {p['detail']}\n"
        f"{url}/account/verificationcase/{p['case_id']}/"
    ),
    "verification.contradicted": lambda p, url: (
        f"⚠️ {p['provider']} no longer verifies {p['customer']} ({p['detail']}), who has level {p['level']}\n"
        f"{url}/account/verificationcase/{p['case_id']}/"
    ),
    "switch.off": lambda p, _: f"🛑 Switched off: {p['code']} by {p['by']}\nWhy: {p['reason']}",
    "switch.on": lambda p, _: f"🟢 Runs again: {p['code']} ({p['by']})",
    "ledger.broken": lambda p, _: "🚨 The ledger's self-check found: " + "; ".join(p["laws"]),
}


def alert_text(kind: str, payload: Payload, public_url: str) -> str | None:
    """The alert for an event; None when nobody is to be told."""
    make = ALERTS.get(kind)
    return make(payload, public_url) if make else None

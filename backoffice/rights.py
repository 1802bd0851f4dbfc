"""What the application's own database role may do, table by table: the ledger's laws hold against us too.

The owner of the schema migrates and loads; everything that serves or works connects as the role
named here (``KAURI_DATABASE_ROLE``), which reads the ledger and calls its functions, adds to what is
append-only, and never deletes an order. ``manage.py migrate`` applies this list; so does
``manage.py rights``. A table that is not named may be read and written.
"""

from __future__ import annotations

from typing import Final

from django.db import connection
from psycopg import sql

#: Read only: written by the functions below alone.
READ: Final = frozenset(
    {
        "django_migrations",
        "guardian_groupobjectpermission",
        "ledger_account",
        "ledger_account_now",
        "ledger_balance_day",
        "ledger_currency_day",
        "ledger_day",
        "ledger_entry",
        "ledger_hold",
        "ledger_hot_delta",
        "ledger_kind",
        "ledger_period",
        "ledger_transfer",
    }
)
#: Written once.
APPEND: Final = frozenset(
    {
        "account_customernote",
        "account_verificationanswer",
        "account_verificationdecision",
        "account_verificationdocument",
        "account_verificationmove",
        "balance_selfcheck",
        "balance_trialbalancepack",
        "core_auditblock",
        "core_auditcheck",
        "core_auditentry",
        "core_auditkey",
        "exchange_rate_usdrate",
        "order_core_approvalvote",
        "order_core_ordernote",
        "order_core_screeningdecision",
        "order_core_transition",
        "payment_card_cardkey",
        "wallet_reconciliation",
        "withdrawal_order_whitelistchange",
    }
)
#: Written and changed, never deleted.
KEEP: Final = frozenset(
    {
        "account_factorreset",
        "account_onetimelink",
        "account_session",
        "account_user",
        "account_verificationcase",
        "balance_adjustment",
        "core_currency",
        "core_network",
        "core_proposal",
        "core_provider",
        "deposit_order_depositdetail",
        "deposit_order_unmatchedact",
        "internal_movement_order_movementdetail",
        "order_core_approval",
        "order_core_decisionask",
        "order_core_operatorlimit",
        "order_core_screening",
        "order_core_screeningpolicy",
        "order_core_order",
        "payment_card_cardban",
        "payment_card_paymentcard",
        "payment_provider_channel",
        "payment_provider_coin",
        "payment_provider_coinaddress",
        "payment_provider_payin",
        "payment_provider_payout",
        "report_listexport",
        "wallet_foreigntoken",
        "wallet_reconciliationbreak",
        "wallet_sweep",
        "withdrawal_order_closing",
        "withdrawal_order_reviewrule",
        "withdrawal_order_saveddestination",
        "withdrawal_order_withdrawaldetail",
        "withdrawal_order_withdrawalpart",
    }
)
#: The ledger's doors.
FUNCTIONS: Final = frozenset(
    {
        "ledger_barrier",
        "ledger_close_days",
        "ledger_close_period",
        "ledger_hold",
        "ledger_post",
        "ledger_post_batch",
        "ledger_roll",
        "ledger_settle_hold",
    }
)

ALL: Final = ("select", "insert", "update", "delete")


def verbs(table: str) -> tuple[str, ...]:
    """What the role may do with ``table``."""
    if table in READ:
        return ("select",)
    # Versions of settings rows are history too.
    if table in APPEND or "_historical" in table:
        return ("select", "insert")
    if table in KEEP:
        return ("select", "insert", "update")
    return ALL


def tables() -> list[str]:
    """Every table and view of the schema."""
    return _names(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
    )


def functions() -> list[str]:
    """The signatures of the functions that the role may call."""
    return [
        signature
        for signature in _names(
            "select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace"
        )
        if signature.partition("(")[0] in FUNCTIONS
    ]


def role_exists(role: str) -> bool:
    """Whether the database server knows the role."""
    return bool(_names("select rolname from pg_roles where rolname = %s", role))


def role_make(role: str, password: str) -> None:
    """Make the role; it can log in when it has a password, or where the server trusts the socket."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("create role {} login").format(sql.Identifier(role)).as_string(None))
        if password:
            statement = sql.SQL("alter role {} password {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
            cursor.execute(statement.as_string(None))


def apply(role: str) -> None:
    """Give the role exactly these rights, taking away all that it had."""
    name = sql.Identifier(role).as_string(None)
    with connection.cursor() as cursor:
        cursor.execute("revoke create on schema public from public")
        cursor.execute(f"revoke all on all tables in schema public from {name}")
        cursor.execute(f"revoke all on all functions in schema public from {name}")
        cursor.execute(f"grant usage on schema public to {name}")
        cursor.execute(f"grant usage, select on all sequences in schema public to {name}")
        for table in tables():
            what = sql.Identifier(table).as_string(None)
            cursor.execute(f"grant {', '.join(verbs(table))} on {what} to {name}")
        for signature in functions():
            cursor.execute(f"grant execute on function {signature} to {name}")


def owns_the_ledger() -> bool:
    """Whether this very connection could write the ledger's tables by hand."""
    return bool(_names("select 'yes' where has_table_privilege(current_user, 'ledger_entry', 'insert')"))


def _names(query: str, *params: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return [row[0] for row in cursor.fetchall()]

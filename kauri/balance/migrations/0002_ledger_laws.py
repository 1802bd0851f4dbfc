"""The ledger's functions, triggers and view. The SQL stands in ``ledger.sql``."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "ledger.sql").read_text(encoding="utf-8")

UNDO = """
drop view ledger_account_now;
drop function ledger_roll(int);
drop function ledger_settle_hold(uuid, bytea, smallint, uuid, numeric, boolean, smallint[], smallint[], bigint[],
  bigint[], boolean[], boolean[], numeric[], text, text, jsonb);
drop function ledger_hold(uuid, bytea, smallint, uuid, bigint, smallint, numeric, text, text);
drop function ledger_post(uuid, bytea, smallint, smallint[], smallint[], bigint[], bigint[], boolean[], boolean[],
  numeric[], uuid, text, text, jsonb, bigint);
drop function ledger_account_id(smallint, smallint, bigint, bigint, boolean, boolean);
drop function ledger_entry_belongs() cascade;
drop function ledger_zero_sum() cascade;
drop function ledger_account_identity() cascade;
drop function ledger_forbid() cascade;
drop index ledger_entry_created;
drop function ledger_now();
"""


class Migration(migrations.Migration):
    dependencies = [("balance", "0001_initial")]
    operations = [migrations.RunSQL(SQL, UNDO)]

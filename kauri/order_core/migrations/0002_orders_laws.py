"""Orders' laws held by the database. The SQL stands in ``orders.sql``."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "orders.sql").read_text(encoding="utf-8")
UNDO = """
drop function order_status_has_history() cascade;
drop function order_identity() cascade;
drop trigger order_core_transition_append on order_core_transition;
drop trigger order_core_transition_keep on order_core_transition;
drop trigger order_core_approvalvote_append on order_core_approvalvote;
"""


class Migration(migrations.Migration):
    dependencies = [("order_core", "0001_initial"), ("core", "0002_append_only")]
    operations = [migrations.RunSQL(SQL, UNDO)]

"""Laws of what withdrawals wait for, in the database; and the rule that was code becomes a row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import migrations

SQL = (Path(__file__).parent / "review_laws.sql").read_text(encoding="utf-8")
UNDO = """
drop function withdrawal_waits_for_nothing() cascade;
drop function withdrawal_confirmed_or_ended() cascade;
drop function saved_destination_stays() cascade;
drop trigger withdrawal_order_whitelistchange_append on withdrawal_order_whitelistchange;
drop trigger withdrawal_order_whitelistchange_keep on withdrawal_order_whitelistchange;
"""


def seed(apps: Any, schema_editor: Any) -> None:
    """A house that has paid withdrawals keeps looking at new destinations; a new one gets the rule with its seed."""
    del schema_editor
    if not apps.get_model("withdrawal_order", "WithdrawalDetail").objects.exists():
        return
    row = apps.get_model("withdrawal_order", "ReviewRule").objects.create(kind="new_destination")
    apps.get_model("withdrawal_order", "HistoricalReviewRule").objects.create(
        id=row.pk,
        kind=row.kind,
        history_date=datetime.now(UTC),
        history_type="+",
        history_change_reason="this rule was part of the code before",
    )


class Migration(migrations.Migration):
    dependencies = [("withdrawal_order", "0050_review"), ("core", "0002_append_only")]
    operations = [migrations.RunSQL(SQL, UNDO), migrations.RunPython(seed, migrations.RunPython.noop)]

"""Acts and booked payins stay what they were. The SQL stands in ``unmatched_acts.sql``."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "unmatched_acts.sql").read_text(encoding="utf-8")
UNDO = """
drop function deposit_order_act_identity() cascade;
drop function payment_provider_payin_identity() cascade;
"""


class Migration(migrations.Migration):
    dependencies = (
        ("deposit_order", "0030_unmatched_acts"),
        ("payment_provider", "0030_money_without_a_home"),
    )

    operations = (migrations.RunSQL(SQL, UNDO),)

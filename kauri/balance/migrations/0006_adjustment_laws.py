"""What was proposed never changes. The SQL stands in ``adjustments.sql``."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "adjustments.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = (("balance", "0005_adjustments"),)

    operations = (migrations.RunSQL(SQL, "drop function balance_adjustment_identity() cascade"),)

"""Many transfers in one call. The SQL stands in ``batches.sql``."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

HERE = Path(__file__).parent


class Migration(migrations.Migration):
    dependencies = (("balance", "0006_adjustment_laws"),)

    operations = (migrations.RunSQL((HERE / "batches.sql").read_text(encoding="utf-8")),)

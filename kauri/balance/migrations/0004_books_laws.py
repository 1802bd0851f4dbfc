"""Faster writers, the chart in the database, days and periods. The SQL stands in ``books.sql`` and ``days.sql``.

There is no way back: closed days and periods can't be forgotten.
"""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

HERE = Path(__file__).parent


class Migration(migrations.Migration):
    dependencies = (("balance", "0003_books"),)

    operations = (
        migrations.RunSQL((HERE / "books.sql").read_text(encoding="utf-8")),
        migrations.RunSQL((HERE / "days.sql").read_text(encoding="utf-8")),
    )

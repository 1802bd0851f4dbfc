"""Append-only audit, and the table of the database cache."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "append_only.sql").read_text(encoding="utf-8")
UNDO = "drop table core_throttle; drop table core_cache; drop function house_append_only() cascade;"


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunSQL(SQL, UNDO)]

"""Decisions on analyses are written once."""

from __future__ import annotations

from django.db import migrations

SQL = """
create trigger order_core_screeningdecision_append before update or delete on order_core_screeningdecision
  for each row execute function house_append_only();
create trigger order_core_screeningdecision_keep before truncate on order_core_screeningdecision
  for each statement execute function house_append_only();
"""
UNDO = """
drop trigger order_core_screeningdecision_append on order_core_screeningdecision;
drop trigger order_core_screeningdecision_keep on order_core_screeningdecision;
"""


class Migration(migrations.Migration):
    dependencies = (("order_core", "0030_screening"), ("core", "0002_append_only"))

    operations = (migrations.RunSQL(SQL, UNDO),)

"""What operators wrote about a customer stays as it was written."""

from __future__ import annotations

from django.db import migrations

SQL = """
create trigger account_customernote_append before update or delete on account_customernote
  for each row execute function house_append_only();
create trigger account_customernote_keep before truncate on account_customernote
  for each statement execute function house_append_only();
"""
UNDO = """
drop trigger account_customernote_append on account_customernote;
drop trigger account_customernote_keep on account_customernote;
"""


class Migration(migrations.Migration):
    dependencies = [("account", "0032_customer_notes"), ("core", "0002_append_only")]
    operations = [migrations.RunSQL(SQL, UNDO)]

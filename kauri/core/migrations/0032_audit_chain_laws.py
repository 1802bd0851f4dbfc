"""Every entry of the audit waits for its block from the moment it is written; blocks and proofs are append-only."""

from __future__ import annotations

from django.db import migrations

SQL = """
create function audit_entry_waits() returns trigger language plpgsql as $$
begin
  insert into core_auditpending (entry_id) values (new.id);
  return null;
end $$;
create trigger core_auditentry_waits after insert on core_auditentry
  for each row execute function audit_entry_waits();
insert into core_auditpending (entry_id) select id from core_auditentry;

create trigger core_auditblock_append before update or delete on core_auditblock
  for each row execute function house_append_only();
create trigger core_auditblock_keep before truncate on core_auditblock
  for each statement execute function house_append_only();
create trigger core_auditcheck_append before update or delete on core_auditcheck
  for each row execute function house_append_only();
create trigger core_auditcheck_keep before truncate on core_auditcheck
  for each statement execute function house_append_only();
"""
UNDO = """
drop trigger core_auditentry_waits on core_auditentry;
drop function audit_entry_waits();
drop trigger core_auditblock_append on core_auditblock;
drop trigger core_auditblock_keep on core_auditblock;
drop trigger core_auditcheck_append on core_auditcheck;
drop trigger core_auditcheck_keep on core_auditcheck;
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0031_audit_chain")]
    operations = [migrations.RunSQL(SQL, UNDO)]

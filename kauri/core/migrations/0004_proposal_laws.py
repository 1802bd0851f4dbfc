"""What was proposed, by whom and why, never changes, and no proposal is deleted."""

from __future__ import annotations

from django.db import migrations

SQL = """
create function core_proposal_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a proposal is never deleted' using errcode = 'KA403';
  end if;
  -- A new row has no key until it is made.
  if (new.public_id, new.target, new.before, new.after, new.reason, new.proposed_by_id, new.proposed_by,
      new.proposed_at, new.expires_at) is distinct from
     (old.public_id, old.target, old.before, old.after, old.reason, old.proposed_by_id, old.proposed_by,
      old.proposed_at, old.expires_at)
     or new.effective_from is distinct from old.effective_from
     or (old.target_id <> '' and new.target_id <> old.target_id)
     or (old.decided_by_id is not null and new.decided_by_id is distinct from old.decided_by_id) then
    raise exception 'a proposal stays what it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger core_proposal_identity before update or delete on core_proposal
  for each row execute function core_proposal_identity();
"""


class Migration(migrations.Migration):
    dependencies = (("core", "0003_proposals_and_switches"),)

    operations = (migrations.RunSQL(SQL, "drop function core_proposal_identity() cascade"),)

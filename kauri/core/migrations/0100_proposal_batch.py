"""Changes that one file proposed together: which they are never changes, as nothing of a proposal does."""

from __future__ import annotations

from django.db import migrations, models

_LAW = """
create or replace function core_proposal_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a proposal is never deleted' using errcode = 'KA403';
  end if;
  -- A new row has no key until it is made.
  if (new.public_id, new.target, new.before, new.after, new.reason, new.proposed_by_id, new.proposed_by,
      new.proposed_at, new.expires_at) is distinct from
     (old.public_id, old.target, old.before, old.after, old.reason, old.proposed_by_id, old.proposed_by,
      old.proposed_at, old.expires_at)
     or new.effective_from is distinct from old.effective_from{batch}
     or (old.target_id <> '' and new.target_id <> old.target_id)
     or (old.decided_by_id is not null and new.decided_by_id is distinct from old.decided_by_id) then
    raise exception 'a proposal stays what it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
"""


class Migration(migrations.Migration):
    dependencies = (("core", "0094_proposal_secrets"),)

    operations = (
        migrations.AddField(
            "proposal", "batch", models.UUIDField(editable=False, null=True, verbose_name="import")
        ),
        migrations.AddIndex(
            "proposal",
            models.Index(
                fields=["batch", "-id"],
                name="proposal_by_batch",
                condition=models.Q(batch__isnull=False),
            ),
        ),
        migrations.RunSQL(
            _LAW.format(batch="\n     or new.batch is distinct from old.batch"), _LAW.format(batch="")
        ),
    )

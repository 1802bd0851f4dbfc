"""Laws of approvals, in the database: the draw stays, and nothing is approved by fewer people than it needs."""

from __future__ import annotations

from django.db import migrations

SQL = """
create function approval_is_kept() returns trigger language plpgsql as $$
begin
  if new.draw <> old.draw or new.order_id <> old.order_id then
    raise exception 'an approval keeps its order and its draw' using errcode = 'KA403';
  end if;
  if old.second_look and not new.second_look or new.needed < old.needed then
    raise exception 'an approval never needs fewer people than it did' using errcode = 'KA403';
  end if;
  if new.state = 'approved' and old.state <> 'approved' and new.needed > (
       select count(*) from order_core_approvalvote where approval_id = new.id and decision = 'approve') then
    raise exception 'an approval has the votes that it needs' using errcode = 'KA409';
  end if;
  return new;
end $$;
create trigger approval_is_kept before update on order_core_approval
  for each row execute function approval_is_kept();
"""
UNDO = "drop function approval_is_kept() cascade"


class Migration(migrations.Migration):
    dependencies = (("order_core", "0070_operator_limits"),)

    operations = (migrations.RunSQL(SQL, UNDO),)

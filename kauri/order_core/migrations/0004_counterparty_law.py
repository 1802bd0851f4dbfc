"""Who else takes part in an order is as fixed as its owner."""

from __future__ import annotations

from django.db import migrations

FUNCTION = """
create or replace function order_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an order is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.type, new.owner_id, {more}new.currency_in_id, new.currency_out_id, new.amount_in,
      new.amount_out, new.fee, new.created_at) is distinct from
     (old.public_id, old.type, old.owner_id, {more_old}old.currency_in_id, old.currency_out_id, old.amount_in,
      old.amount_out, old.fee, old.created_at) then
    raise exception 'an order keeps its identity and its amounts' using errcode = 'KA403';
  end if;
  return new;
end $$
"""


class Migration(migrations.Migration):
    dependencies = (("order_core", "0003_movements_and_policies"),)

    operations = (
        migrations.RunSQL(
            FUNCTION.format(more="new.counterparty_id, ", more_old="old.counterparty_id, "),
            FUNCTION.format(more="", more_old=""),
        ),
    )

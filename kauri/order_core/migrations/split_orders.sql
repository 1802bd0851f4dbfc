-- What an order is never changes, and it is never deleted. One exception: a withdrawal that was paid in part
-- closes with the part, when an order stands beside it that holds exactly the rest.
create or replace function order_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an order is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.type, new.owner_id, new.currency_in_id, new.currency_out_id, new.created_at, new.split_from_id)
     is distinct from
     (old.public_id, old.type, old.owner_id, old.currency_in_id, old.currency_out_id, old.created_at, old.split_from_id)
  then
    raise exception 'an order keeps its identity' using errcode = 'KA403';
  end if;
  if (new.amount_in, new.amount_out, new.fee) is distinct from (old.amount_in, old.amount_out, old.fee)
     and not (
       old.type = 'WITHDRAWAL' and old.status = 'PAYMENT_IN_PROGRESS' and new.status = 'CLOSED'
       and exists (
         select 1 from order_core_order rest
         where rest.split_from_id = old.id and rest.type = old.type and rest.status = 'ERROR'
           and rest.owner_id = old.owner_id
           and rest.currency_in_id = old.currency_in_id and rest.currency_out_id = old.currency_out_id
           and rest.amount_in = old.amount_in - new.amount_in
           and rest.amount_out = old.amount_out - new.amount_out
           and rest.fee = old.fee - new.fee))
  then
    raise exception 'an order keeps its amounts' using errcode = 'KA403';
  end if;
  return new;
end $$;

-- History and votes are written once.
create trigger order_core_transition_append before update or delete on order_core_transition
  for each row execute function house_append_only();
create trigger order_core_transition_keep before truncate on order_core_transition
  for each statement execute function house_append_only();
create trigger order_core_approvalvote_append before update or delete on order_core_approvalvote
  for each row execute function house_append_only();

-- No status without its history: at commit an order stands where its last move brought it.
create function order_status_has_history() returns trigger language plpgsql as $$
declare last_status text; now_status text;
begin
  select to_status into last_status from order_core_transition where order_id = new.id order by id desc limit 1;
  select status into now_status from order_core_order where id = new.id;
  if last_status is distinct from now_status then
    raise exception 'order %: status % without a move to it', new.public_id, now_status using errcode = 'KA409';
  end if;
  return null;
end $$;
create constraint trigger order_status_history after insert or update of status on order_core_order
  deferrable initially deferred for each row execute function order_status_has_history();

-- What an order is never changes, and it is never deleted.
create function order_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an order is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.type, new.owner_id, new.currency_in_id, new.currency_out_id, new.amount_in,
      new.amount_out, new.fee, new.created_at) is distinct from
     (old.public_id, old.type, old.owner_id, old.currency_in_id, old.currency_out_id, old.amount_in,
      old.amount_out, old.fee, old.created_at) then
    raise exception 'an order keeps its identity and its amounts' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger order_identity before update or delete on order_core_order
  for each row execute function order_identity();

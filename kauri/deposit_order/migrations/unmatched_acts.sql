-- What was proposed, by whom and why, never changes; a decision is made once; no act is deleted.
create function deposit_order_act_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an act on unmatched money is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.payin_id, new.kind, new.with_fee, new.evidence, new.reason, new.proposed_by_id,
      new.proposed_at) is distinct from
     (old.public_id, old.payin_id, old.kind, old.with_fee, old.evidence, old.reason, old.proposed_by_id,
      old.proposed_at)
     or new.customer_id is distinct from old.customer_id
     or (old.state <> 'pending' and new is distinct from old) then
    raise exception 'an act on unmatched money stays what it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger deposit_order_act_identity before update or delete on deposit_order_unmatchedact
  for each row execute function deposit_order_act_identity();

-- What the provider's transaction was never changes, nor does the moment when the books learned of it.
create function payment_provider_payin_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a payin is never deleted' using errcode = 'KA403';
  end if;
  if old.booked_at is not null and (new.booked_at is distinct from old.booked_at
      or new.amount is distinct from old.amount or new.cost is distinct from old.cost) then
    raise exception 'a payin in the books stays what it is' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger payment_provider_payin_identity before update or delete on payment_provider_payin
  for each row execute function payment_provider_payin_identity();

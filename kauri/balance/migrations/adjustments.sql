-- What was proposed, by whom and why, never changes, and no adjustment is deleted.
create function balance_adjustment_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an adjustment is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.reason, new.corrects, new.document_sha256, new.proposed_by_id, new.proposed_at) is distinct from
     (old.public_id, old.reason, old.corrects, old.document_sha256, old.proposed_by_id, old.proposed_at)
     or new.reverses_id is distinct from old.reverses_id
     or new.currency_id is distinct from old.currency_id or new.amount is distinct from old.amount
     or new.from_kind is distinct from old.from_kind or new.to_kind is distinct from old.to_kind
     or new.from_customer_id is distinct from old.from_customer_id
     or new.from_provider_id is distinct from old.from_provider_id
     or new.to_customer_id is distinct from old.to_customer_id
     or new.to_provider_id is distinct from old.to_provider_id
     or (old.state <> 'pending' and new.state <> old.state) then
    raise exception 'an adjustment stays what it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger balance_adjustment_identity before update or delete on balance_adjustment
  for each row execute function balance_adjustment_identity();

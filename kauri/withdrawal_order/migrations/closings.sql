-- What was proposed, by whom and on which paper, never changes; a decision is made once; no closing is deleted.
create function withdrawal_order_closing_identity() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a closing by hand is never deleted' using errcode = 'KA403';
  end if;
  if (new.public_id, new.order_id, new.outcome, new.reference, new.reason, new.document_name,
      new.document_sha256, new.proposed_by_id, new.proposed_at) is distinct from
     (old.public_id, old.order_id, old.outcome, old.reference, old.reason, old.document_name,
      old.document_sha256, old.proposed_by_id, old.proposed_at)
     or new.payout_id is distinct from old.payout_id
     or (old.state <> 'pending' and new is distinct from old) then
    raise exception 'a closing by hand stays what it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger withdrawal_order_closing_identity before update or delete on withdrawal_order_closing
  for each row execute function withdrawal_order_closing_identity();

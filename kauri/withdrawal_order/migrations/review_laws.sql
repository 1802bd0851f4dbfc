-- Nothing is paid while its customer's code or the analysis of its destination is awaited.
create function withdrawal_waits_for_nothing() returns trigger language plpgsql as $$
begin
  if exists (
    select from withdrawal_order_withdrawaldetail d
    where d.order_id = new.detail_id and (d.confirm_until is not null or d.screen_due_at is not null)
  ) then
    raise exception 'a withdrawal that waits for a code or an analysis is not paid' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger withdrawal_waits_for_nothing before insert or update of detail_id
  on withdrawal_order_withdrawalpart for each row execute function withdrawal_waits_for_nothing();

-- A code stops being awaited because it came, or because the order has ended; and it came once.
create function withdrawal_confirmed_or_ended() returns trigger language plpgsql as $$
begin
  if old.confirmed_at is not null and new.confirmed_at is distinct from old.confirmed_at then
    raise exception 'a withdrawal is confirmed once' using errcode = 'KA403';
  end if;
  if old.confirm_until is not null and new.confirm_until is null and new.confirmed_at is null and not exists (
    select from order_core_order o
    where o.id = new.order_id and o.status in ('CLOSED', 'ERROR', 'CANCELLED', 'EXPIRED')
  ) then
    raise exception 'a withdrawal goes on by its code only' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger withdrawal_confirmed_or_ended before update on withdrawal_order_withdrawaldetail
  for each row execute function withdrawal_confirmed_or_ended();

-- The switch's history is written once.
create trigger withdrawal_order_whitelistchange_append before update or delete on withdrawal_order_whitelistchange
  for each row execute function house_append_only();
create trigger withdrawal_order_whitelistchange_keep before truncate on withdrawal_order_whitelistchange
  for each statement execute function house_append_only();

-- A saved destination is what it was when it was confirmed; removed, it never comes back.
create function saved_destination_stays() returns trigger language plpgsql as $$
begin
  if (new.public_id, new.customer_id, new.currency_id, new.network_id, new.destination, new.created_at)
     is distinct from
     (old.public_id, old.customer_id, old.currency_id, old.network_id, old.destination, old.created_at)
     or (old.confirmed_at is not null and (new.confirmed_at, new.usable_from)
         is distinct from (old.confirmed_at, old.usable_from))
     or (old.removed_at is not null and new.removed_at is distinct from old.removed_at) then
    raise exception 'a saved destination keeps what was confirmed' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger saved_destination_stays before update on withdrawal_order_saveddestination
  for each row execute function saved_destination_stays();

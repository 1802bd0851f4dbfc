-- The ledger's writers as they stand since 0003: fewer steps a posting, the chart in the database, days and periods.
-- Error classes as in ledger.sql; LG423: the period is closed.

-- The chart -----------------------------------------------------------------------------------

-- Whose each kind is, and whether its balance may go below zero. Nobody who posts can say otherwise.
create table ledger_kind (
  kind smallint primary key,
  owner text not null check (owner in ('customer', 'provider', 'house')),
  may_be_negative boolean not null,
  is_inline boolean not null,
  -- A queued balance has no lock to hold it above zero; a customer's never goes below.
  check (is_inline or may_be_negative),
  check (owner <> 'customer' or (is_inline and not may_be_negative)));
insert into ledger_kind (kind, owner, may_be_negative, is_inline) values
  (1, 'customer', false, true), (2, 'customer', false, true),
  (11, 'provider', true, false), (12, 'provider', true, false),
  (20, 'house', true, false), (21, 'house', true, false), (30, 'house', true, false), (31, 'house', true, false),
  (32, 'house', true, false), (33, 'house', true, false), (34, 'house', true, false);

-- What an account is, is checked when it is opened and never changes (ledger_account_identity), so that
-- a posting, which updates the balance, needs to prove nothing but the balance.
create function ledger_account_opens() returns trigger language plpgsql as $$
begin
  if not exists (
    select 1 from ledger_kind k where k.kind = new.kind
      and k.may_be_negative = new.may_be_negative and k.is_inline = new.is_inline
      and (k.owner = 'customer') = (new.customer_id is not null)
      and (k.owner = 'provider') = (new.provider_id is not null)) then
    raise exception 'this is no account of the chart' using errcode = 'LG400';
  end if;
  if new.balance <> 0 or new.version <> 0 then
    raise exception 'an account opens empty' using errcode = 'LG400';
  end if;
  return new;
end $$;
create trigger ledger_account_opens before insert on ledger_account
  for each row execute function ledger_account_opens();

drop function ledger_settle_hold(uuid, bytea, smallint, uuid, numeric, boolean, smallint[], smallint[], bigint[],
  bigint[], boolean[], boolean[], numeric[], text, text, jsonb);
drop function ledger_hold(uuid, bytea, smallint, uuid, bigint, smallint, numeric, text, text);
drop function ledger_post(uuid, bytea, smallint, smallint[], smallint[], bigint[], bigint[], boolean[], boolean[],
  numeric[], uuid, text, text, jsonb, bigint);
drop function ledger_account_id(smallint, smallint, bigint, bigint, boolean, boolean);

-- Open the account (kind, currency, customer, provider), or find the one that another has just opened.
create function ledger_account_open(p_kind smallint, p_currency smallint, p_customer bigint, p_provider bigint)
returns bigint language plpgsql as $$
declare opened bigint;
begin
  insert into ledger_account (kind, currency_id, customer_id, provider_id, may_be_negative, is_inline,
                              is_closed, balance, version)
    select p_kind, p_currency, p_customer, p_provider, k.may_be_negative, k.is_inline, false, 0, 0
      from ledger_kind k where k.kind = p_kind
    on conflict do nothing returning id into opened;
  if opened is null then
    select id into opened from ledger_account
      where kind = p_kind and currency_id = p_currency and customer_id is not distinct from p_customer
        and provider_id is not distinct from p_provider and not is_closed;
  end if;
  if opened is null then
    raise exception 'no open account of kind %', p_kind using errcode = 'LG404';
  end if;
  return opened;
end $$;

-- Whole when written --------------------------------------------------------------------------

-- The laws of a transfer, once a statement that writes entries, in one pass: it sums to zero per currency
-- (so it has at least two entries, none of them zero or NaN), all of it is written at once, and none of
-- it is dated in a closed period.
drop trigger ledger_transfer_zero on ledger_transfer;
drop function ledger_zero_sum();
drop trigger ledger_entry_belongs on ledger_entry;
drop function ledger_entry_belongs();
create function ledger_entries_whole() returns trigger language plpgsql as $$
declare law record;
begin
  select bool_or(s.total <> 0 or s.has_zero) as unbalanced,
         sum(s.written) < (select count(*) from ledger_entry e
                           where e.transfer_id in (select transfer_id from inserted)) as late,
         min(s.oldest) < (select max(ends_at) from ledger_period) as closed
    into law
    from (select sum(amount) as total, bool_or(amount = 0) as has_zero, count(*) as written, min(created_at) as oldest
            from inserted group by transfer_id, currency_id) s;
  if law.unbalanced then
    raise exception 'the legs do not sum to zero' using errcode = 'LG400';
  elsif law.late then
    raise exception 'a transfer is whole when it is written' using errcode = 'LG403';
  elsif law.closed then
    raise exception 'the period is closed' using errcode = 'LG423';
  end if;
  return null;
end $$;
create trigger ledger_entries_whole after insert on ledger_entry
  referencing new table as inserted for each statement execute function ledger_entries_whole();

-- Posting -------------------------------------------------------------------------------------

-- The one writer, behind every function below. Legs are parallel arrays in ascending order of
-- (customer, provider, currency, kind), an empty owner last: the order of all locks, so that no two
-- postings deadlock. The same key and hash give the first transfer's id again (replayed = true).
create function ledger_write(
  p_key uuid, p_hash bytea, p_kind smallint,
  p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[], p_amounts numeric[],
  p_order uuid, p_actor text, p_reference text, p_meta jsonb, p_reverses bigint,
  out transfer_id bigint, out replayed boolean)
language plpgsql as $$
declare
  n int := cardinality(p_kinds);
  stored_hash bytea;
  account bigint;
  after numeric;
  queued boolean;
  scale int;
  k smallint; c smallint; u bigint; p bigint; x numeric;
  last_k smallint; last_c smallint; last_u bigint; last_p bigint;
  nobody constant bigint := 9223372036854775807;
  accounts bigint[];
  balances numeric[];
begin
  if n is null or n < 2 or n > 50 or cardinality(p_amounts) <> n or cardinality(p_currencies) <> n
     or cardinality(p_customers) <> n or cardinality(p_providers) <> n then
    raise exception 'a transfer has 2 to 50 legs' using errcode = 'LG400';
  end if;

  -- 1. Claim the key: a concurrent duplicate waits here for the first one to end.
  insert into ledger_transfer (key, request_hash, kind, order_id, reverses_id, actor, reference, meta, created_at)
    values (p_key, p_hash, p_kind, p_order, p_reverses, p_actor, p_reference, p_meta, ledger_now())
    on conflict (key) do nothing returning id into transfer_id;
  if transfer_id is null then
    select t.id, t.request_hash into transfer_id, stored_hash from ledger_transfer t where t.key = p_key;
    if transfer_id is null then
      -- Only above READ COMMITTED: the winner is invisible to this snapshot.
      raise exception 'retry' using errcode = '40001';
    end if;
    if stored_hash is distinct from p_hash then
      raise exception 'ledger key reused with another request' using errcode = 'LG409';
    end if;
    replayed := true;
    return;
  end if;
  replayed := false;

  -- 2. Lock and move, leg by leg.
  for i in 1..n loop
    k := p_kinds[i]; c := p_currencies[i]; x := p_amounts[i];
    u := coalesce(p_customers[i], nobody); p := coalesce(p_providers[i], nobody);
    if i > 1 and (last_u, last_p, last_c, last_k) >= (u, p, c, k) then
      raise exception 'the legs are out of order, or two on one account' using errcode = 'LG400';
    end if;
    if c is distinct from last_c then
      select currency.scale into scale from core_currency currency where id = c;
    end if;
    if x is null or x = 0 or x = 'NaN' or x <> round(x, scale) or scale is null then
      raise exception 'an amount is zero, not a number, or finer than its currency' using errcode = 'LG400';
    end if;
    last_u := u; last_p := p; last_c := c; last_k := k;
    account := null;
    if u <> nobody then
      update ledger_account a set balance = a.balance + x, version = a.version + 1
        where a.customer_id = u and a.currency_id = c and a.kind = k and not a.is_closed
        returning a.id, a.balance into account, after;
      if account is null then
        account := ledger_account_open(k, c, p_customers[i], p_providers[i]);
        update ledger_account a set balance = a.balance + x, version = a.version + 1
          where a.id = account returning a.balance into after;
      end if;
    else
      if p <> nobody then
        select a.id, not a.is_inline into account, queued from ledger_account a
          where a.provider_id = p and a.currency_id = c and a.kind = k and not a.is_closed;
      else
        select a.id, not a.is_inline into account, queued from ledger_account a
          where a.customer_id is null and a.provider_id is null and a.currency_id = c and a.kind = k
            and not a.is_closed;
      end if;
      if account is null then
        account := ledger_account_open(k, c, p_customers[i], p_providers[i]);
        select not a.is_inline into queued from ledger_account a where a.id = account;
      end if;
      if queued then
        insert into ledger_hot_delta (account_id, amount) values (account, x);
        after := null;
      else
        update ledger_account a set balance = a.balance + x, version = a.version + 1
          where a.id = account returning a.balance into after;
      end if;
    end if;
    accounts[i] := account;
    balances[i] := after;
  end loop;

  -- 3. The entries, dated after the locks; their trigger proves the whole.
  insert into ledger_entry (transfer_id, account_id, currency_id, amount, balance_after, created_at)
    select ledger_write.transfer_id, l.account, l.currency, l.amount, l.balance, ledger_now()
      from unnest(accounts, p_currencies, p_amounts, balances) l(account, currency, amount, balance);
end $$;

-- The functions that services call keep their plans, and keep to the indexes: a plan made while the
-- tables were new and small would otherwise scan them long after they have grown.

-- One balanced transfer. Held money moves only with a hold (ledger_hold, ledger_settle_hold). A transfer
-- that reverses another is its exact opposite.
create function ledger_post(
  p_key uuid, p_hash bytea, p_kind smallint,
  p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[], p_amounts numeric[],
  p_order uuid, p_actor text, p_reference text, p_meta jsonb, p_reverses bigint,
  out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
  set enable_seqscan = off as $$
begin
  if 2 = any (p_kinds) then
    raise exception 'held money moves with its hold' using errcode = 'LG403';
  end if;
  select w.transfer_id, w.replayed into transfer_id, replayed from ledger_write(
    p_key, p_hash, p_kind, p_kinds, p_currencies, p_customers, p_providers, p_amounts,
    p_order, p_actor, p_reference, p_meta, p_reverses) w;
  if p_reverses is not null and not replayed then
    perform ledger_must_reverse(transfer_id, p_reverses);
  end if;
end $$;

create function ledger_must_reverse(p_transfer bigint, p_reverses bigint) returns void language plpgsql as $$
begin
  if exists (select 1 from ledger_transfer t where t.id = p_reverses and t.reverses_id is not null) then
    raise exception 'a reversal is not reversed' using errcode = 'LG403';
  end if;
  if exists (
    select 1 from (select account_id, amount from ledger_entry where transfer_id = p_reverses) was
      full join (select account_id, -amount as amount from ledger_entry where transfer_id = p_transfer) is_now
      using (account_id, amount)
      where was.account_id is null or is_now.account_id is null) then
    raise exception 'a reversal is the exact opposite of what it names' using errcode = 'LG400';
  end if;
end $$;

-- Holds ---------------------------------------------------------------------------------------

-- Set money aside: available -> held, with a hold row that remembers for what.
create function ledger_hold(
  p_key uuid, p_hash bytea, p_kind smallint, p_order uuid, p_customer bigint, p_currency smallint,
  p_amount numeric, p_actor text, p_reference text, out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
  set enable_seqscan = off as $$
begin
  select w.transfer_id, w.replayed into transfer_id, replayed from ledger_write(
    p_key, p_hash, p_kind, array[1, 2]::smallint[], array[p_currency, p_currency],
    array[p_customer, p_customer], array[null, null]::bigint[],
    array[-p_amount, p_amount], p_order, p_actor, p_reference, null, null) w;
  if not replayed then
    insert into ledger_hold (order_id, customer_id, currency_id, amount, captured, released, created_at)
      values (p_order, p_customer, p_currency, p_amount, 0, 0, ledger_now());
  end if;
end $$;

-- Take (p_capture) or give back part or all of a hold, by a transfer whose legs the caller gives.
create function ledger_settle_hold(
  p_key uuid, p_hash bytea, p_kind smallint, p_order uuid, p_amount numeric, p_capture boolean,
  p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[], p_amounts numeric[],
  p_actor text, p_reference text, p_meta jsonb, out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
  set enable_seqscan = off as $$
declare
  held record;
  leg int;
begin
  -- The hold row is locked before the accounts, like the order row before it.
  select * into held from ledger_hold h where h.order_id = p_order for no key update;
  if not found then
    raise exception 'no hold for order %', p_order using errcode = 'LG404';
  end if;
  select w.transfer_id, w.replayed into transfer_id, replayed from ledger_write(
    p_key, p_hash, p_kind, p_kinds, p_currencies, p_customers, p_providers, p_amounts,
    p_order, p_actor, p_reference, p_meta, null) w;
  if replayed then return; end if;
  if p_amount <= 0 or held.captured + held.released + p_amount > held.amount then
    raise exception 'the hold of order % is smaller', p_order using errcode = 'LG422';
  end if;
  -- One leg takes exactly this much out of this customer's held money, and none touches another's.
  leg := array_position(p_kinds, 2::smallint);
  if leg is null or cardinality(array_positions(p_kinds, 2::smallint)) <> 1
     or p_customers[leg] is distinct from held.customer_id or p_currencies[leg] <> held.currency_id
     or p_amounts[leg] <> -p_amount then
    raise exception 'the legs do not settle % of the hold', p_amount using errcode = 'LG400';
  end if;
  update ledger_hold h set
      captured = h.captured + case when p_capture then p_amount else 0 end,
      released = h.released + case when p_capture then 0 else p_amount end
    where h.id = held.id;
end $$;

revoke execute on function ledger_account_open(smallint, smallint, bigint, bigint),
  ledger_write(uuid, bytea, smallint, smallint[], smallint[], bigint[], bigint[], numeric[], uuid, text, text, jsonb, bigint),
  ledger_must_reverse(bigint, bigint),
  ledger_post(uuid, bytea, smallint, smallint[], smallint[], bigint[], bigint[], numeric[], uuid, text, text, jsonb, bigint),
  ledger_hold(uuid, bytea, smallint, uuid, bigint, smallint, numeric, text, text),
  ledger_settle_hold(uuid, bytea, smallint, uuid, numeric, boolean, smallint[], smallint[], bigint[], bigint[], numeric[],
    text, text, jsonb),
  ledger_roll(int) from public;

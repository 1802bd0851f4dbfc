-- The ledger's laws and its only writers. Error classes: LG400 malformed, LG403 forbidden,
-- LG404 no open account, LG409 key reused with another request, LG422 hold too small.

-- The ledger's clock: read after the locks, never before the start of its own transaction. One place,
-- inlined by the planner; only the owner of the schema can change it.
create function ledger_now() returns timestamptz language sql volatile as 'select clock_timestamp()';

alter table ledger_account set (fillfactor = 80);
create index ledger_entry_created on ledger_entry using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- Append only ---------------------------------------------------------------------------------

create function ledger_forbid() returns trigger language plpgsql as $$
begin
  -- A test database is emptied by TRUNCATE between tests; no other database has this name.
  if tg_op = 'TRUNCATE' and current_database() like 'test\_%' then
    return null;
  end if;
  raise exception 'the ledger is append-only: % on %', tg_op, tg_table_name using errcode = 'LG403';
end $$;

create trigger ledger_transfer_append before update or delete on ledger_transfer
  for each row execute function ledger_forbid();
create trigger ledger_entry_append before update or delete on ledger_entry
  for each row execute function ledger_forbid();
create trigger ledger_account_keep before delete on ledger_account
  for each row execute function ledger_forbid();
create trigger ledger_hold_keep before delete on ledger_hold
  for each row execute function ledger_forbid();
create trigger ledger_transfer_keep before truncate on ledger_transfer
  for each statement execute function ledger_forbid();
create trigger ledger_entry_keep before truncate on ledger_entry
  for each statement execute function ledger_forbid();
create trigger ledger_account_whole before truncate on ledger_account
  for each statement execute function ledger_forbid();

-- What an account is never changes: only its balance, version and whether it is closed.
create function ledger_account_identity() returns trigger language plpgsql as $$
begin
  if (new.kind, new.currency_id, new.may_be_negative, new.is_inline) is distinct from
     (old.kind, old.currency_id, old.may_be_negative, old.is_inline)
     or new.customer_id is distinct from old.customer_id
     or new.provider_id is distinct from old.provider_id then
    raise exception 'a ledger account keeps its identity' using errcode = 'LG403';
  end if;
  return new;
end $$;
create trigger ledger_account_identity
  before update of kind, currency_id, customer_id, provider_id, may_be_negative, is_inline on ledger_account
  for each row execute function ledger_account_identity();

-- The second line of defence behind the functions: zero per currency, once a transfer, at commit.
create function ledger_zero_sum() returns trigger language plpgsql as $$
begin
  if (select count(*) from ledger_entry where transfer_id = new.id) < 2
     or exists (select 1 from ledger_entry where transfer_id = new.id
                group by currency_id having sum(amount) <> 0) then
    raise exception 'transfer % does not balance', new.id using errcode = 'LG400';
  end if;
  return null;
end $$;
create constraint trigger ledger_transfer_zero after insert on ledger_transfer
  deferrable initially deferred for each row execute function ledger_zero_sum();

-- An entry joins a transfer only in the transaction that wrote the transfer, so a whole transfer
-- stays whole: created_at is never before the start of the transaction that wrote it.
create function ledger_entry_belongs() returns trigger language plpgsql as $$
begin
  if exists (
    select 1 from inserted i join ledger_transfer t on t.id = i.transfer_id
    where t.created_at < transaction_timestamp()) then
    raise exception 'a transfer is whole when it is written' using errcode = 'LG403';
  end if;
  return null;
end $$;
create trigger ledger_entry_belongs after insert on ledger_entry
  referencing new table as inserted for each statement execute function ledger_entry_belongs();

-- Accounts ------------------------------------------------------------------------------------

-- The id of the account (kind, currency, customer, provider), opened on first use.
create function ledger_account_id(
  p_kind smallint, p_currency smallint, p_customer bigint, p_provider bigint,
  p_may_be_negative boolean, p_inline boolean) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare found_id bigint;
begin
  loop
    if p_customer is not null then
      select id into found_id from ledger_account
        where customer_id = p_customer and currency_id = p_currency and kind = p_kind;
    elsif p_provider is not null then
      select id into found_id from ledger_account
        where provider_id = p_provider and currency_id = p_currency and kind = p_kind;
    else
      select id into found_id from ledger_account
        where customer_id is null and provider_id is null and currency_id = p_currency and kind = p_kind;
    end if;
    if found_id is not null then return found_id; end if;
    insert into ledger_account (kind, currency_id, customer_id, provider_id, may_be_negative, is_inline,
                                is_closed, balance, version)
      values (p_kind, p_currency, p_customer, p_provider, p_may_be_negative, p_inline, false, 0, 0)
      on conflict do nothing returning id into found_id;
    if found_id is not null then return found_id; end if;
  end loop;
end $$;

-- Posting -------------------------------------------------------------------------------------

-- One balanced transfer. Legs are parallel arrays; legs on one account must be merged by the caller.
-- The same key and hash give the first transfer's id again (replayed = true).
create function ledger_post(
  p_key uuid, p_hash bytea, p_kind smallint,
  p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[],
  p_may_be_negative boolean[], p_inline boolean[], p_amounts numeric[],
  p_order uuid, p_actor text, p_reference text, p_meta jsonb, p_reverses bigint,
  out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  n int := cardinality(p_kinds);
  stored_hash bytea;
  leg record;
  previous bigint := 0;
  new_balance numeric;
  accounts bigint[] := '{}';
  currencies smallint[] := '{}';
  amounts numeric[] := '{}';
  balances numeric[] := '{}';
begin
  if n is null or n < 2 or n > 50 or cardinality(p_amounts) <> n or cardinality(p_currencies) <> n then
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

  -- 2. The law of each amount, and of the whole.
  if exists (
    select 1 from unnest(p_currencies, p_amounts) u(c, x) left join core_currency k on k.id = u.c
    where k.id is null or u.x is null or u.x = 0 or u.x = 'NaN' or u.x <> round(u.x, k.scale)) then
    raise exception 'an amount is zero, not a number, or finer than its currency' using errcode = 'LG400';
  end if;
  if exists (select 1 from unnest(p_currencies, p_amounts) u(c, x) group by u.c having sum(u.x) <> 0) then
    raise exception 'the legs do not sum to zero' using errcode = 'LG400';
  end if;

  -- 3. Lock and move, in ascending account id: the one order, so that no two postings deadlock.
  for leg in
    select ledger_account_id(u.kind, u.currency, u.customer, u.provider, u.negative, u.inline) as account,
           u.currency, u.amount, u.inline
      from unnest(p_kinds, p_currencies, p_customers, p_providers, p_may_be_negative, p_inline, p_amounts)
        u(kind, currency, customer, provider, negative, inline, amount)
      order by 1
  loop
    if leg.account = previous then
      raise exception 'two legs on one account' using errcode = 'LG400';
    end if;
    previous := leg.account;
    if leg.inline then
      update ledger_account a set balance = a.balance + leg.amount, version = a.version + 1
        where a.id = leg.account and a.is_inline and not a.is_closed
        returning a.balance into new_balance;
      if not found then
        raise exception 'no open account %', leg.account using errcode = 'LG404';
      end if;
    else
      if not exists (select 1 from ledger_account a
                     where a.id = leg.account and not a.is_inline and not a.is_closed) then
        raise exception 'no open account %', leg.account using errcode = 'LG404';
      end if;
      insert into ledger_hot_delta (account_id, amount) values (leg.account, leg.amount);
      new_balance := null;
    end if;
    accounts := accounts || leg.account;
    currencies := currencies || leg.currency;
    amounts := amounts || leg.amount;
    balances := balances || new_balance;
  end loop;

  -- 4. The entries, dated after the locks.
  insert into ledger_entry (transfer_id, account_id, currency_id, amount, balance_after, created_at)
    select ledger_post.transfer_id, u.account, u.currency, u.amount, u.balance, ledger_now()
      from unnest(accounts, currencies, amounts, balances) u(account, currency, amount, balance);
end $$;

-- Holds ---------------------------------------------------------------------------------------

-- Set money aside: available -> held, with a hold row that remembers for what.
create function ledger_hold(
  p_key uuid, p_hash bytea, p_kind smallint, p_order uuid, p_customer bigint, p_currency smallint,
  p_amount numeric, p_actor text, p_reference text, out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  select r.transfer_id, r.replayed into transfer_id, replayed from ledger_post(
    p_key, p_hash, p_kind, array[1, 2]::smallint[], array[p_currency, p_currency],
    array[p_customer, p_customer], array[null, null]::bigint[], array[false, false], array[true, true],
    array[-p_amount, p_amount], p_order, p_actor, p_reference, null, null) r;
  if not replayed then
    insert into ledger_hold (order_id, customer_id, currency_id, amount, captured, released, created_at)
      values (p_order, p_customer, p_currency, p_amount, 0, 0, ledger_now());
  end if;
end $$;

-- Take (p_capture) or give back part or all of a hold, by a transfer whose legs the caller gives.
create function ledger_settle_hold(
  p_key uuid, p_hash bytea, p_kind smallint, p_order uuid, p_amount numeric, p_capture boolean,
  p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[],
  p_may_be_negative boolean[], p_inline boolean[], p_amounts numeric[],
  p_actor text, p_reference text, p_meta jsonb, out transfer_id bigint, out replayed boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
declare held record;
begin
  -- The hold row is locked before the accounts, like the order row before it.
  select * into held from ledger_hold h where h.order_id = p_order for no key update;
  if not found then
    raise exception 'no hold for order %', p_order using errcode = 'LG404';
  end if;
  select r.transfer_id, r.replayed into transfer_id, replayed from ledger_post(
    p_key, p_hash, p_kind, p_kinds, p_currencies, p_customers, p_providers, p_may_be_negative,
    p_inline, p_amounts, p_order, p_actor, p_reference, p_meta, null) r;
  if replayed then return; end if;
  if p_amount <= 0 or held.captured + held.released + p_amount > held.amount then
    raise exception 'the hold of order % is smaller', p_order using errcode = 'LG422';
  end if;
  -- The legs must take exactly this much out of the customer's held money.
  if (select sum(e.amount) from ledger_entry e join ledger_account a on a.id = e.account_id
      where e.transfer_id = ledger_settle_hold.transfer_id and a.kind = 2
        and a.customer_id = held.customer_id and a.currency_id = held.currency_id)
     is distinct from -p_amount then
    raise exception 'the legs do not settle % of the hold', p_amount using errcode = 'LG400';
  end if;
  update ledger_hold h set
      captured = h.captured + case when p_capture then p_amount else 0 end,
      released = h.released + case when p_capture then 0 else p_amount end
    where h.id = held.id;
end $$;

-- Hot accounts --------------------------------------------------------------------------------

-- Fold queued changes into the balances; returns how many, or -1 when another roller is at work.
create function ledger_roll(p_limit int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare n int;
begin
  if not pg_try_advisory_xact_lock(747101) then return -1; end if;
  with taken as (
    delete from ledger_hot_delta where id in (select id from ledger_hot_delta order by id limit p_limit)
      returning account_id, amount),
  sums as (select account_id, sum(amount) as total, count(*) as rows from taken group by account_id),
  moved as (update ledger_account a set balance = a.balance + s.total, version = a.version + s.rows
              from sums s where a.id = s.account_id)
  select coalesce(sum(rows), 0) into n from sums;
  return n;
end $$;

-- The balance of every account in one snapshot, queued changes included.
create view ledger_account_now as
  select a.id, a.kind, a.currency_id, a.customer_id, a.provider_id,
         a.balance + case when a.is_inline then 0
           else coalesce((select sum(d.amount) from ledger_hot_delta d where d.account_id = a.id), 0) end as balance
    from ledger_account a;

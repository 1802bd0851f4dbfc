-- Many transfers in one call: all of them or none. The same laws as ledger_write's, kept by a handful of
-- statements over the whole batch instead of some for each leg.
--
-- Transfers are parallel arrays; so are their legs, p_of saying which transfer (from 1) each belongs to.
-- A transfer that was posted before with the same hash is left alone and told as replayed. A customer's
-- balance must stay above zero after every transfer, in the order in which they are given.
create function ledger_post_batch(
  p_keys uuid[], p_hashes bytea[], p_kind smallint, p_orders uuid[], p_references text[], p_actor text,
  p_of int[], p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[],
  p_amounts numeric[])
returns table (place int, transfer_id bigint, replayed boolean)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
  set enable_seqscan = off as $$
#variable_conflict use_column
declare
  n int := cardinality(p_keys);
  legs int := cardinality(p_of);
  ids bigint[];
  is_new boolean[];
  accounts bigint[];
  missing record;
  overdrawn text;
  nobody constant bigint := 9223372036854775807;
begin
  if n is null or n < 1 or n > 1000 or legs is null or legs > n * 50
     or cardinality(p_hashes) <> n or cardinality(p_orders) <> n or cardinality(p_references) <> n
     or cardinality(p_kinds) <> legs or cardinality(p_currencies) <> legs or cardinality(p_customers) <> legs
     or cardinality(p_providers) <> legs or cardinality(p_amounts) <> legs then
    raise exception 'a batch has 1 to 1000 transfers of 2 to 50 legs' using errcode = 'LG400';
  end if;
  if 2 = any (p_kinds) then
    raise exception 'held money moves with its hold' using errcode = 'LG403';
  end if;
  if (select count(distinct k) from unnest(p_keys) k) <> n then
    raise exception 'a batch names each key once' using errcode = 'LG400';
  end if;
  if exists (select 1 from unnest(p_of, p_currencies, p_amounts) l(nth, currency, amount)
             left join core_currency c on c.id = l.currency
             where l.nth is null or l.nth not between 1 and n or c.scale is null or l.amount is null
               or l.amount = 'NaN' or l.amount = 0 or l.amount <> round(l.amount, c.scale)) then
    raise exception 'an amount is zero, not a number, or finer than its currency' using errcode = 'LG400';
  end if;
  if exists (select 1 from unnest(p_of, p_kinds, p_currencies, p_customers, p_providers) l(nth, kind, currency, customer, provider)
             group by l.nth, l.kind, l.currency, l.customer, l.provider having count(*) > 1)
     or (select count(distinct o) from unnest(p_of) o) <> n
     or exists (select 1 from unnest(p_of) o group by o having count(*) not between 2 and 50) then
    raise exception 'a transfer has 2 to 50 legs, and one on an account' using errcode = 'LG400';
  end if;

  -- 1. Claim the keys, in their order: two batches that share some wait for each other, never in a ring.
  with made as (
    insert into ledger_transfer (key, request_hash, kind, order_id, actor, reference, created_at)
      select t.key, t.hash, p_kind, t.order_id, p_actor, t.reference, ledger_now()
        from unnest(p_keys, p_hashes, p_orders, p_references) t(key, hash, order_id, reference) order by t.key
      on conflict (key) do nothing returning id, key)
  select array_agg(m.id order by t.place), array_agg(m.id is not null order by t.place) into ids, is_new
    from unnest(p_keys) with ordinality t(key, place) left join made m on m.key = t.key;
  if not (true = all (is_new)) then
    if exists (select 1 from unnest(p_keys, p_hashes, is_new) t(key, hash, is_new)
               join ledger_transfer w on w.key = t.key
               where not t.is_new and w.request_hash <> t.hash) then
      raise exception 'ledger key reused with another request' using errcode = 'LG409';
    end if;
    select array_agg(coalesce(t.id, w.id) order by t.place) into ids
      from unnest(p_keys, ids) with ordinality t(key, id, place)
      left join ledger_transfer w on t.id is null and w.key = t.key;
    if array_position(ids, null) is not null then
      -- Only above READ COMMITTED: the winner is invisible to this snapshot.
      raise exception 'retry' using errcode = '40001';
    end if;
  end if;

  -- 2. Find the accounts, opening those that are not there yet. One that is opened is locked thereby, so
  -- those before it in the order of locks are locked first.
  accounts := ledger_accounts_find(p_of, is_new, p_kinds, p_currencies, p_customers, p_providers);
  for missing in
    select distinct l.kind, l.currency, l.customer, l.provider
      from unnest(p_of, accounts, p_kinds, p_currencies, p_customers, p_providers)
        l(nth, account, kind, currency, customer, provider)
      where is_new[l.nth] and l.account is null
      order by l.customer, l.provider, l.currency, l.kind
  loop
    perform 1 from ledger_account a where a.id = any (accounts) and a.is_inline
      and (coalesce(a.customer_id, nobody), coalesce(a.provider_id, nobody), a.currency_id, a.kind)
        < (coalesce(missing.customer, nobody), coalesce(missing.provider, nobody), missing.currency, missing.kind)
      order by a.customer_id, a.provider_id, a.currency_id, a.kind for no key update;
    perform ledger_account_open(missing.kind, missing.currency, missing.customer, missing.provider);
  end loop;
  if found then
    accounts := ledger_accounts_find(p_of, is_new, p_kinds, p_currencies, p_customers, p_providers);
    if exists (select 1 from unnest(p_of, accounts) l(nth, account) where is_new[l.nth] and l.account is null) then
      raise exception 'retry' using errcode = '40001';
    end if;
  end if;

  -- 3. Lock the balances that are held inline, in the one order of all locks, then move them.
  perform 1 from ledger_account a where a.id = any (accounts) and a.is_inline
    order by a.customer_id, a.provider_id, a.currency_id, a.kind for no key update;
  update ledger_account a set balance = a.balance + s.total, version = a.version + s.moves
    from (select l.account, sum(l.amount) as total, count(*) as moves from unnest(accounts, p_amounts) l(account, amount)
          where l.account is not null group by l.account) s
    where a.id = s.account and a.is_inline;
  insert into ledger_hot_delta (account_id, amount)
    select a.id, sum(l.amount) from unnest(accounts, p_amounts) l(account, amount)
      join ledger_account a on a.id = l.account where not a.is_inline group by a.id;

  -- 4. The entries, each with the balance after it; their trigger proves every transfer.
  with written as (
    insert into ledger_entry (transfer_id, account_id, currency_id, amount, balance_after, created_at)
      select ids[l.nth], a.id, l.currency, l.amount,
             case when a.is_inline then a.balance
               - coalesce(sum(l.amount) over (partition by a.id order by l.nth desc, l.leg desc
                            rows between unbounded preceding and 1 preceding), 0) end,
             ledger_now()
        from unnest(p_of, p_currencies, p_amounts, accounts) with ordinality l(nth, currency, amount, account, leg)
        join ledger_account a on a.id = l.account
        order by l.nth, l.leg
      returning account_id, balance_after)
  select 'account ' || w.account_id into overdrawn from written w join ledger_account a on a.id = w.account_id
    where w.balance_after < 0 and not a.may_be_negative limit 1;
  if overdrawn is not null then
    raise exception '% would go below zero on the way', overdrawn
      using errcode = 'check_violation', constraint = 'ledger_account_no_overdraft';
  end if;
  return query select t.place::int, t.id, not t.is_new
    from unnest(ids, is_new) with ordinality t(id, is_new, place);
end $$;

-- The open account (kind, currency, customer, provider); null where there is none.
create function ledger_account_find(p_kind smallint, p_currency smallint, p_customer bigint, p_provider bigint)
returns bigint language plpgsql stable as $$
begin
  if p_customer is not null then
    return (select a.id from ledger_account a where a.customer_id = p_customer and a.currency_id = p_currency
              and a.kind = p_kind and not a.is_closed);
  elsif p_provider is not null then
    return (select a.id from ledger_account a where a.provider_id = p_provider and a.currency_id = p_currency
              and a.kind = p_kind and not a.is_closed);
  end if;
  return (select a.id from ledger_account a where a.customer_id is null and a.provider_id is null
            and a.currency_id = p_currency and a.kind = p_kind and not a.is_closed);
end $$;

-- The account of each leg of the new transfers; null for the others, and where there is none.
create function ledger_accounts_find(
  p_of int[], p_is_new boolean[], p_kinds smallint[], p_currencies smallint[], p_customers bigint[], p_providers bigint[])
returns bigint[] language sql stable as $$
  select array_agg(case when p_is_new[l.nth] then ledger_account_find(l.kind, l.currency, l.customer, l.provider) end
                   order by l.leg)
    from unnest(p_of, p_kinds, p_currencies, p_customers, p_providers)
      with ordinality l(nth, kind, currency, customer, provider, leg)
$$;

revoke execute on function ledger_account_find(smallint, smallint, bigint, bigint),
  ledger_accounts_find(int[], boolean[], smallint[], smallint[], bigint[], bigint[]),
  ledger_post_batch(uuid[], bytea[], smallint, uuid[], text[], text, int[], smallint[], smallint[], bigint[], bigint[],
    numeric[]) from public;

-- Days and periods: what makes as-of figures fast, and the past closed.

-- Only the functions below write these.
create trigger ledger_day_append before update or delete on ledger_day
  for each row execute function ledger_forbid();
create trigger ledger_currency_day_append before update or delete on ledger_currency_day
  for each row execute function ledger_forbid();
create trigger ledger_balance_day_append before update or delete on ledger_balance_day
  for each row execute function ledger_forbid();
create trigger ledger_period_append before update or delete on ledger_period
  for each row execute function ledger_forbid();
create trigger ledger_period_keep before truncate on ledger_period
  for each statement execute function ledger_forbid();
create trigger balance_trialbalancepack_append before update or delete on balance_trialbalancepack
  for each row execute function house_append_only();

-- Wait until every posting under way has ended, and say when that was: all entries dated before the
-- answer can be seen from here on. New postings wait for a moment only: the lock, which every posting's
-- insert conflicts with, falls with the subtransaction.
create function ledger_barrier() returns timestamptz
language plpgsql security definer set search_path = public, pg_temp as $$
declare asked timestamptz := ledger_now();
begin
  begin
    lock table ledger_transfer in share mode;
    raise exception 'taken' using errcode = 'LG000';
  exception when sqlstate 'LG000' then null;
  end;
  return asked;
end $$;

-- Close every whole day (UTC) that is not closed yet; returns how many. Totals are cumulative and
-- dense: one row a currency and kind, and a queued account, for each day since the first entry.
create function ledger_close_days() returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  today date;
  next_day date;
  starts timestamptz;
  ends timestamptz;
  before bytea;
  closed int := 0;
begin
  if not pg_try_advisory_xact_lock(747103) then return -1; end if;
  today := (ledger_barrier() at time zone 'UTC')::date;
  select d.day + 1, d.digest into next_day, before from ledger_day d order by d.day desc limit 1;
  if next_day is null then
    select (e.created_at at time zone 'UTC')::date into next_day from ledger_entry e order by e.id limit 1;
    before := ''::bytea;
  end if;
  while next_day < today loop
    starts := next_day::timestamp at time zone 'UTC';
    ends := (next_day + 1)::timestamp at time zone 'UTC';
    insert into ledger_day (day, entries, transfers, digest, closed_at)
      select next_day, coalesce(sum(h.entries), 0), coalesce(sum(h.transfers), 0),
             sha256(before || coalesce(string_agg(h.digest, ''::bytea order by h.hour), ''::bytea)), ledger_now()
        from ledger_hours(starts, ends) h
      returning digest into before;
    insert into ledger_currency_day (day_id, currency_id, kind, balance)
      select next_day, m.currency_id, m.kind, sum(m.amount) from (
        select t.currency_id, t.kind, t.balance as amount from ledger_currency_day t where t.day_id = next_day - 1
        union all
        select a.currency_id, a.kind, e.amount from ledger_entry e join ledger_account a on a.id = e.account_id
          where e.created_at >= starts and e.created_at < ends) m
      group by m.currency_id, m.kind;
    insert into ledger_balance_day (day_id, account_id, balance)
      select next_day, m.account_id, sum(m.amount) from (
        select b.account_id, b.balance as amount from ledger_balance_day b where b.day_id = next_day - 1
        union all
        select e.account_id, e.amount from ledger_entry e
          where e.created_at >= starts and e.created_at < ends and e.balance_after is null) m
      group by m.account_id;
    next_day := next_day + 1;
    closed := closed + 1;
  end loop;
  return closed;
end $$;

-- Entries, transfers and digest of each hour between two moments.
create function ledger_hours(p_from timestamptz, p_until timestamptz)
returns table (hour timestamptz, entries bigint, transfers bigint, digest bytea) language sql stable as $$
  select date_trunc('hour', e.created_at), count(*), count(distinct e.transfer_id),
         sha256(convert_to(string_agg(concat_ws('|', e.id, e.transfer_id, e.account_id, e.currency_id,
           trim_scale(e.amount), extract(epoch from e.created_at)), E'\n' order by e.id), 'UTF8'))
    from ledger_entry e where e.created_at >= p_from and e.created_at < p_until
    group by 1
$$;

-- Close the period [p_starts, p_ends): from now on no entry is dated before its end. Periods are closed
-- one after the other, and only once they are over.
create function ledger_close_period(p_starts timestamptz, p_ends timestamptz, p_actor text) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  closed bigint;
  last_end timestamptz;
  now_at timestamptz;
begin
  perform pg_advisory_xact_lock(747104);
  now_at := ledger_barrier();
  select max(ends_at) into last_end from ledger_period;
  if p_ends > now_at or p_starts >= p_ends or p_starts is distinct from coalesce(last_end, p_starts) then
    raise exception 'the period is not over, or not the next one' using errcode = 'LG423';
  end if;
  if last_end is null and exists (select 1 from ledger_entry e where e.created_at < p_starts) then
    raise exception 'there are entries before this period: close theirs first' using errcode = 'LG423';
  end if;
  insert into ledger_period (starts_at, ends_at, closed_at, actor)
    values (p_starts, p_ends, greatest(now_at, p_ends), p_actor) returning id into closed;
  return closed;
end $$;

revoke execute on function ledger_barrier(), ledger_close_days(), ledger_hours(timestamptz, timestamptz),
  ledger_close_period(timestamptz, timestamptz, text) from public;

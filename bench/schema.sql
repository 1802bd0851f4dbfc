-- What Kauri is measured against, in a schema of its own. Nothing here is part of the product.

drop schema if exists bench cascade;
create schema bench;

-- The limit: the least honest work of one transfer, as one call. An idempotency key, a transfer, two entries with
-- the balance after them, two balances that can't go below zero, locked in one order.
create table bench.account (
  id bigint generated always as identity primary key,
  balance numeric(38, 18) not null check (balance >= 0)
) with (fillfactor = 80);
create table bench.transfer (
  id bigint generated always as identity primary key,
  key uuid not null unique,
  created_at timestamptz not null
);
create table bench.entry (
  id bigint generated always as identity primary key,
  transfer_id bigint not null,
  account_id bigint not null,
  amount numeric(38, 18) not null,
  balance_after numeric(38, 18) not null
);
create index on bench.entry (account_id, id);

create function bench.move(p_key uuid, p_from bigint, p_to bigint, p_amount numeric) returns bigint
language plpgsql as $$
declare
  transfer bigint;
  from_after numeric;
  to_after numeric;
begin
  insert into bench.transfer (key, created_at) values (p_key, clock_timestamp())
    on conflict (key) do nothing returning id into transfer;
  if transfer is null then
    return (select id from bench.transfer where key = p_key);
  end if;
  if p_from < p_to then
    update bench.account set balance = balance - p_amount where id = p_from returning balance into from_after;
    update bench.account set balance = balance + p_amount where id = p_to returning balance into to_after;
  else
    update bench.account set balance = balance + p_amount where id = p_to returning balance into to_after;
    update bench.account set balance = balance - p_amount where id = p_from returning balance into from_after;
  end if;
  insert into bench.entry (transfer_id, account_id, amount, balance_after)
    values (transfer, p_from, -p_amount, from_after), (transfer, p_to, p_amount, to_after);
  return transfer;
end $$;

-- The tables of the plain ORM twin (bench/orm.py), with the foreign keys and indexes that Django would make.
create table bench.orm_account (like bench.account including all) with (fillfactor = 80);
create table bench.orm_transfer (like bench.transfer including all);
create table bench.orm_entry (
  like bench.entry including all,
  foreign key (transfer_id) references bench.orm_transfer deferrable initially deferred,
  foreign key (account_id) references bench.orm_account deferrable initially deferred
);
create index on bench.orm_entry (transfer_id);

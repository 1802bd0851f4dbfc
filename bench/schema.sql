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

-- A ledger of pgledger's shape, in our own words (bench/cases.py calls it by Django, as ours is called): sortable
-- text keys, balances on the accounts, transfers and entries with their foreign keys and indexes, both accounts
-- locked in one order and judged before anything is written. Like its model it knows no idempotency.
create function bench.text_key(p_prefix text) returns text language sql volatile as $$
  select p_prefix || '_' || lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
         || left(replace(gen_random_uuid()::text, '-', ''), 20)
$$;
create table bench.pl_account (
  id text primary key default bench.text_key('account'),
  name text not null,
  currency text not null,
  balance numeric not null default 0,
  version bigint not null default 0,
  may_be_negative boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table bench.pl_transfer (
  id text primary key default bench.text_key('transfer'),
  from_account_id text not null references bench.pl_account,
  to_account_id text not null references bench.pl_account,
  amount numeric not null check (amount > 0),
  metadata jsonb,
  created_at timestamptz not null default now(),
  check (from_account_id <> to_account_id)
);
create index on bench.pl_transfer (from_account_id);
create index on bench.pl_transfer (to_account_id);
create table bench.pl_entry (
  id text primary key default bench.text_key('entry'),
  account_id text not null references bench.pl_account,
  transfer_id text not null references bench.pl_transfer,
  amount numeric not null,
  balance_before numeric not null,
  balance_after numeric not null,
  account_version bigint not null,
  created_at timestamptz not null default now()
);
create index on bench.pl_entry (account_id);
create index on bench.pl_entry (transfer_id);

create function bench.pl_move(p_from text, p_to text, p_amount numeric) returns text
language plpgsql as $$
declare
  source bench.pl_account;
  target bench.pl_account;
  transfer text;
begin
  if p_amount is null or p_amount <= 0 or p_from = p_to then
    raise exception 'two accounts and an amount above zero are needed';
  end if;
  perform 1 from bench.pl_account where id in (p_from, p_to) order by id for update;
  select * into source from bench.pl_account where id = p_from;
  select * into target from bench.pl_account where id = p_to;
  if source.id is null or target.id is null then
    raise exception 'no such account';
  elsif source.currency <> target.currency then
    raise exception 'the accounts differ in currency';
  elsif not source.may_be_negative and source.balance < p_amount then
    raise exception 'insufficient funds';
  end if;
  insert into bench.pl_transfer (from_account_id, to_account_id, amount) values (p_from, p_to, p_amount)
    returning id into transfer;
  update bench.pl_account set balance = balance - p_amount, version = version + 1, updated_at = now()
    where id = p_from;
  insert into bench.pl_entry (account_id, transfer_id, amount, balance_before, balance_after, account_version)
    values (p_from, transfer, -p_amount, source.balance, source.balance - p_amount, source.version + 1);
  update bench.pl_account set balance = balance + p_amount, version = version + 1, updated_at = now()
    where id = p_to;
  insert into bench.pl_entry (account_id, transfer_id, amount, balance_before, balance_after, account_version)
    values (p_to, transfer, p_amount, target.balance, target.balance + p_amount, target.version + 1);
  return transfer;
end $$;

-- The tables of the internal movement's twin (bench/twin.py), again as Django would make them.
create table bench.twin_idempotency (
  id bigint generated always as identity primary key,
  owner_id bigint not null references account_user deferrable initially deferred,
  key varchar(255) not null,
  body_hash bytea not null,
  body text not null,
  created_at timestamptz not null,
  unique (owner_id, key)
);
create index on bench.twin_idempotency (owner_id);
create table bench.twin_order (
  id bigint generated always as identity primary key,
  public_id uuid not null unique,
  owner_id bigint not null references account_user deferrable initially deferred,
  recipient_id bigint not null references account_user deferrable initially deferred,
  currency_id smallint not null references core_currency deferrable initially deferred,
  amount numeric(38, 18) not null,
  fee numeric(38, 18) not null,
  status varchar(40) not null,
  external_id varchar(128) not null,
  message varchar(500) not null,
  explanation jsonb not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  finished_at timestamptz
);
create index on bench.twin_order (owner_id);
create index on bench.twin_order (recipient_id);
create index on bench.twin_order (currency_id);
create index on bench.twin_order (owner_id, created_at);
create table bench.twin_transition (
  id bigint generated always as identity primary key,
  order_id bigint not null references bench.twin_order deferrable initially deferred,
  from_status varchar(40) not null,
  to_status varchar(40) not null,
  actor varchar(254) not null,
  at timestamptz not null
);
create index on bench.twin_transition (order_id);
create table bench.twin_audit (
  id bigint generated always as identity primary key,
  verb varchar(64) not null,
  object_id varchar(64) not null,
  actor varchar(254) not null,
  after jsonb not null,
  at timestamptz not null
);
create index on bench.twin_audit (object_id);
create table bench.twin_event (
  id bigint generated always as identity primary key,
  kind varchar(64) not null,
  owner_id bigint not null,
  subject_id uuid not null,
  body text not null,
  created_at timestamptz not null
);
create index on bench.twin_event (subject_id);

-- An account with money in each of them for every customer.
create function bench.open(p_customers bigint[], p_funds numeric) returns void language sql as $$
  insert into bench.account (balance) select p_funds from unnest(p_customers);
  insert into bench.orm_account (id, balance) overriding system value
    select c, p_funds from unnest(p_customers) c;
  insert into bench.orm_account (id, balance) overriding system value  -- what is held of each
    select 1000000000 + c, 0 from unnest(p_customers) c;
  insert into bench.pl_account (id, name, currency, balance)
    select 'account_' || lpad(c::text, 32, '0'), 'customer ' || c, 'UAH', p_funds from unnest(p_customers) c;
$$;
